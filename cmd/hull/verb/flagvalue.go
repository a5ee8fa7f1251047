package verb

import (
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"hull/fs/wire"
)

// Flags whose values are not kept as they were written.

// maxEnvFile is the size of the largest file of environment variables.
const maxEnvFile = 1 << 20

// mount makes the path of the host absolute in -v's PATH:TARGET and in --mount's type=bind,source=PATH. As docker has it,
// a path of -v begins with a slash or a dot: else it is a volume's name.
func (p *parser) mount(value string) (string, error) {
	if p.here == nil {
		return value, nil
	}
	if strings.HasPrefix(value, ".") {
		path, rest, more := strings.Cut(value, ":")
		if !more {
			return value, nil
		}
		path, err := p.here(path)
		return path + ":" + rest, err
	}
	fields := strings.Split(value, ",")
	if !slices.Contains(fields, "type=bind") {
		return value, nil
	}
	for i, field := range fields {
		key, path, _ := strings.Cut(field, "=")
		if (key == "source" || key == "src") && path != "" {
			path, err := p.here(path)
			if err != nil {
				return "", err
			}
			fields[i] = key + "=" + path
		}
	}
	return strings.Join(fields, ","), nil
}

// variable reads NAME=VALUE, or NAME, which is set if it is in the caller's environment.
func (p *parser) variable(s string) (variable string, set bool, err error) {
	name, _, given := strings.Cut(s, "=")
	if name == "" {
		return "", false, errors.New("an environment variable needs a name: " + strconv.Quote(s))
	}
	if given {
		return s, true, nil
	}
	if p.lookup == nil {
		return "", false, nil
	}
	value, ok := p.lookup(name)
	return name + "=" + value, ok, nil
}

// security reads docker's --security-opt: each of its options is a setting of hull's.
func (p *parser) security(s string) (wire.Option, error) {
	name, value, given := strings.Cut(s, "=")
	if !given { // docker's older form
		name, value, given = strings.Cut(s, ":")
	}
	switch name {
	case "no-new-privileges":
		on, err := strconv.ParseBool(value)
		if given && err != nil {
			return wire.Option{}, errors.New("no-new-privileges takes true or false, not " + strconv.Quote(value))
		}
		return wire.Option{Name: "no_new_privileges", Value: strconv.FormatBool(on || !given)}, nil
	case "label", "apparmor":
		if value == map[string]string{"label": "disable", "apparmor": "unconfined"}[name] {
			return wire.Option{}, nil
		}
		return wire.Option{}, errors.New("hull confines no container by SELinux or AppArmor, so there is label=disable and apparmor=unconfined, and not " + strconv.Quote(s))
	case "seccomp":
		if value == "builtin" {
			value = ""
		}
		if value == "" || value == "unconfined" {
			return wire.Option{Name: "seccomp", Value: value}, nil
		}
		profile, err := p.content(value)
		return wire.Option{Name: "seccomp", Value: string(profile)}, err
	}
	return wire.Option{}, errors.New("there is seccomp=FILE, seccomp=unconfined and no-new-privileges, and not " + strconv.Quote(s))
}

// logOption reads docker's --log-opt.
func logOption(s string) (wire.Option, error) {
	name, value, _ := strings.Cut(s, "=")
	switch name {
	case "max-size":
		return wire.Option{Name: "log_max", Value: value}, nil
	case "max-file":
		return wire.Option{Name: "log_files", Value: value}, nil
	}
	return wire.Option{}, errors.New("there is max-size=SIZE and max-file=COUNT, and not " + strconv.Quote(s))
}

// logDriver reads docker's --log-driver.
func logDriver(as, name string) error {
	if name == "json-file" || name == "local" {
		return nil
	}
	return errors.New(as + ": hull keeps logs in files of its own, as json-file and local do, and has no driver " + strconv.Quote(name))
}

// content reads a file of the caller's.
func (p *parser) content(path string) ([]byte, error) {
	if p.read == nil {
		return nil, errors.New(path + " is a file of yours: execute run to have it read")
	}
	return p.read(path)
}

// file reads a file of variables.
func (p *parser) file(f Flag, as, path string) error {
	return p.lines(as, path, "a variable", func(line string) error {
		variable, set, err := p.variable(line)
		if err == nil && set {
			p.first = append(p.first, wire.Option{Name: f.Setting, Value: variable})
		}
		return err
	})
}

// labels reads a file of labels.
func (p *parser) labels(f Flag, as, path string) error {
	return p.lines(as, path, "a label", func(line string) error {
		name, value, _ := strings.Cut(line, "=")
		if name == "" {
			return errors.New("a label needs a name: " + strconv.Quote(line))
		}
		p.first = append(p.first, wire.Option{Name: f.Setting, Value: name + "=" + value})
		return nil
	})
}

// lines reads a file of NAME=VALUE, one a line; empty lines and those that begin with # do not count.
func (p *parser) lines(as, path, what string, take func(string) error) error {
	content, err := p.content(path)
	if err != nil {
		return errors.New(as + ": " + err.Error())
	}
	number := 0
	for line := range strings.Lines(strings.TrimPrefix(string(content), "\ufeff")) {
		number++
		line = strings.TrimLeftFunc(strings.TrimRight(line, "\r\n"), unicode.IsSpace)
		if line == "" || line[0] == '#' {
			continue
		}
		if name, _, _ := strings.Cut(line, "="); strings.ContainsFunc(name, unicode.IsSpace) {
			err = errors.New(what + "'s name has white space: " + strconv.Quote(name))
		} else {
			err = take(line)
		}
		if err != nil {
			return errors.New(as + ": " + path + ", line " + strconv.Itoa(number) + ": " + err.Error())
		}
	}
	return nil
}

// readFile reads a file that is not too large. It may be a pipe, as of <(…) in a shell.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxEnvFile+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxEnvFile {
		return nil, errors.New(path + " is larger than 1 MiB")
	}
	return content, nil
}
