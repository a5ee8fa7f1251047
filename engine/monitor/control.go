package monitor

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
)

// socketName is the monitor's control socket in the run directory.
const socketName = "monitor.sock"

// Ending is how a mount ends.
type Ending string

// How a mount ends.
const (
	Ask   Ending = "ask"   // refuse if containers run
	Stop  Ending = "stop"  // stop them first
	Leave Ending = "leave" // leave them for the next mount
	Kill  Ending = "kill"  // as Stop, without waiting for anything; for a second ctrl-C
)

// Control is a connection to a monitor: what `hull mount` and `hull umount` use. Calls are made one at a time.
type Control struct {
	conn *packet
	seq  uint64
}

// Dial connects to the monitor whose run directory is run. Kind NotFound: there is none.
func Dial(ctx context.Context, run string) (*Control, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, &Error{Op: "dial", Kind: System, Sentence: "no socket could be made", Err: os.NewSyscallError("socket", err)}
	}
	if err := connectUnix(fd, filepath.Join(run, socketName)); err != nil {
		_ = unix.Close(fd)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) {
			return nil, &Error{Op: "dial", Kind: NotFound, Sentence: "no hull is mounted with the run directory " + run}
		}
		return nil, &Error{Op: "dial", Kind: System, Sentence: "hull's monitor could not be reached", Err: err}
	}
	conn, err := newPacket(fd)
	if err != nil {
		return nil, err
	}
	return &Control{conn: conn}, ctx.Err()
}

// Spawn starts cmd, which must call Serve, as a monitor in a session of its own, with one end of a control connection
// as its descriptor FrontFD, and gives the other end. Standard output and error of cmd must be files or nil.
func Spawn(cmd *exec.Cmd) (*Control, error) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, &Error{Op: "spawn", Kind: System, Sentence: "no socket could be made", Err: os.NewSyscallError("socketpair", err)}
	}
	far := os.NewFile(uintptr(p[1]), "front")
	defer func() { _ = far.Close() }()
	conn, err := newPacket(p[0])
	if err != nil {
		return nil, err
	}
	cmd.ExtraFiles = append([]*os.File{far}, cmd.ExtraFiles...)
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid = true
	if err := sys.Patiently(cmd.Start); err != nil {
		_ = conn.close()
		return nil, &Error{Op: "spawn", Kind: System, Sentence: "hull's monitor could not be started", Err: err}
	}
	_ = cmd.Process.Release() // it ends by itself: Ended tells
	return &Control{conn: conn}, nil
}

// Close drops the connection. The monitor goes on.
func (c *Control) Close() error { return c.conn.close() }

// Ready waits until the daemon is ready, or says in a sentence why it will not be (Kind Failed).
func (c *Control) Ready(ctx context.Context) error { return c.do(ctx, &message{Op: opReady}) }

// Mount asks a monitor that was left without a daemon to start one; payload goes to Options.Daemon. Kind Exists if a
// daemon runs already. Ready tells how it went.
func (c *Control) Mount(ctx context.Context, payload []byte) error {
	return c.do(ctx, &message{Op: opMount, Payload: payload})
}

// Umount ends the mount and returns when daemon and tree are gone (with Ask and Stop the monitor too). Kind Busy, with
// the Names, if containers run and mode is Ask. A cancelled ctx does not call an ending off.
func (c *Control) Umount(ctx context.Context, mode Ending) error {
	return c.do(ctx, &message{Op: opUmount, Mode: mode})
}

// Renew kills the daemon, for it hangs, and so has the monitor start another. Ready tells when that is there.
func (c *Control) Renew(ctx context.Context) error { return c.do(ctx, &message{Op: opRenew}) }

// Ended waits until the mount has ended by whatever way; nil if it ended as it was asked to, also if ctx ends when it has:
// who has ended it, and is answered, may then have sent the signal that ends ctx.
func (c *Control) Ended(ctx context.Context) error { return c.do(ctx, &message{Op: opEnded}) }

// do sends a request and waits for its answer. A deadline in the past is what wakes it when ctx ends.
func (c *Control) do(ctx context.Context, m *message) error {
	fired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = c.conn.file.SetDeadline(time.Unix(1, 0))
		close(fired)
	})
	defer func() {
		if !stop() {
			<-fired
			_ = c.conn.file.SetDeadline(time.Time{})
		}
	}()
	c.seq++
	m.Seq = c.seq
	// The monitor's last word may be there to read although it no longer hears.
	refused := c.conn.send(m)
	for {
		r, err := c.conn.receive()
		if err != nil && ctx.Err() != nil { // what has been answered by now counts, although it is not waited for
			r, err = c.conn.received()
		}
		if err != nil {
			return c.failed(ctx, m.Op, errors.Join(refused, err))
		}
		r.close()
		switch {
		case r.Seq == m.Seq, r.Seq == 0 && r.Op == opEnded && r.Failure != nil:
			return asFailure(r.Failure)
		case r.Seq == 0 && r.Op == opEnded:
			return lastWord(m.Op)
		}
		// Else it is the late answer to a call that was given up.
	}
}

func asFailure(e *Error) error {
	if e == nil {
		return nil
	}
	return e
}

// lastWord is the answer to a call that the mount's orderly end came before.
func lastWord(o op) error {
	if o == opEnded || o == opUmount {
		return nil
	}
	return gone()
}

func (c *Control) failed(ctx context.Context, o op, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return lost(string(o), err)
}

// connectUnix connects to a socket by a path of any length: a unix address holds only 107 bytes.
func connectUnix(fd int, path string) error {
	dir, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("open", err)
	}
	defer func() { _ = unix.Close(dir) }()
	return os.NewSyscallError("connect", unix.Connect(fd, &unix.SockaddrUnix{Name: fdPath(dir, path)}))
}

func fdPath(dir int, path string) string {
	return "/proc/self/fd/" + strconv.Itoa(dir) + "/" + filepath.Base(path)
}
