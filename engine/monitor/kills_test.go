package monitor

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/logs"
)

// awaitGrowth waits until a log has grown by so much.
func (r *rig) awaitGrowth(l *logs.Log, by int64) {
	r.Helper()
	start := int64(-1)
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Microsecond) {
		n, err := l.Both().Size()
		if err != nil || time.Now().After(deadline) {
			r.Fatalf("the log has %d bytes, %v", n, err)
		}
		if start < 0 {
			start = n
		}
		if n >= start+by {
			return
		}
	}
}

func (r *rig) openLog(dir string) *logs.Log {
	r.Helper()
	l, err := logs.Open(dir)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = l.Close() })
	return l
}

// Over a hundred deaths of the daemon, and segments that change all the while, every line is in the log once, in order.
func TestManyDaemons(t *testing.T) {
	r := newRig(t, "HULL_RESTART_WITHIN=1ms")
	r.await("up")
	stop := filepath.Join(r.run, "stop")
	dir := r.startBounded("web", "i=0; while [ ! -e "+stop+" ]; do i=$((i+1)); echo o $i; echo e $i >&2; done; echo end $i; exit 3", 0)
	l := r.openLog(dir)
	for range 100 {
		r.awaitGrowth(l, 1)
		r.killDaemon()
		r.await("up")
	}
	if err := os.WriteFile(stop, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.must(&message{Op: "list"})
	exit := r.await("held").Exit
	if exit == nil {
		exit = r.await("exit").Exit
	}
	if exit.Code != 3 {
		t.Errorf("exit %+v", exit)
	}
	out, errs := lines(r.output(dir, logs.Stdout)), lines(r.output(dir, logs.Stderr))
	if len(out) != len(errs)+1 || out[len(out)-1] != fmt.Sprintf("end %d", len(errs)) {
		t.Fatalf("%d lines of one stream, %d of the other, and %q", len(out), len(errs), out[len(out)-1])
	}
	for i := range errs {
		if out[i] != fmt.Sprintf("o %d", i+1) || errs[i] != fmt.Sprintf("e %d", i+1) {
			t.Fatalf("line %d is %q and %q", i+1, out[i], errs[i])
		}
	}
}

// kill kills the monitor, and the daemon with it.
func (r *rig) kill() {
	r.Helper()
	pid := r.monitorPID()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		r.Fatal(err)
	}
	r.killDaemon()
	if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
		r.Fatal(err)
	}
}

// When the monitor dies, the containers' output has nowhere to go any more. What the log has until then it has once and
// in order, however often that happens and in whatever moment, and the next monitor goes on behind it.
func TestManyMonitors(t *testing.T) {
	const rounds = 60
	run := t.TempDir()
	if err := os.Chmod(run, 0o700); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(run, "web")
	for n := range rounds {
		r := newRigIn(t, run)
		r.await("up")
		r.startBounded("web", fmt.Sprintf("printf '<'; i=0; while :; do i=$((i+1)); echo $i of run %d; done", n), 0)
		r.awaitGrowth(r.openLog(dir), 1+rand.Int64N(30000))
		r.kill()
	}
	text := newRigIn(t, run).output(dir, logs.Stdout)
	for n := range rounds {
		text = strings.TrimPrefix(text, "<")
		line := ""
		for i := 1; ; i++ {
			line = fmt.Sprintf("%d of run %d\n", i, n)
			if !strings.HasPrefix(text, line) {
				break
			}
			text = text[len(line):]
		}
		rest, after, found := strings.Cut(text, "<")
		if !strings.HasPrefix(line, rest) || found != (n < rounds-1) {
			t.Fatalf("run %d ends with %.100q", n, rest)
		}
		text = after
	}
}
