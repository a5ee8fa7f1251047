package monitor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
	"hull/engine/logs"
)

// umount begins to end the mount, on a connection of its own, and gives what comes of it.
func (r *rig) umount(mode Ending) <-chan error {
	r.Helper()
	c, err := Dial(r.context(), r.run)
	if err != nil {
		r.Fatal(err)
	}
	got := make(chan error, 1)
	ctx := r.context()
	go func() {
		got <- c.Umount(ctx, mode)
		_ = c.Close()
	}()
	return got
}

func (r *rig) gone() {
	r.Helper()
	var e *Error
	if _, err := Dial(r.context(), r.run); !errors.As(err, &e) || e.Kind != NotFound {
		r.Errorf("the monitor is still there: %v", err)
	}
}

func (r *rig) monitorPID() int {
	r.Helper()
	stat, err := sys.ReadStat(r.daemon)
	if err != nil || stat.Parent <= 1 {
		r.Fatalf("the daemon's parent is %d, %v", stat.Parent, err)
	}
	return stat.Parent
}

func TestUmount(t *testing.T) {
	r := newRig(t)
	r.await("up")
	r.start("web", "read x")
	got := r.umount(Ask)
	if m := r.await("stop"); m.ID != string(Ask) {
		t.Errorf("the daemon is asked to %s", m.ID)
	}
	r.must(&message{Op: "done", Text: "web"})
	var e *Error
	if err := <-got; !errors.As(err, &e) || e.Kind != Busy || len(e.Names) != 1 || e.Names[0] != "web" {
		t.Errorf("umount of a busy mount: %v", err)
	}

	got = r.umount(Stop)
	if m := r.await("stop"); m.ID != string(Stop) {
		t.Errorf("the daemon is asked to %s", m.ID)
	}
	r.killDaemon() // the next one is asked again
	r.await("up")
	r.await("stop")
	r.say(&message{Op: "done"})
	if err := <-got; err != nil {
		t.Errorf("umount: %v", err)
	}
	r.gone()
	if err := r.control.Ended(r.context()); err != nil {
		t.Errorf("the end: %v", err)
	}
	if e, err := ReadExit(filepath.Join(r.run, "web")); err != nil || e.Signal != int(unix.SIGKILL) { // the fake daemon left it running
		t.Errorf("the container's exit: %+v, %v", e, err)
	}
	if _, err := os.Stat(filepath.Join(r.run, "abandoned")); err == nil {
		t.Error("a mount that ended in good order was abandoned")
	}
}

// Containers that are left are there for the next mount.
func TestLeave(t *testing.T) {
	r := newRig(t)
	r.await("up")
	dir := r.start("web", "echo before; read x; echo after")
	got := r.umount(Leave)
	r.await("stop")
	r.say(&message{Op: "done"})
	if err := <-got; err != nil {
		t.Fatalf("umount: %v", err)
	}
	if err := r.control.Ready(r.context()); err == nil {
		t.Error("a mount that was left is ready")
	}
	if err := r.control.Mount(r.context(), []byte("daemon")); err != nil {
		t.Fatal(err)
	}
	if err := r.control.Ready(r.context()); err != nil {
		t.Fatal(err)
	}
	var e *Error
	if err := r.control.Mount(r.context(), nil); !errors.As(err, &e) || e.Kind != Exists {
		t.Errorf("mounting twice: %v", err)
	}
	r.await("up")
	r.must(&message{Op: "list"})
	if held := r.await("held"); held.ID != "web" || held.Exit != nil {
		t.Errorf("held %q, %+v", held.ID, held.Exit)
	}
	r.must(&message{Op: opCloseStdin, ID: "web"})
	r.await("exit")
	if got := r.output(dir, logs.Stdout); got != "before\nafter\n" {
		t.Errorf("output %q", got)
	}
}

// A left monitor ends with its last container; asked to stop, it ends them.
func TestStopLeft(t *testing.T) {
	r := newRig(t)
	r.await("up")
	dir := r.start("web", "trap 'echo stopped; exit 7' TERM; echo trapped; while :; do read x || sleep 1; done")
	near := r.attach("web")
	for !strings.Contains(r.output(dir, logs.Stdout), "trapped") {
		var b [StatusSize]byte
		if _, err := near.Read(b[:]); err != nil {
			t.Fatal(err)
		}
	}
	got := r.umount(Leave)
	r.await("stop")
	r.say(&message{Op: "done"})
	if err := <-got; err != nil {
		t.Fatalf("umount: %v", err)
	}
	var e *Error
	if err := <-r.umount(Ask); !errors.As(err, &e) || e.Kind != Busy {
		t.Errorf("umount of what was left: %v", err)
	}
	if err := <-r.umount(Stop); err != nil {
		t.Errorf("umount --stop: %v", err)
	}
	r.gone()
	if e, err := ReadExit(dir); err != nil || e.Code != 7 {
		t.Errorf("exit %+v, %v", e, err)
	}
	if s := r.status(near); s.Code != 7 {
		t.Errorf("the attached status is %+v", s)
	}
}

// SIGTERM is Stop; the second one waits for nobody.
func TestSignals(t *testing.T) {
	r := newRig(t)
	r.await("up")
	dir := r.start("web", "trap '' TERM; read x; read x")
	monitor := r.monitorPID()
	if err := unix.Kill(monitor, unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if m := r.await("stop"); m.ID != string(Stop) {
		t.Errorf("the daemon is asked to %s", m.ID)
	}
	if err := unix.Kill(monitor, unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := r.control.Ended(r.context()); err != nil {
		t.Errorf("the end: %v", err)
	}
	r.gone()
	if e, err := ReadExit(dir); err != nil || e.Signal != int(unix.SIGKILL) {
		t.Errorf("exit %+v, %v", e, err)
	}
	if _, err := os.Stat(filepath.Join(r.run, "abandoned")); err != nil {
		t.Error("the mount was not abandoned")
	}
}

// An ending that takes too long is forced.
func TestEndWithin(t *testing.T) {
	r := newRig(t, "HULL_END_WITHIN=10ms")
	r.await("up")
	dir := r.start("web", "read x")
	if err := <-r.umount(Stop); err != nil { // the fake daemon never answers
		t.Errorf("umount: %v", err)
	}
	r.gone()
	if e, err := ReadExit(dir); err != nil || e.Signal != int(unix.SIGKILL) {
		t.Errorf("exit %+v, %v", e, err)
	}
}

// A daemon that does not answer is no reason to kill anybody who only asked.
func TestAskWithin(t *testing.T) {
	r := newRig(t, "HULL_END_WITHIN=10ms")
	r.await("up")
	r.start("web", "read x")
	var e *Error
	if err := <-r.umount(Ask); !errors.As(err, &e) || e.Kind != Failed {
		t.Errorf("umount: %v", err)
	}
	r.must(&message{Op: "list"})
	if held := r.await("held"); held.Exit != nil {
		t.Errorf("the container ended with %+v", held.Exit)
	}
}

// If every daemon dies of it, the mount ends without.
func TestStopWithDyingDaemons(t *testing.T) {
	r := newRig(t)
	r.await("up")
	dir := r.start("web", "trap 'exit 7' TERM; while :; do read x || sleep 1; done")
	got := r.umount(Stop)
	for i := range 3 {
		r.await("stop")
		r.killDaemon()
		if i < 2 {
			r.await("up")
		}
	}
	if err := <-got; err != nil {
		t.Errorf("umount: %v", err)
	}
	r.gone()
	if e, err := ReadExit(dir); err != nil || e.Code != 7 && e.Signal != int(unix.SIGTERM) { // it may not have got to its trap
		t.Errorf("exit %+v, %v", e, err)
	}
}

// Two monitors cannot have one run directory; a dead one's socket is no hindrance.
func TestSecondMonitor(t *testing.T) {
	run := t.TempDir()
	first := newRigIn(t, run)
	if err := first.control.Ready(first.context()); err != nil {
		t.Fatal(err)
	}
	second := newRigIn(t, run)
	var e *Error
	if err := second.control.Ready(second.context()); !errors.As(err, &e) || e.Kind != Exists {
		t.Errorf("a second monitor: %v", err)
	}
	first.await("up")
	// killed, it leaves its socket behind, and its daemon, which is ended here by hand
	monitor := first.monitorPID()
	fd, err := unix.PidfdOpen(monitor, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := errors.Join(unix.Kill(monitor, unix.SIGKILL), unix.Kill(first.daemon, unix.SIGKILL)); err != nil {
		t.Fatal(err)
	}
	first.awaitDeath(fd)
	if _, err := os.Lstat(filepath.Join(run, socketName)); err != nil {
		t.Fatal(err)
	}
	third := newRigIn(t, run)
	if err := third.control.Ready(third.context()); err != nil {
		t.Errorf("after a dead one: %v", err)
	}
}

func TestOpenRun(t *testing.T) {
	run := t.TempDir()
	if err := os.Chmod(run, 0o777); err != nil {
		t.Fatal(err)
	}
	r := newRigIn(t, run)
	var e *Error
	if err := r.control.Ready(r.context()); !errors.As(err, &e) || e.Kind != Invalid {
		t.Errorf("a run directory of everybody's: %v", err)
	}
}

// Who waits for the end of a mount, and is told not to wait longer, hears of an end that had come by then.
func TestEndedBeforeSignal(t *testing.T) {
	r := newRig(t)
	r.await("up")
	r.start("web", "read x")
	front, err := Dial(r.context(), r.run)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = front.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	front.seq++ // it asks as Ended does, and looks for the answer when all is over
	if err := front.conn.send(&message{Op: opEnded, Seq: front.seq}); err != nil {
		t.Fatal(err)
	}
	got := r.umount(Leave)
	r.await("stop")
	r.say(&message{Op: "done"})
	if err := <-got; err != nil {
		t.Fatalf("umount: %v", err)
	}
	cancel()
	front.seq--
	if err := front.Ended(ctx); err != nil {
		t.Errorf("the end: %v", err)
	}
	later, err := Dial(r.context(), r.run)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = later.Close() }()
	if err := later.Ready(ctx); err == nil {
		t.Error("what was not waited for is answered")
	}
}
