package verb

import (
	"errors"

	"golang.org/x/sys/unix"

	"hull/fs/wire"
)

// The names of the options by which the helper itself goes.
const (
	optionTTY    = "tty"
	optionStdin  = "stdin"
	optionDetach = "detach"
	optionKeys   = "detach-keys"
	optionNoIn   = "no-stdin"
	// optionPlatform is run's setting, and pull's own option.
	optionPlatform = "platform"
)

// request makes the request of the arguments and of what the standard descriptors are. Nil means that there is none to
// make, because help was asked for and given.
func (h *helper) request(t wire.Ticket, args []string) (*wire.Request, error) {
	r := &wire.Request{Token: t.Token, Args: args}
	if t.Verb == "exec" { // all arguments are the command's
		return r, h.lend(r)
	}
	f := h.form(t.Verb)
	var err error
	r.Options, r.Args, err = parse(args, f.flags, h.lookup)
	if errors.Is(err, errHelp) {
		return nil, writeAll(h.out, []byte(help(f.usage, f.flags)))
	}
	if err != nil {
		return nil, err
	}
	h.platform(t.Verb, r)
	if f.ready == nil {
		return r, nil
	}
	return r, f.ready(h, r)
}

// platform asks for the platform of docker's variable where no flag names another.
func (h *helper) platform(verb string, r *wire.Request) {
	name, set := h.lookup("DOCKER_DEFAULT_PLATFORM")
	if verb != "run" && verb != "pull" || !set || name == "" || last(r.Options, optionPlatform) != "" {
		return
	}
	r.Options = append(r.Options, wire.Option{Name: optionPlatform, Value: name})
}

// window tells the size of the caller's terminal for a container that is to have one, and makes the file for its ID.
func (h *helper) window(r *wire.Request) error {
	if err := h.terminalFor(r); err != nil {
		return err
	}
	return h.takeID(r)
}

func (h *helper) terminalFor(r *wire.Request) error {
	if last(r.Options, optionDetach) == "true" {
		return nil
	}
	if err := h.keysOf(r); err != nil {
		return err
	}
	h.interactive = last(r.Options, optionStdin) == "true"
	if last(r.Options, optionTTY) != "true" {
		return nil
	}
	if h.interactive && !isTerminal(h.in) {
		return errors.New("the input device is not a TTY: leave out -t to run it without a terminal")
	}
	r.Terminal = h.describe()
	return nil
}

// describe tells of the caller's terminal.
func (h *helper) describe() *wire.Terminal {
	t := &wire.Terminal{}
	if w, err := unix.IoctlGetWinsize(h.terminalOf(), unix.TIOCGWINSZ); err == nil {
		t.Rows, t.Cols = w.Row, w.Col
	}
	t.Term, _ = h.lookup("TERM")
	return t
}

// terminalOf is a descriptor of the caller's terminal, if there is one: that of the input, which has the keys.
func (h *helper) terminalOf() int {
	for _, fd := range []int{h.in, h.out, h.err} {
		if isTerminal(fd) {
			return fd
		}
	}
	return h.in
}
