package session

import (
	"errors"
	"strings"
)

// maxInterpreter is how much of a #! line the kernel reads (BINPRM_BUF_SIZE, less where it once was 128).
const maxInterpreter = 255

// Script is what reading a verb file gives: a script that names the hull binary, so that executing it runs the helper,
// and says what it is. A shell that is given it to read says so and fails: it would do nothing, silently.
func Script(binary, summary string) []byte {
	var b strings.Builder
	b.WriteString("#!" + binary + " verb\n")
	for line := range strings.Lines(strings.TrimSpace(summary)) {
		b.WriteString("# " + strings.TrimRight(line, "\n") + "\n")
	}
	b.WriteString("echo 'hull: this is a program: execute it by its path, without a shell before it' >&2; exit 126\n")
	return []byte(b.String())
}

// CheckBinary tells why a path cannot stand in the first line of a script.
func CheckBinary(path string) error {
	switch {
	case !strings.HasPrefix(path, "/"):
		return errors.New("the path of the hull binary is not absolute, so verb files could not be executed")
	case strings.ContainsAny(path, " \t\n"):
		return errors.New("the path of the hull binary holds white space, so verb files could not be executed: move it")
	case len("#!"+path+" verb\n") > maxInterpreter:
		return errors.New("the path of the hull binary is too long, so verb files could not be executed: move it")
	}
	return nil
}
