package monitor

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"hull/engine/logs"
)

// A terminal's output goes to its log by way of a pipe, which splice needs at one side. What has left the terminal is in
// that pipe until it is in the log: so each terminal has one of its own, which is kept and handed over as all else of a
// container, and a monitor that goes on for one that was killed finds there what that was just moving.

// newBetween makes such a pipe: one open file is both of its ends.
func newBetween() (*os.File, error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("pipe2", err)
	}
	fd, err := unix.Open("/proc/self/fd/"+strconv.Itoa(p[0]), unix.O_RDWR|unix.O_CLOEXEC, 0)
	_, _ = unix.Close(p[0]), unix.Close(p[1])
	if err != nil {
		return nil, os.NewSyscallError("open", err)
	}
	return os.NewFile(uintptr(fd), "between"), nil
}

// addTerminal begins to watch a container's terminal. between is nil if whoever gave it knows of no such pipe.
func (c *container) addTerminal(between *os.File) (err error) {
	if c.between = between; between == nil {
		if c.between, err = newBetween(); err != nil {
			return err
		}
	}
	// The daemon shares the open file, and neither reads nor writes it; nobody else has it. So the loop never waits
	// for a terminal.
	if err := unix.SetNonblock(rawFD(c.pty), true); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	dup, err := duplicate(c.pty)
	if err != nil {
		return err
	}
	if err := c.server.addStream(c, dup, logs.Stdout, true); err != nil {
		_ = dup.Close()
		return err
	}
	c.streams[len(c.streams)-1].clear()
	return nil
}

func (t *stream) terminalReady(uint32) {
	for left := moveAtOnce; left > 0 && !t.container.held; {
		n := t.moveTerminal()
		if n == 0 {
			return
		}
		left -= n
	}
	t.listen()
}

// moveTerminal moves what the terminal has now, and leaves the pipe between empty.
func (t *stream) moveTerminal() int {
	n, err := unix.Splice(rawFD(t.file), nil, rawFD(t.container.between), nil, pipeful, unix.SPLICE_F_NONBLOCK)
	if err != nil || n <= 0 { // EAGAIN: there is nothing more; EIO: hung up
		return 0
	}
	t.clear()
	return int(n)
}

// clear moves what is in the pipe between.
func (t *stream) clear() {
	fd := rawFD(t.container.between)
	for left := waitingIn(fd); left > 0; {
		n, err := t.move(fd, left)
		if err != nil {
			return
		}
		left -= int(n)
	}
}

// drainTerminal moves what the process left when it ended. No process is there any more that could open the terminal.
func (t *stream) drainTerminal() {
	for left := 4 * pipeful; left > 0; {
		n := t.moveTerminal()
		if n == 0 {
			break
		}
		left -= n
	}
	t.end()
}
