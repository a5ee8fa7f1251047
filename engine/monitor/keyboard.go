package monitor

import (
	"errors"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// keyboard is where somebody who is attached types: a pipe, from which it goes to the container's terminal. No client
// gets the terminal's own master: with that it could read what the log is to have, make the monitor wait, or set modes
// that change what all others see.
type keyboard struct {
	container *container
	status    *status
	file      *os.File
	src       *source
}

// addKeyboard takes over f.
func (c *container) addKeyboard(t *status, f *os.File) (*keyboard, error) {
	if c.pty == nil {
		closed(f)
		return nil, &Error{Op: string(opAttach), ID: c.id, Kind: Invalid, Sentence: "the container has no terminal to type on"}
	}
	k := &keyboard{container: c, status: t, file: f}
	if err := k.watch(); err != nil {
		closed(f)
		return nil, err
	}
	return k, nil
}

func (k *keyboard) watch() (err error) {
	k.src, err = k.container.server.loop.watch(rawFD(k.file), unix.EPOLLIN, k.ready)
	return err
}

// pipe is where it is typed; nil if nothing is.
func (k *keyboard) pipe() *os.File {
	if k == nil {
		return nil
	}
	return k.file
}

// ready types what has come. A terminal whose container does not read has no room after a while: then nothing is taken
// from the pipe, and whoever types waits, until it has. A size that was told before comes before.
func (k *keyboard) ready(uint32) {
	if k.status.listen(); k.file == nil {
		return
	}
	switch n, err := k.move(); {
	case errors.Is(err, unix.EAGAIN):
		if k.waiting() {
			k.stall()
		}
	case errors.Is(err, unix.EINTR):
	case err != nil: // nobody has the terminal open: it is typed for nobody
		k.drop()
	case n == 0:
		k.end()
	}
}

func (k *keyboard) move() (int64, error) {
	return unix.Splice(rawFD(k.file), nil, rawFD(k.container.pty), nil, pipeful, unix.SPLICE_F_NONBLOCK)
}

// waiting tells whether there is something in the pipe.
func (k *keyboard) waiting() bool {
	n, err := unix.IoctlGetInt(rawFD(k.file), unix.TIOCINQ) // FIONREAD
	return err == nil && n > 0
}

// drop throws away what is in the pipe.
func (k *keyboard) drop() {
	n, err := unix.Splice(rawFD(k.file), nil, rawFD(k.container.server.null), nil, pipeful, unix.SPLICE_F_NONBLOCK)
	if err == nil && n == 0 {
		k.end()
	}
}

// stall stops listening to the pipe until the terminal has room. (That nobody types any more would be told again and
// again by a watch for no event.)
func (k *keyboard) stall() {
	c := k.container
	k.src.drop()
	k.src = nil
	c.stalled = append(c.stalled, k)
	if c.room != nil {
		return
	}
	src, err := c.server.loop.watch(rawFD(c.pty), unix.EPOLLOUT, func(uint32) { c.hasRoom() })
	if err != nil { // no memory: what waits is lost with the session
		c.server.log.Error("a terminal cannot be watched", "container", c.id, "err", err)
		return
	}
	c.room = src
}

// hasRoom lets who stalled go on.
func (c *container) hasRoom() {
	c.room.drop()
	c.room = nil
	all := c.stalled
	c.stalled = nil
	for _, k := range all {
		if err := k.watch(); err != nil {
			k.end()
		}
	}
}

// end closes the keyboard. What was typed before goes to the terminal, as far as that has room.
func (k *keyboard) end() {
	if k == nil || k.file == nil {
		return
	}
	for {
		if n, err := k.move(); err != nil || n == 0 {
			break
		}
	}
	c := k.container
	c.stalled = slices.DeleteFunc(c.stalled, func(o *keyboard) bool { return o == k })
	if len(c.stalled) == 0 {
		c.room.drop()
		c.room = nil
	}
	k.src.drop()
	k.file = closed(k.file)
}
