package fs

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// maxLine bounds a command, so that nobody fills the daemon's memory with a line that never ends.
const maxLine = 64 << 10

// ctlHandle takes commands, one a line, and answers them in write(2): no shell looks at what close says. A write that
// ends without a newline ends a command too, but for one of a multiple of 4096 bytes, as a buffered program makes when
// it is in the middle of a line.
type ctlHandle struct {
	e  *entry
	by Credential

	mu      sync.Mutex
	held    []byte        // the beginning of a command whose end has not been written
	refused syscall.Errno // after an error this open file takes no more
}

func (h *ctlHandle) size() (int64, bool) { return 0, false }

func (h *ctlHandle) cut(context.Context, int64) error { return nil }

func (h *ctlHandle) Read(ctx context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	return fuse.ReadResultData(part(usage(h.e.row.commands), dest, off)), 0
}

// Write runs the commands. When one fails after others were done, the write is as long as those, so that the caller's
// write of the rest gets the errno.
func (h *ctlHandle) Write(ctx context.Context, data []byte, _ int64) (uint32, syscall.Errno) {
	ctx, done := h.e.t.request(ctx)
	defer done()
	ctx = WithCaller(ctx, h.by) // the opener's authority, whoever writes
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refused != 0 {
		return 0, h.refused
	}
	before := len(h.held)
	commands, held := split(append(h.held, data...), len(data)%4096 == 0)
	h.held = nil
	written := 0
	for _, c := range commands {
		err := h.run(ctx, string(c))
		if err != nil {
			errno := h.e.t.failed(ctx, "ctl", h.e, "", err)
			if errno != syscall.EINTR {
				h.refused = errno
			}
			if n := written - before; n > 0 {
				return uint32(n), 0
			}
			return 0, errno
		}
		written += len(c) + 1
	}
	if len(held) > maxLine {
		err := fail(Invalid, "ctl", h.e.path(), fmt.Sprintf("A command in %s is longer than %d bytes.", h.e.path(), maxLine))
		h.refused = h.e.t.failed(ctx, "ctl", h.e, "", err)
		return 0, h.refused
	}
	h.held = append([]byte(nil), held...)
	return uint32(len(data)), 0
}

// Flush and Release drop a command whose end never came: it cannot be answered any more.
func (h *ctlHandle) Flush(context.Context) syscall.Errno { return 0 }

// split cuts what was written into whole commands. What is left is held if more may come, else it is one too.
func split(b []byte, more bool) (commands [][]byte, held []byte) {
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			break
		}
		commands = append(commands, b[:i])
		b = b[i+1:]
	}
	if len(b) > 0 && !more {
		return append(commands, b), nil
	}
	return commands, b
}

// run does one command. Empty lines and those that begin with # do nothing, so that what ctl shows can be edited and
// written back.
func (h *ctlHandle) run(ctx context.Context, text string) error {
	if strings.IndexByte(text, 0) >= 0 || len(text) > maxLine {
		return fail(Invalid, "ctl", h.e.path(), fmt.Sprintf("What was written to %s is no command: one command a line, as text.", h.e.path()))
	}
	words := strings.Fields(text)
	if len(words) == 0 || strings.HasPrefix(words[0], "#") {
		return nil
	}
	if err := h.e.alive(); err != nil {
		return err
	}
	for _, c := range h.e.row.commands {
		if c.name == words[0] {
			if err := c.do(ctx, h.e, text, words); err != nil {
				return err
			}
			h.e.t.succeeded(h.e)
			return nil
		}
	}
	var names []string
	for _, c := range h.e.row.commands {
		names = append(names, c.name)
	}
	return fail(Invalid, "ctl", h.e.path(), fmt.Sprintf("%s has no command %q; it knows %s.", h.e.path(), words[0], strings.Join(names, ", ")))
}

// do runs one command.
func (c *command) do(ctx context.Context, e *entry, text string, words []string) error {
	if c.whole != nil {
		return c.whole(ctx, e.t, e, strings.TrimSpace(strings.TrimLeft(text, " \t")[len(c.name):]))
	}
	args := words[1:]
	if c.args == "" && len(args) > 0 {
		return fail(Invalid, c.name, e.path(), fmt.Sprintf("%s takes nothing after it, not %q.", c.name, strings.Join(args, " ")))
	}
	return c.run(ctx, e.t, e, args)
}

// optional and one check how many words follow a command.
func optional(e *entry, name, what string, args []string) (string, error) {
	switch len(args) {
	case 0:
		return "", nil
	case 1:
		return args[0], nil
	}
	return "", fail(Invalid, name, e.path(), fmt.Sprintf("%s takes at most %s after it, not %q.", name, what, strings.Join(args, " ")))
}

func one(e *entry, name, what string, args []string) (string, error) {
	if len(args) != 1 {
		return "", fail(Invalid, name, e.path(), fmt.Sprintf("%s takes %s after it.", name, what))
	}
	return args[0], nil
}
