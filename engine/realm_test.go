package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/monitor"
)

// The tests of a daemon's death have the real monitor, and daemons which are this test binary with an engine. The test
// talks to whichever daemon lives over one socket that all of them inherit.
const scriptFD = 4

// order is what a test asks of a daemon, answer what it says; each is one message.
type order struct {
	Do       string // create run start stop kill remove rename set exec arm list held
	Name     string
	Settings map[string]string
	Text     string
}

type answer struct {
	Up         int // a daemon has come up: its process
	Err        string
	Kind       Kind
	Containers []shown
	Held       []string
	Events     []string
	Volumes    []string
	Networks   string
	// Links is what the containers have of networks, if those are pretended.
	Links *foundLinks
}

// foundLinks are places that are taken, links that are there, and ports that are published.
type foundLinks struct{ Places, Plugged, Ports int }

// shown is what a test looks at of a container.
type shown struct {
	ID, Name string
	State    State
	Code     int
	PID      int
	Error    string
	Env      string
	Owner    uint32
	Restarts int
	// Places are those it says that it has, Ports those that it says it publishes.
	Places, Ports int
}

func monitorRole() int {
	script := os.NewFile(scriptFD, "script") // one for all daemons: a forgotten one would be closed
	defer script.Close()
	o := monitor.Options{
		Run: os.Getenv("HULL_RUN"), Front: os.NewFile(monitor.FrontFD, "front"),
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
		Daemon: func([]byte) (*exec.Cmd, error) {
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), roleVar+"=daemon")
			cmd.Stderr = os.Stderr
			cmd.ExtraFiles = []*os.File{script}
			return cmd, nil
		},
	}
	if err := monitor.Serve(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, "monitor:", err)
		return 1
	}
	return 0
}

// script sends and receives messages.
type script struct{ fd int }

func (s script) send(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return unix.Sendmsg(s.fd, data, nil, nil, unix.MSG_NOSIGNAL)
}

func (s script) receive(v any) error {
	buf := make([]byte, 1<<16)
	for {
		n, _, _, _, err := unix.Recvmsg(s.fd, buf, nil, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return errors.New("the other end is gone")
		}
		return json.Unmarshal(buf[:n], v)
	}
}

// realm is a monitor with its daemons.
type realm struct {
	t       *testing.T
	script  script
	control *monitor.Control
	dir     string
	daemon  int
	ended   bool
}

// newRealm starts one; real is a directory to be the image's files, or empty for processes that only pretend.
func newRealm(t *testing.T, real string) *realm {
	t.Helper()
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	far := os.NewFile(uintptr(p[1]), "script")
	defer far.Close()
	r := &realm{t: t, script: script{p[0]}, dir: t.TempDir()}
	tv := unix.NsecToTimeval(int64(patience))
	if err := unix.SetsockoptTimeval(p[0], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleVar+"=monitor", "HULL_RUN="+t.TempDir(), "HULL_DIR="+r.dir, "HULL_REAL="+real)
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{far}
	if real != "" { // its networks are nobody else's
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	}
	if r.control, err = monitor.Spawn(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.end)
	r.up()
	return r
}

// up waits until a daemon has come up.
func (r *realm) up() {
	r.t.Helper()
	var a answer
	if err := r.script.receive(&a); err != nil {
		r.t.Fatal("no daemon has come up: ", err)
	}
	if a.Up == 0 {
		r.t.Fatalf("%+v is not what a new daemon says", a)
	}
	r.daemon = a.Up
}

func (r *realm) end() {
	if r.ended {
		return
	}
	r.ended = true
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.control.Umount(ctx, monitor.Stop); err != nil {
		r.t.Error(err)
	}
	_ = r.control.Close()
	unix.Close(r.script.fd)
}

// do has the daemon do something.
func (r *realm) do(o order) answer {
	r.t.Helper()
	if err := r.script.send(o); err != nil {
		r.t.Fatal(err)
	}
	var a answer
	if err := r.script.receive(&a); err != nil {
		r.t.Fatalf("no answer to %+v: %v", o, err)
	}
	if a.Up != 0 {
		r.t.Fatalf("the daemon died of %+v", o)
	}
	return a
}

// well is do, and fails the test with what the daemon fails with.
func (r *realm) well(o order) answer {
	r.t.Helper()
	a := r.do(o)
	if a.Err != "" {
		r.t.Fatalf("%s %s: %s", o.Do, o.Name, a.Err)
	}
	return a
}

// dies has the daemon do something that kills it, and waits for the next one.
func (r *realm) dies(o order) {
	r.t.Helper()
	if err := r.script.send(o); err != nil {
		r.t.Fatal(err)
	}
	r.up()
}

// kill kills the daemon, and waits for the next one.
func (r *realm) kill() {
	r.t.Helper()
	if err := unix.Kill(r.daemon, unix.SIGKILL); err != nil {
		r.t.Fatal(err)
	}
	r.up()
}

// until asks until the daemon shows something.
func (r *realm) until(what string, so func(answer) bool) answer {
	r.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		a := r.well(order{Do: "list"})
		if so(a) {
			return a
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("it did not come to this: %s; %+v", what, a)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
