package monitor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The tests' processes are this test binary in the roles of a monitor and of a daemon. The daemon does what the test
// tells it over a socket that every daemon inherits, with CLONE_PARENT as the real one.
const roleVar = "HULL_MONITOR_TEST"

// script is the descriptor of that socket, in both roles.
const script = 4

// highScript is its number in a monitor that follows one which was killed, whose low numbers are a handover's.
const highScript = 900

func scriptFD() uintptr {
	if os.Getenv("HULL_SCRIPT") != "" {
		return highScript
	}
	return script
}

func TestMain(m *testing.M) {
	switch os.Getenv(roleVar) {
	case "":
		os.Exit(m.Run())
	case "monitor":
		os.Exit(monitorRole())
	case "interim":
		os.Exit(interimRole())
	case "daemon":
		daemonRole()
		os.Exit(0)
	case "dead": // a daemon that never gets anywhere
		os.Exit(7)
	case "refused": // one that says why
		c, err := Connect(os.NewFile(DaemonFD, "monitor"))
		if err == nil {
			err = c.Fail(context.Background(), "the store is somebody else's")
		}
		if err != nil {
			os.Exit(8)
		}
		os.Exit(7)
	}
}

func monitorRole() int {
	inherited := os.NewFile(scriptFD(), "script")
	defer func() { _ = inherited.Close() }()
	o := Options{
		Run:    os.Getenv("HULL_RUN"),
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Daemon: func(payload []byte) (*exec.Cmd, error) {
			cmd := exec.Command("/proc/self/exe")
			role := os.Getenv("HULL_DAEMON")
			if payload != nil {
				role = string(payload)
			}
			cmd.Env = append(os.Environ(), roleVar+"="+role)
			cmd.Stderr = os.Stderr
			cmd.ExtraFiles = []*os.File{inherited}
			return cmd, nil
		},
		Abandon: func() { check(os.WriteFile(filepath.Join(os.Getenv("HULL_RUN"), "abandoned"), nil, 0o600)) },
	}
	o.Again = func(payload []byte) ([]string, error) { return []string{string(payload)}, nil }
	if len(os.Args) > 1 {
		number, err := strconv.Atoi(os.Args[len(os.Args)-1])
		check(err)
		o.Handover = os.NewFile(uintptr(number), "handover")
	} else {
		o.Front = os.NewFile(FrontFD, "front")
	}
	for name, to := range map[string]*time.Duration{"HULL_ANSWER_WITHIN": &o.AnswerWithin, "HULL_END_WITHIN": &o.EndWithin, "HULL_HANG_UP_WITHIN": &o.HangUpWithin, "HULL_RESTART_WITHIN": &o.RestartWithin} {
		if v := os.Getenv(name); v != "" {
			d, err := time.ParseDuration(v)
			check(err)
			*to = d
		}
	}
	if err := Serve(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, "monitor:", err)
		return 1
	}
	return 0
}

// rig is a monitor under test, with the front's and the script's ends of its sockets.
type rig struct {
	testing.TB
	control *Control
	script  *packet
	run     string
	pending []*message // of the script, not yet asked for
	daemon  int        // pid of the one that spoke last
	by      time.Time  // nothing is waited for longer
}

// patience bounds every wait: nothing is decided by it unless all is lost.
const patience = 60 * time.Second

func newRig(t testing.TB, env ...string) *rig {
	t.Helper()
	run := t.TempDir()
	if err := os.Chmod(run, 0o700); err != nil {
		t.Fatal(err)
	}
	return newRigIn(t, run, env...)
}

func newRigIn(t testing.TB, run string, env ...string) *rig {
	t.Helper()
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	far := os.NewFile(uintptr(p[1]), "script")
	defer func() { _ = far.Close() }()
	r := &rig{TB: t, run: run, by: time.Now().Add(patience)}
	if r.script, err = newPacket(p[0]); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(append(os.Environ(), roleVar+"=monitor", "HULL_DAEMON=daemon", "HULL_RUN="+r.run), env...)
	cmd.ExtraFiles = []*os.File{far}
	if testing.Verbose() {
		cmd.Stderr = os.Stderr
	}
	if r.control, err = Spawn(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.control.Umount(r.context(), Kill) // it may be gone already
		_ = r.control.Close()
		_ = r.script.close()
	})
	return r
}

func (r *rig) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	r.Cleanup(cancel)
	return ctx
}

// await gives the next message of one kind; others are kept.
func (r *rig) await(what string) *message {
	r.Helper()
	for i, m := range r.pending {
		if m.Op == op(what) {
			r.pending = append(r.pending[:i:i], r.pending[i+1:]...)
			return m
		}
	}
	for {
		_ = r.script.file.SetReadDeadline(time.Now().Add(patience))
		m, err := r.script.receive()
		if err != nil {
			r.Fatalf("waiting for %q: %v", what, err)
		}
		if m.Op == "up" {
			_, _ = fmt.Sscan(m.ID, &r.daemon)
		}
		if m.Op == op(what) {
			return m
		}
		r.pending = append(r.pending, m)
	}
}

// say has the daemon do something that it does not live to answer.
func (r *rig) say(m *message) {
	r.Helper()
	if err := r.script.send(m); err != nil {
		r.Fatal(err)
	}
}

// tell has the daemon do something and gives its answer.
func (r *rig) tell(m *message) error {
	r.Helper()
	r.say(m)
	did := r.await("did")
	m.PID = did.PID
	if did.Failure != nil {
		return did.Failure
	}
	return nil
}

func (r *rig) must(m *message) {
	r.Helper()
	if err := r.tell(m); err != nil {
		r.Fatalf("%s %s: %v", m.Op, m.ID, err)
	}
}

// start starts a container and gives its directory.
func (r *rig) start(id, command string) string {
	r.Helper()
	dir := filepath.Join(r.run, id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		r.Fatal(err)
	}
	r.must(&message{Op: "start", ID: id, Dir: dir, Text: command})
	return dir
}

func (r *rig) killDaemon() {
	r.Helper()
	if err := unix.Kill(r.daemon, unix.SIGKILL); err != nil {
		r.Fatal(err)
	}
}

// awaitDeath waits for the process behind a pidfd.
func (r *rig) awaitDeath(pidfd int) {
	r.Helper()
	for by := time.Now().Add(patience); time.Now().Before(by); {
		p := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, 1000)
		if n == 1 {
			return
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			r.Fatal(err)
		}
	}
	r.Error("a process lives that should be dead")
}

// attach gives the near end of a status socket.
func (r *rig) attach(id string) *os.File {
	r.Helper()
	near, far, err := NewStatus()
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = near.Close() })
	m := &message{Op: "attach", ID: id}
	m.put(slotStatus, far)
	r.must(m)
	_ = far.Close()
	return near
}

// status reads a socket to its exit.
func (r *rig) status(near *os.File) Status {
	r.Helper()
	_ = near.SetReadDeadline(time.Now().Add(patience))
	for {
		var b [StatusSize]byte
		n, err := near.Read(b[:])
		if err != nil {
			r.Fatalf("reading a status: %v", err)
		}
		s, err := DecodeStatus(b[:n])
		if err != nil {
			r.Fatal(err)
		}
		if !s.Grew {
			return s
		}
	}
}

func (r *rig) file(path string) string {
	r.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.Fatal(err)
	}
	return string(b)
}

func itoa(n int) string { return strconv.Itoa(n) }

func lines(s string) []string { return strings.Split(strings.TrimSuffix(s, "\n"), "\n") }
