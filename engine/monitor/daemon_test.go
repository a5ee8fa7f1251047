package monitor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

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
	go d.followMonitor()
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

// followMonitor starts another monitor when this one is killed, as the real daemon does.
func (d *fakeDaemon) followMonitor() {
	<-d.client.Lost()
	check(unix.Dup3(script, highScript, 0))
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{"monitor"}
	cmd.Env = append(os.Environ(), roleVar+"=interim", "HULL_SCRIPT=high")
	cmd.Stderr = os.Stderr
	check(d.client.Succeed(cmd))
	check(unix.Kill(os.Getpid(), unix.SIGKILL))
}

// interimRole starts the next monitor, as the real one does.
func interimRole() int {
	number, err := strconv.Atoi(os.Args[len(os.Args)-1])
	check(err)
	check(Interim(os.NewFile(uintptr(number), "handover"), func() *exec.Cmd {
		cmd := exec.Command("/proc/self/exe")
		cmd.Args = []string{"monitor"}
		cmd.Env = append(os.Environ(), roleVar+"=monitor")
		cmd.Stderr = os.Stderr
		return cmd
	}))
	return 0
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
		var c *child
		if c, err = d.park(m); err == nil {
			m.PID = c.pid
		}
	case "start":
		err = d.start(m)
	case "session":
		err = d.session(m)
	case "hang-up":
		err = d.client.HangUp(d.ctx, m.ID, m.Key)
	case "signal":
		err = d.client.Signal(d.ctx, m.ID, m.Key, m.Signal)
	case "release":
		_, err = d.gates[m.ID].Write([]byte("go\n"))
	case "reap":
		var cmd *child
		if cmd, err = d.park(m); err == nil {
			err = d.client.Reap(d.ctx, cmd.pidfd)
		}
	case "attach":
		err = d.client.Attach(d.ctx, Attach{ID: m.ID, Key: m.Key, Status: m.files[slotStatus], Keys: m.files[slotKeys], Label: m.Payload, Segment: m.Segment, Paced: m.Paced})
	case opCloseStdin:
		err = d.client.CloseStdin(d.ctx, m.ID)
	case "bound":
		err = d.client.Bound(d.ctx, m.ID, m.Dir, m.bounds())
	case "stuff":
		err = d.stuff(m.ID, m.Text)
	case "forget":
		err = d.client.Forget(d.ctx, m.ID)
	case "list":
		var all []Held
		all, err = d.client.List(d.ctx)
		for _, h := range all {
			id := h.ID
			if h.Key != "" {
				id += "/" + h.Key + "/" + string(h.Label)
			}
			d.say("held", id, h.Exit)
			h.Close()
		}
	case opLend:
		err = d.client.Lend(d.ctx, m.Key, m.socket)
	case opReturn:
		err = d.client.Return(d.ctx, m.Key)
	case opLent:
		var all map[string]int
		all, err = d.client.Lent(d.ctx)
		for name, fd := range all {
			b := make([]byte, 100)
			n, _ := unix.Read(fd, b)
			d.say("lent", name+" has "+string(b[:max(n, 0)]), nil)
			check(unix.Close(fd))
		}
	case "done":
		if m.Text != "" {
			err = d.stop.Done(d.ctx, &Error{Kind: Busy, Names: []string{m.Text}})
		} else {
			check(d.stop.Done(d.ctx, nil))
			os.Exit(0)
		}
	default:
		err = errors.New("the fake daemon does not know " + string(m.Op))
	}
	m.close()
	r := &message{Op: "did", ID: string(m.Op), PID: m.PID}
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

// park starts the shell command m.Text as the monitor's child; it waits for its gate, unless Mode is "loose". Mode "tty"
// gives it a terminal.
func (d *fakeDaemon) park(m *message) (*child, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	gate := "read x <&3 || exit 124; exec 3<&-; "
	if m.Mode == "loose" {
		gate = ""
	}
	cmd := exec.Command("/bin/sh", "-c", gate+m.Text)
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
		cmd.SysProcAttr.Setsid = m.Op == "session" // as the real ones
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
		Started: time.Now(), Volatile: m.Volatile, Bounds: m.bounds(),
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
	err = d.client.Session(d.ctx, Session{ID: m.ID, PID: c.pid, Pidfd: c.pidfd, Status: m.files[slotStatus], Report: m.Report, Key: m.Key, Label: m.Payload})
	if err == nil && !m.Volatile { // volatile: it stays parked
		_, err = d.gates[m.ID].Write([]byte("go\n"))
	}
	return err
}
