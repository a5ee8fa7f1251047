package launch

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
	"hull/engine/plan"
)

func TestLimits(t *testing.T) {
	privileged(t)
	l := &Launcher{}
	defer l.Close()
	const show = "ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -Hc; ulimit -Su"
	limits := []plan.Limit{
		{Name: "nofile", Resource: unix.RLIMIT_NOFILE, Soft: 64, Hard: 128},
		{Name: "core", Resource: unix.RLIMIT_CORE},
		{Name: "nproc", Resource: unix.RLIMIT_NPROC, Soft: 50, Hard: 60},
	}
	dir := rootfs(t)
	for _, user := range []string{"", "ann"} {
		s := sh(dir, show)
		s.Limits, s.User = limits, user
		want(t, run(t, s), "64", "128", "0", "0", "50")
	}
	c := start(t, l, spec(dir, "sleep", "1000"))
	out, _ := exec(t, l, c, ExecSpec{Args: []string{"sh", "-c", show}, Limits: limits}).end(t)
	want(t, out, "64", "128", "0", "0", "50")
	// Without any, descriptors are limited as on any Linux, and not as in a Go program.
	out, _ = exec(t, l, c, ExecSpec{Args: []string{"sh", "-c", "ulimit -Sn"}}).end(t)
	want(t, out, "1024")
}

// A hard limit above our own is raised where we may, and else the start fails with a sentence.
func TestRaisedLimit(t *testing.T) {
	privileged(t)
	var own unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_SIGPENDING, &own))
	if own.Max == plan.Unlimited {
		t.Skip("nothing is above no limit")
	}
	caps, err := sys.Capabilities()
	must(t, err)
	s := sh(rootfs(t), "ulimit -Hi")
	s.Limits = []plan.Limit{{Name: "sigpending", Resource: unix.RLIMIT_SIGPENDING, Soft: 1, Hard: own.Max + 1}}
	if caps>>unix.CAP_SYS_RESOURCE&1 == 1 {
		want(t, run(t, s), fmt.Sprint(own.Max+1))
		return
	}
	l := &Launcher{}
	defer l.Close()
	p, err := l.Park(within(t), s)
	var e *Error
	if !errors.As(err, &e) || e.Kind != Unsupported {
		t.Errorf("%v, %v", p, err)
	}
}
