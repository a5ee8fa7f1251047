package verb

import (
	"errors"

	"hull/fs/wire"
)

// The flags of the verbs that lead into a container, as docker exec, attach and logs have them.

func enterFlags() []Flag {
	return []Flag{
		{Name: "detach", Short: "d", Setting: optionDetach, Kind: Switch, Summary: "return at once; the command goes on, with no input and its output thrown away"},
		{Name: "env", Short: "e", Setting: "env", Kind: Env, Repeat: true, Summary: "a variable of the environment, added to the container's"},
		{Name: "env-file", Setting: "env", Kind: EnvFile, Repeat: true, Summary: "variables from a file"},
		{Name: "interactive", Short: "i", Setting: optionStdin, Kind: Switch, Summary: "give the command the caller's input"},
		{Name: "privileged", Setting: "privileged", Kind: Switch, Summary: "all capabilities within the container's users, and no seccomp; root's only"},
		{Name: "tty", Short: "t", Setting: optionTTY, Kind: Switch, Summary: "give the command a terminal"},
		{Name: "user", Short: "u", Setting: "user", Summary: "the user, by name or number, and :GROUP if not the user's own"},
		{Name: "workdir", Short: "w", Setting: "workdir", Summary: "the working directory"},
	}
}

func attachFlags() []Flag {
	return []Flag{
		{Name: "detach-keys", Setting: optionKeys, Summary: "the keys that leave; ctrl-p,ctrl-q if not given"},
		{Name: "no-stdin", Setting: optionNoIn, Kind: Switch, Summary: "only look"},
		{Name: "sig-proxy", Setting: "sig-proxy", Kind: Switch, Summary: "hand signals on to a container without a terminal; true if not given"},
	}
}

func followFlags() []Flag {
	return []Flag{
		{Name: "follow", Short: "f", Setting: "follow", Kind: Switch, Summary: "wait for the container's end, true if not given; false: print what there is"},
		{Name: "tail", Short: "n", Setting: "tail", Summary: "begin with so many lines before the end; all if not given"},
		{Name: "since", Setting: "since", Summary: "begin with what came at a time (2006-01-02T15:04:05Z, or seconds since 1970), or a while ago (10m)"},
		{Name: "timestamps", Short: "t", Setting: "timestamps", Kind: Switch, Summary: "begin each line with its time"},
	}
}

// enter completes a request for a command in a container. Unlike the files in exec/, it gives nothing that was not asked
// for: scripts that call docker exec rely on the input being left alone without -i.
func (h *helper) enter(r *wire.Request) error {
	tty, stdin := last(r.Options, optionTTY) == "true", last(r.Options, optionStdin) == "true"
	switch {
	case len(r.Args) == 0 || r.Args[0] == "":
		return errors.New("enter needs a COMMAND: enter [FLAGS] COMMAND…")
	case last(r.Options, optionDetach) == "true":
		return nil
	case tty && stdin && !isTerminal(h.in):
		return errors.New("the input device is not a TTY: leave out -t to execute it without a terminal")
	case tty:
		r.Terminal, h.interactive = h.describe(), stdin
		return nil
	case stdin:
		return h.lendSome(r, 0, 1, 2)
	}
	return h.lendSome(r, 1, 2)
}

// attach completes a request to be attached. Whether there is a terminal, and input, the answer tells.
func (h *helper) attach(r *wire.Request) error {
	h.interactive = last(r.Options, optionNoIn) != "true"
	return h.keysOf(r)
}

// keysOf puts what the keys that detach are in the place of how they were written. A session on a descriptor has none: it
// is left by closing it, and any bytes may be written to it.
func (h *helper) keysOf(r *wire.Request) error {
	if h.device {
		return nil
	}
	keys, err := DetachKeys(last(r.Options, optionKeys))
	if err == nil {
		r.Options = append(r.Options, wire.Option{Name: optionKeys, Value: keys})
	}
	return err
}
