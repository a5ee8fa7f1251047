package launch

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// maxPath is how many directories of PATH are looked at.
const maxPath = 1000

// command finds what to execute, as execvp does: a name with a slash is a
// path from the working directory, another is looked for in PATH. The answer
// is meant to be sure only when it is no: the kernel has the last word.
func (t *tree) command(name, dir string, env []string, who account) (string, error) {
	if strings.Contains(name, "/") {
		full := name
		if !path.IsAbs(name) {
			full = dir + "/" + name
		}
		if err := t.executable(full, who); err != nil {
			return "", refuse(name, err)
		}
		return name, nil
	}
	search := variable(env, "PATH")
	var refused error
	left := maxPath
	for d := range strings.SplitSeq(search, ":") {
		if left--; left < 0 {
			break
		}
		if !path.IsAbs(d) { // "" and "." are the working directory
			d = path.Join(dir, d)
		}
		full := path.Join(d, name)
		err := t.executable(full, who)
		if err == nil {
			return full, nil
		}
		if refused == nil && !absent(err) {
			refused = err
		}
	}
	if refused != nil {
		return "", refuse(name, refused)
	}
	return "", &Error{
		Op: "find the command", Kind: NotFound, Err: unix.ENOENT,
		Text: fmt.Sprintf("there is no command %q in the container: it is in none of the directories of PATH (%s)", shortened(name), shortened(search)),
	}
}

// maxQuoted is how much of what an image says is repeated in a sentence, which
// is shown to people and kept in events: an image may have megabytes of PATH.
const maxQuoted = 512

func shortened(s string) string {
	if len(s) <= maxQuoted {
		return s
	}
	return strings.ToValidUTF8(s[:maxQuoted], "") + "…"
}

func variable(env []string, name string) string {
	for _, v := range env {
		if n, value, ok := strings.Cut(v, "="); ok && n == name {
			return value
		}
	}
	return ""
}

// absent reports whether a command is not there, rather than unfit.
func absent(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) }

// executable looks at a file as the user would find it.
func (t *tree) executable(name string, who account) error {
	st, err := t.stat(name)
	if err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return unix.EISDIR
	case unix.S_IFREG:
	default:
		return errIrregular
	}
	shift := 0
	switch {
	case who.uid == 0 && st.Mode&0o111 != 0: // by CAP_DAC_OVERRIDE, which the default set has
		return nil
	case int(st.Uid) == t.ids.Host(who.uid):
		shift = 6
	case slices.ContainsFunc(who.groups, func(g uint32) bool { return int(st.Gid) == t.ids.Host(g) }):
		shift = 3
	}
	if st.Mode>>shift&1 == 0 {
		return unix.EACCES
	}
	return nil
}

// refuse makes the error of a command that cannot be executed; err is an
// errno, the kernel's own or one of executable's.
func refuse(name string, err error) error {
	name = shortened(name)
	e := &Error{Op: "execute", Kind: NotExecutable, Err: err}
	switch {
	case errors.Is(err, unix.ENOENT):
		e.Kind = NotFound
		e.Text = fmt.Sprintf("there is no command %q in the container", name)
	case errors.Is(err, unix.ENOTDIR):
		e.Text = fmt.Sprintf("%q cannot be executed: part of the path is not a directory", name)
	case errors.Is(err, unix.EISDIR):
		e.Text = fmt.Sprintf("%q cannot be executed: it is a directory", name)
	case errors.Is(err, errIrregular):
		e.Text = fmt.Sprintf("%q cannot be executed: it is not a regular file", name)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		e.Text = fmt.Sprintf("%q cannot be executed: permission denied (is its x bit set?)", name)
	case errors.Is(err, unix.ENOEXEC):
		e.Text = fmt.Sprintf("%q cannot be executed: it is neither a program for this machine nor a script that begins with #!", name)
	case errors.Is(err, unix.ELOOP):
		e.Text = fmt.Sprintf("%q cannot be executed: its symbolic links lead in a circle", name)
	case errors.Is(err, unix.E2BIG):
		e.Text = fmt.Sprintf("%q cannot be executed: its arguments and environment are too long", name)
	default:
		if errno, ok := errors.AsType[unix.Errno](err); ok { // without the path, which the name stands for
			err = errno
		}
		e.Text = fmt.Sprintf("%q cannot be executed: %v", name, err)
	}
	return e
}

// missingInterpreter is for an execve that finds nothing although the file is
// there.
func missingInterpreter(name string) error {
	return &Error{
		Op: "execute", Kind: NotFound, Err: unix.ENOENT,
		Text: fmt.Sprintf("%q cannot be executed: it is there, but the interpreter it names (after #!, or its dynamic loader) is not in the container", shortened(name)),
	}
}
