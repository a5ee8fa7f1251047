package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
	"hull/engine/plan"
)

// networkOf tells one network namespace from another.
func networkOf(t *testing.T, process string) string {
	t.Helper()
	name, err := os.Readlink("/proc/" + process + "/ns/net")
	must(t, err)
	return name
}

// linksIn are the interfaces that a container's /sys and its /proc show, sorted.
const linksIn = `ls /sys/class/net | sort | tr '\n' ' '; echo; tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' | sort | tr '\n' ' '`

// shown makes two lists of links of such output; bonding_masters is no link.
func shown(t *testing.T, out string) (inSys, inProc []string) {
	t.Helper()
	a, b, ok := strings.Cut(out, "\n")
	if !ok {
		t.Fatalf("got %q", out)
	}
	links := slices.DeleteFunc(strings.Fields(a), func(s string) bool { return s == "bonding_masters" })
	return links, strings.Fields(b)
}

// A container on the host's network is in it, with and without users of its own, sees its links in /sys, which it cannot
// change, and so does what is executed in it.
func TestHostNetwork(t *testing.T) {
	privileged(t)
	l := &Launcher{}
	defer l.Close()
	for _, ids := range []IDRange{testRange, {}} {
		s := sh(rootfs(t), linksIn+`; echo; mount | grep -c "on /sys type sysfs (ro"; (echo 1 > /sys/class/net/lo/mtu) 2>/dev/null || echo unchanged; ls /sys/firmware | wc -l`)
		s.Network, s.Range = plan.HostNetwork, ids
		out, code := start(t, l, s).end(t)
		first, rest, _ := strings.Cut(out, " \n1\n")
		inSys, inProc := shown(t, first)
		if code != 0 || !slices.Equal(inSys, inProc) || !slices.Contains(inSys, "lo") || rest != "unchanged\n0\n" {
			t.Errorf("with %d ids: got %q, %d", ids.Size, out, code)
		}
	}
	s := spec(rootfs(t), "sleep", "1000")
	s.Network = plan.HostNetwork
	c := start(t, l, s)
	if own := networkOf(t, "self"); networkOf(t, fmt.Sprint(c.PID())) != own {
		t.Errorf("it is in %s and not in %s", networkOf(t, fmt.Sprint(c.PID())), own)
	}
	out, code := exec(t, l, c, ExecSpec{Args: []string{"readlink", "/proc/self/ns/net"}}).end(t)
	if code != 0 || strings.TrimSpace(out) != networkOf(t, "self") {
		t.Errorf("what is executed is in %q, %d", out, code)
	}
}

// A container is in the network of another, with users of its own that the other has not, sees that in /sys, and the next
// container of this launcher is in a network of its own again.
func TestAnothersNetwork(t *testing.T) {
	privileged(t)
	l := &Launcher{}
	defer l.Close()
	first := start(t, l, spec(rootfs(t), "sleep", "1000"))
	netns, err := os.Open(first.proc("ns/net"))
	must(t, err)
	defer netns.Close()
	second := func() *running {
		s := sh(rootfs(t), linksIn+"; touch /seen; sleep 1000")
		s.Network, s.Of = plan.Another, netns
		s.Range.First += s.Range.Size
		return start(t, l, s)
	}()
	if a, b := networkOf(t, fmt.Sprint(first.PID())), networkOf(t, fmt.Sprint(second.PID())); a != b {
		t.Errorf("the first is in %s, the second in %s", a, b)
	}
	third := start(t, l, spec(rootfs(t), "sleep", "1000"))
	for _, other := range []string{"self", fmt.Sprint(first.PID())} {
		if own := networkOf(t, fmt.Sprint(third.PID())); own == networkOf(t, other) {
			t.Errorf("the third is in %s, as %s", own, other)
		}
	}
	for _, err := os.Stat(second.proc("root/seen")); err != nil; _, err = os.Stat(second.proc("root/seen")) {
		must(t, t.Context().Err())
		if sys.Exited(second.Pidfd()) {
			t.Fatal("it has ended before it had looked")
		}
		time.Sleep(time.Millisecond)
	}
	must(t, sys.Signal(second.Pidfd(), unix.SIGKILL))
	out, _ := second.end(t)
	if inSys, inProc := shown(t, out); !slices.Equal(inSys, inProc) || !slices.Contains(inSys, "lo") {
		t.Errorf("it sees %q", out)
	}
}

func TestNobodysNetwork(t *testing.T) {
	privileged(t)
	s := spec(rootfs(t), "true")
	s.Network = plan.Another
	refused(t, s, Invalid)
}

// What is to bring a network to life is given it, and its failure is the start's.
func TestPlug(t *testing.T) {
	privileged(t)
	l := &Launcher{}
	defer l.Close()
	s := sh(rootfs(t), "readlink /proc/self/ns/net")
	var given string
	s.Plug = func(_ context.Context, netns *os.File) error {
		st, err := sys.Stat(netns)
		given = fmt.Sprintf("net:[%d]\n", st.Ino)
		return err
	}
	out, code := start(t, l, s).end(t)
	if code != 0 || out != given {
		t.Errorf("got %q, %d, want %q", out, code, given)
	}
	broken := errors.New("no bridge here")
	s.Plug = func(context.Context, *os.File) error { return broken }
	if p, err := l.Park(within(t), s); !errors.Is(err, broken) {
		t.Errorf("got %v, %v", p, err)
	}
	staged, err := l.Stage(within(t), Spec{Range: testRange, Plug: s.Plug})
	if !errors.Is(err, broken) {
		t.Errorf("got %v, %v", staged, err)
	}
}
