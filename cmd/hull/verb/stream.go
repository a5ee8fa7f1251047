package verb

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"hull/fs/wire"
)

func (h *helper) input(r *wire.Request) error { return h.stream(r, 0) }

func (h *helper) output(r *wire.Request) error { return h.stream(r, 1) }

// stream lends a pipe in the place of the standard input (0) or output (1): the daemon itself reads or writes it, and
// must be able to leave it at any time, whatever the caller's descriptor is.
func (h *helper) stream(r *wire.Request, i int) error {
	if err := h.takeNamed(r, i); err != nil {
		return err
	}
	switch {
	case i == 0 && isTerminal(h.in):
		return errors.New("there is no archive on a terminal: give it one, as in load < FILE")
	case i == 1 && isTerminal(h.out):
		return errors.New("an archive is nothing for a terminal: send it to a file or a pipe, as in save > FILE")
	}
	if i == 0 { // a read of nothing tells whether there can be another; a directory cannot be read
		if _, err := unix.Read(h.in, nil); errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EBADF) {
			return fmt.Errorf("the input cannot be read: %w", err)
		}
	}
	if err := h.lent.pipe(i, [2]int{h.in, h.out}[i]); err != nil {
		return err
	}
	r.Stdio[i] = true
	return nil
}

// flow copies to and from such pipes, and returns how to wait for the end of what comes. Input goes on until it ends
// or nobody reads it.
func (h *helper) flow() (over func() error) {
	if h.verb != "save" && h.verb != "export" && h.verb != "load" {
		return func() error { return nil }
	}
	if to := h.lent.input; to != nil {
		h.unread = make(chan error, 1)
		go func() {
			if err := pump(h.in, func(b []byte) error { return writeAll(number(to), b) }); err != nil {
				h.unread <- err // to stays open: the daemon must not take this for the end
				return
			}
			_ = to.Close()
		}()
	}
	if len(h.lent.outputs) == 0 {
		return func() error { return nil }
	}
	from := h.lent.outputs[0]
	done := make(chan error, 1)
	go func() {
		var failed error
		for more := true; more && failed == nil; {
			more, failed = from.copy()
		}
		_ = from.file.Close() // nobody wants more, if it failed: that ends the daemon's work
		done <- failed
	}()
	return func() error { return <-done }
}
