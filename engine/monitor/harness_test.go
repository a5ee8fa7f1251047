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
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The tests' processes are this test binary in the roles of a monitor and of a daemon. The daemon does what the test
// tells it over a socket that every daemon inherits, with CLONE_PARENT as the real one.
const roleVar = "HULL_MONITOR_TEST"

// script is the descriptor of that socket, in both roles.
const script = 4

func TestMain(m *testing.M) {
	switch os.Getenv(roleVar) {
	case "":
		os.Exit(m.Run())
	case "monitor":
		os.Exit(monitorRole())
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
	inherited := os.NewFile(script, "script")
	defer func() { _ = inherited.Close() }()
	o := Options{
		Run: os.Getenv("HULL_RUN"), Front: os.NewFile(FrontFD, "front"),
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
	for name, to := range map[string]*time.Duration{"HULL_ANSWER_WITHIN": &o.AnswerWithin, "HULL_END_WITHIN": &o.EndWithin} {
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

// daemonRole does what the test says until it is told to exit, or to stop.
func daemonRole() {
	d := &fakeDaemon{ctx: context.Background(), gates: map[string]*os.File{}}
	fd, err := unix.FcntlInt(script, unix.F_DUPFD_CLOEXEC, 0)
	check(err)
	d.test, err = newPacket(fd)
	check(err)
	d.client, err = Connect(os.NewFile(DaemonFD, "monitor"))
	check(err)
	if os.Getenv("HULL_SILENT") == "" {
		check(d.client.Ready(d.ctx))
	}
	d.say("up", fmt.Sprint(os.Getpid()), nil)
	go func() {
		for e := range d.client.Exits() {
			d.say("exit", e.ID, &e)
		}
	}()
	go func() {
		for t := range d.client.Troubles() {
			d.say("trouble", t.ID+": "+t.Sentence, nil)
		}
	}()
	go func() {
		for r := range d.client.Stops() {
			d.stop = r
			d.say("stop", string(r.Mode), nil)
		}
	}()
	for {
		m, err := d.test.receive()
		check(err)
		d.do(m)
	}
}

type fakeDaemon struct {
	ctx    context.Context
	test   *packet
	client *Client
	gates  map[string]*os.File
	stop   *StopRequest
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "daemon:", err)
		os.Exit(9)
	}
}

func (d *fakeDaemon) say(what, id string, e *Exit) {
	check(d.test.send(&message{Op: op(what), ID: id, Exit: e}))
}

func (d *fakeDaemon) do(m *message) {
	var err error
	switch m.Op {
	case "park": // a stranger, until it is adopted
		_, err = d.park(m)
	case "start":
		err = d.start(m)
	case "session":
		err = d.session(m)
	case "release":
		_, err = d.gates[m.ID].Write([]byte("go\n"))
	case "reap":
		var cmd *child
		if cmd, err = d.park(m); err == nil {
			err = d.client.Reap(d.ctx, cmd.pidfd)
		}
	case "attach":
		err = d.client.Attach(d.ctx, m.ID, m.files[slotStatus])
	case "forget":
		err = d.client.Forget(d.ctx, m.ID)
	case "list":
		var all []Held
		all, err = d.client.List(d.ctx)
		for _, h := range all {
			d.say("held", h.ID, h.Exit)
			h.Close()
		}
	case "done":
		if m.Text != "" {
			err = d.stop.Done(d.ctx, &Error{Kind: Busy, Names: []string{m.Text}})
		} else {
			check(d.stop.Done(d.ctx, nil))
			os.Exit(0)
		}
	}
	m.close()
	r := &message{Op: "did", ID: string(m.Op)}
	if err != nil {
		r.Failure = asError("test", err)
	}
	check(d.test.send(r))
}

type child struct {
	pid           int
	pidfd         *os.File
	out, err, pty *os.File
	in            *os.File
}

// park starts the shell command m.Text as the monitor's child; it waits for its gate. Mode "tty" gives it a terminal.
func (d *fakeDaemon) park(m *message) (*child, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/bin/sh", "-c", "read x <&3 || exit 124; exec 3<&-; "+m.Text)
	cmd.ExtraFiles = []*os.File{r}
	fd := -1
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_PARENT, PidFD: &fd}
	c := &child{}
	var theirs []*os.File
	if m.Mode == "tty" {
		master, slave, err := openTerminal()
		if err != nil {
			return nil, err
		}
		cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true
		cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
		c.pty, theirs = master, []*os.File{slave}
	} else {
		var out, errs, in *os.File
		c.out, out, _ = os.Pipe()
		c.err, errs, _ = os.Pipe()
		in, c.in, _ = os.Pipe()
		cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, errs
		theirs = []*os.File{in, out, errs}
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for _, f := range append(theirs, r) {
		_ = f.Close()
	}
	c.pid, c.pidfd = cmd.Process.Pid, os.NewFile(uintptr(fd), "pidfd")
	d.gates[m.ID] = w
	return c, nil
}

func openTerminal() (master, slave *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	master = os.NewFile(uintptr(fd), "ptmx")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, err
	}
	peer, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if e != 0 {
		return nil, nil, e
	}
	return master, os.NewFile(peer, "tty"), nil
}

func (d *fakeDaemon) start(m *message) error {
	c, err := d.park(m)
	if err != nil {
		return err
	}
	err = d.client.Adopt(d.ctx, Adopt{
		ID: m.ID, Dir: m.Dir, PID: c.pid, Pidfd: c.pidfd, Stdout: c.out, Stderr: c.err, Pty: c.pty, Stdin: c.in,
		Started: time.Now(), Volatile: m.Volatile,
	})
	for _, f := range []*os.File{c.out, c.err, c.in, c.pidfd, c.pty} {
		closed(f)
	}
	if err == nil {
		_, err = d.gates[m.ID].Write([]byte("go\n"))
	}
	return err
}

func (d *fakeDaemon) session(m *message) error {
	c, err := d.park(m)
	if err != nil {
		return err
	}
	err = d.client.Session(d.ctx, Session{ID: m.ID, PID: c.pid, Pidfd: c.pidfd, Status: m.files[slotStatus], Report: m.Report, Key: m.Key})
	if err == nil && !m.Volatile { // volatile: it stays parked
		_, err = d.gates[m.ID].Write([]byte("go\n"))
	}
	return err
}

// rig is a monitor under test, with the front's and the script's ends of its sockets.
type rig struct {
	testing.TB
	control *Control
	script  *packet
	run     string
	pending []*message // of the script, not yet asked for
	daemon  int        // pid of the one that spoke last
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
	r := &rig{TB: t, run: run}
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
	if did := r.await("did"); did.Failure != nil {
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
