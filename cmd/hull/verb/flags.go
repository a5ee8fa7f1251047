package verb

import (
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"hull/fs/wire"
)

// Kind is how a flag's value is read.
type Kind byte

// The kinds of flags.
const (
	Text      Kind = iota // takes a value
	Switch                // takes none, or =true or =false
	Env                   // takes NAME=VALUE, or NAME for the caller's own value
	EnvFile               // takes the path of a file of such lines
	Security              // takes NAME=VALUE, each of which is a setting of its own
	Log                   // takes NAME=VALUE as docker's log drivers do, each of which is a setting of its own
	LogDriver             // takes one of docker's log drivers that keep files, as hull does anyway
	LabelFile             // takes the path of a file of labels, NAME=VALUE a line
	OwnFile               // takes the path of a file that the helper itself writes
	Mount                 // takes docker's -v or --mount, whose path of the host may be relative to the caller's directory
)

// Flag is one row of a verb's flags.
type Flag struct {
	Name  string // long, without dashes
	Short string // one letter, or empty
	// Setting is the option's name in the request: a container's setting, or one of the verb's own options.
	Setting string
	Kind    Kind
	Repeat  bool   // may be given several times, each of which counts; of others the last does
	Prefix  string // of a Text: goes before the value, where several flags are one setting's
	Summary string
}

// errHelp is that the caller asked for the flags.
var errHelp = errors.New("help")

// Parse reads the flags of a verb that nobody executes: there is no environment to take variables from.
func Parse(args []string, flags []Flag) ([]wire.Option, []string, error) {
	options, rest, err := (&parser{args: args, flags: flags}).parse()
	if errors.Is(err, errHelp) {
		err = errors.New("execute the file with --help to see its flags")
	}
	return options, rest, err
}

// parse reads flags as docker does: they end at the first argument that is none, or after "--". The options come in
// the order in which they were given, those of files before the others.
func parse(args []string, flags []Flag, lookup func(string) (string, bool)) ([]wire.Option, []string, error) {
	return (&parser{args: args, flags: flags, lookup: lookup, read: readFile, here: filepath.Abs}).parse()
}

func (p *parser) parse() ([]wire.Option, []string, error) {
	for len(p.args) > 0 {
		arg := p.args[0]
		if arg == "--" {
			p.args = p.args[1:]
			break
		}
		if len(arg) < 2 || arg[0] != '-' {
			break
		}
		p.args = p.args[1:]
		var err error
		if name, long := strings.CutPrefix(arg, "--"); long {
			err = p.long(name)
		} else {
			err = p.short(arg[1:])
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return append(p.first, p.options...), p.args, nil
}

// later are docker run's flags for what hull does not do yet.
const later = " --volume-driver "

func noFlag(flag string) error {
	switch flag {
	case "--volumes-from":
		return errors.New("hull has no --volumes-from: give both containers the same -v")
	case "--link":
		return errors.New("hull has no --link: containers of one network (--network NAME) find each other by name, and --network-alias NAME gives one another name")
	}
	if strings.Contains(later, " "+flag+" ") {
		return errors.New("hull has no " + flag + " yet; --help lists the flags there are")
	}
	return errors.New("there is no flag " + flag + "; see --help")
}

type parser struct {
	args    []string // not read yet
	flags   []Flag
	lookup  func(string) (string, bool)       // a variable of the caller's; nil: there are none
	read    func(path string) ([]byte, error) // a file of the caller's; nil: there are none
	here    func(path string) (string, error) // what a relative path is to the caller; nil: there is no caller
	first   []wire.Option                     // from files
	options []wire.Option
}

// long reads NAME or NAME=VALUE.
func (p *parser) long(arg string) error {
	name, value, given := strings.Cut(arg, "=")
	i := slices.IndexFunc(p.flags, func(f Flag) bool { return f.Name == name })
	switch {
	case i >= 0:
		return p.take(p.flags[i], "--"+name, value, given)
	case name == "help":
		return errHelp
	}
	return noFlag("--" + name)
}

// short reads letters: switches, of which the last may be a flag with its value behind it or in the next argument.
func (p *parser) short(letters string) error {
	for letters != "" {
		letter := letters[:1]
		i := slices.IndexFunc(p.flags, func(f Flag) bool { return f.Short == letter })
		if i < 0 {
			return noFlag("-" + letter)
		}
		f, rest := p.flags[i], letters[1:]
		if f.Kind != Switch {
			return p.take(f, "-"+letter, strings.TrimPrefix(rest, "="), rest != "")
		}
		if value, given := strings.CutPrefix(rest, "="); given {
			return p.take(f, "-"+letter, value, true)
		}
		if err := p.take(f, "-"+letter, "", false); err != nil {
			return err
		}
		letters = rest
	}
	return nil
}

// take keeps what a flag says. as is how it was written.
func (p *parser) take(f Flag, as, value string, given bool) error {
	switch {
	case given:
	case f.Kind == Switch:
		value = "true"
	case len(p.args) == 0:
		return errors.New(as + " needs a value")
	default:
		value, p.args = p.args[0], p.args[1:]
	}
	switch f.Kind {
	case Text:
		value = f.Prefix + value
	case Switch:
		on, err := strconv.ParseBool(value)
		if err != nil {
			return errors.New(as + " is a switch: it takes true or false, not " + strconv.Quote(value))
		}
		value = strconv.FormatBool(on)
	case Env:
		variable, set, err := p.variable(value)
		if err != nil {
			return errors.New(as + ": " + err.Error())
		}
		switch {
		case set:
			value = variable
		case p.lookup == nil:
			return nil
		} // else the name alone takes away the image's, as with docker
	case EnvFile:
		return p.file(f, as, value)
	case Security:
		o, err := p.security(value)
		if err != nil {
			return errors.New(as + ": " + err.Error())
		}
		if o.Name != "" { // else it is so anyway
			p.options = append(p.options, o)
		}
		return nil
	case LogDriver:
		return logDriver(as, value)
	case LabelFile:
		return p.labels(f, as, value)
	case Log:
		o, err := logOption(value)
		if err != nil {
			return errors.New(as + ": " + err.Error())
		}
		p.options = append(p.options, o)
		return nil
	case OwnFile:
		if p.read == nil {
			return errors.New(as + ": " + value + " is a file of yours: execute run to have it written")
		}
	case Mount:
		var err error
		if value, err = p.mount(value); err != nil {
			return errors.New(as + ": " + err.Error())
		}
	}
	p.options = append(p.options, wire.Option{Name: f.Setting, Value: value})
	return nil
}

// help lists flags.
func help(usage string, flags []Flag) string {
	var b strings.Builder
	b.WriteString("usage: " + usage + "\n")
	for _, f := range flags {
		short, value := "    ", ""
		if f.Short != "" {
			short = "-" + f.Short + ", "
		}
		switch f.Kind {
		case Switch:
		case Text:
			value = " VALUE"
		case Env:
			value = " NAME[=VALUE]"
		case EnvFile, LabelFile, OwnFile:
			value = " FILE"
		case LogDriver:
			value = " DRIVER"
		case Security, Log:
			value = " OPTION"
		case Mount:
			value = " MOUNT"
		}
		flag := "  " + short + "--" + f.Name + value
		b.WriteString(strings.TrimRight(flag+strings.Repeat(" ", max(2, 32-len(flag)))+f.Summary, " ") + "\n")
	}
	return b.String()
}

// last gives the last value of an option.
func last(options []wire.Option, name string) string {
	for _, o := range slices.Backward(options) {
		if o.Name == name {
			return o.Value
		}
	}
	return ""
}
