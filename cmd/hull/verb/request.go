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
	var flags []Flag
	usage := ""
	switch t.Verb {
	case "exec": // all arguments are the command's
		return r, h.lend(r)
	case "run":
		flags, usage = h.flags(), "run [FLAGS] [IMAGE] [COMMAND…]   (IMAGE only for the run of the whole tree)"
	case "pull":
		flags = []Flag{
			{Name: "quiet", Short: "q", Setting: "quiet", Kind: Switch, Summary: "print only what was pulled"},
			{Name: "all-tags", Short: "a", Setting: "all", Kind: Switch, Summary: "every tag of the repository"},
			{Name: "platform", Setting: optionPlatform, Summary: "for another machine than this, as linux/arm64; the name then leads to that image"},
		}
		usage = "pull [-q] [-a] [--platform PLATFORM] REFERENCE"
	case "enter":
		flags, usage = enterFlags(), "enter [FLAGS] COMMAND…"
	case "attach":
		flags, usage = attachFlags(), "attach [FLAGS]"
	case "follow":
		flags, usage = followFlags(), "follow [FLAGS]"
	case "login":
		flags, usage = []Flag{
			{Name: "username", Short: "u", Setting: "user", Summary: "who logs in; it asks if not given"},
			{Name: "password-stdin", Setting: optionPiped, Kind: Switch, Summary: "read the password from the input, a terminal too"},
		}, "login [-u USER]   (asks at a terminal; else USER PASSWORD, or with -u the password, comes by the input)"
	case "search":
		flags, usage = []Flag{{Name: "limit", Setting: "limit", Summary: "at most so many, 25 if not given"}}, "search [--limit N] TERM"
	case "tags":
		usage = "tags REPOSITORY"
	case "prune":
		flags = []Flag{
			{Name: "dry-run", Short: "n", Setting: "dry-run", Kind: Switch, Summary: "only say what would go"},
			{Name: "all", Short: "a", Setting: "all", Kind: Switch, Summary: "also images and volumes that have a name, if no container has them"},
		}
		usage = "prune [-n] [-a] containers|images|networks|volumes|all"
	case "save":
		flags = outputFlags()
		usage = "save [-o FILE] [IMAGE…]   or   save [IMAGE…] > FILE   (more images are put into the same archive)"
	case "export":
		flags, usage = outputFlags(), "export [-o FILE]   or   export > FILE"
	case "load":
		flags = []Flag{{Name: "input", Short: "i", Setting: optionInput, Summary: "read this file in the place of the input"}}
		usage = "load [-i FILE]   or   load < FILE"
	default:
		usage = t.Verb
	}
	var err error
	r.Options, r.Args, err = parse(args, flags, h.lookup)
	if errors.Is(err, errHelp) {
		return nil, writeAll(h.out, []byte(help(usage, flags)))
	}
	if err != nil {
		return nil, err
	}
	h.platform(t.Verb, r)
	switch t.Verb {
	case "run":
		return r, h.window(r)
	case "enter":
		return r, h.enter(r)
	case "attach":
		return r, h.attach(r)
	case "login":
		return r, h.login(r)
	case "save", "export":
		return r, h.stream(r, 1)
	case "load":
		return r, h.stream(r, 0)
	}
	return r, nil
}

// platform asks for the platform of docker's variable where no flag names another.
func (h *helper) platform(verb string, r *wire.Request) {
	name, set := h.lookup("DOCKER_DEFAULT_PLATFORM")
	if verb != "run" && verb != "pull" || !set || name == "" || last(r.Options, optionPlatform) != "" {
		return
	}
	r.Options = append(r.Options, wire.Option{Name: optionPlatform, Value: name})
}

func outputFlags() []Flag {
	return []Flag{{Name: "output", Short: "o", Setting: optionOutput, Summary: "write to this file in the place of the output"}}
}

// window tells the size of the caller's terminal for a container that is to have one.
func (h *helper) window(r *wire.Request) error {
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
