package verb

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"hull/fs/wire"
)

// optionPiped is the option by which the password comes by the input, whatever that is.
const optionPiped = "password-stdin"

// maxLogin is more than any name and password are long.
const maxLogin = 64 << 10

// login completes the request with who logs in: asked on the terminal, or read from another input. What was once read
// is kept for when the call must be made again.
func (h *helper) login(r *wire.Request) error {
	if len(r.Args) > 0 {
		return errors.New("login takes no arguments; -u gives the user's name, and the password comes by the terminal or the input")
	}
	if h.known == nil {
		user, password, err := h.who(last(r.Options, "user"), last(r.Options, optionPiped) == "true")
		if err != nil {
			return err
		}
		if user == "" || password == "" {
			return errors.New("login needs a user's name and a password")
		}
		h.known = []wire.Option{{Name: "user", Value: user}, {Name: "password", Value: password}}
	}
	r.Options = append(slices.DeleteFunc(r.Options, func(o wire.Option) bool { return o.Name == optionPiped }), h.known...)
	return nil
}

func (h *helper) who(user string, piped bool) (name, password string, err error) {
	if piped && user == "" {
		return "", "", errors.New("--password-stdin is for the password alone: -u gives the user's name")
	}
	if piped || !isTerminal(h.in) {
		return fromInput(os.NewFile(uintptr(h.in), "input"), user)
	}
	if user == "" {
		if user, err = h.ask("Username: ", true); err != nil {
			return "", "", err
		}
		if user = strings.TrimSpace(user); user == "" {
			return "", "", nil // there is nobody to ask a password of
		}
	}
	password, err = h.ask("Password: ", false)
	return user, password, err
}

// fromInput reads USER PASSWORD, or with a user's name given the password alone.
func fromInput(r io.Reader, user string) (name, password string, err error) {
	b, err := io.ReadAll(io.LimitReader(r, maxLogin))
	if err != nil {
		return "", "", err
	}
	text := strings.TrimRight(string(b), "\r\n")
	if user != "" {
		return user, text, nil
	}
	user, password, _ = strings.Cut(text, " ")
	return user, password, nil
}

// ask asks for a line on the terminal, of which nothing is shown if it is secret. A signal that ends the helper, or
// stops it, finds the terminal as it was.
func (h *helper) ask(question string, echo bool) (string, error) {
	old, err := unix.IoctlGetTermios(h.in, unix.TCGETS)
	if err != nil {
		return "", os.NewSyscallError("ioctl", err)
	}
	quiet := *old
	quiet.Lflag |= unix.ICANON | unix.ISIG
	if !echo {
		quiet.Lflag &^= unix.ECHO
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGTSTP)
	defer signal.Stop(signals)
	set := func(t *unix.Termios) { _ = unix.IoctlSetTermios(h.in, unix.TCSETS, t) }
	typed := make(chan string, 1)
	set(&quiet)
	defer func() {
		set(old)
		if !echo {
			_ = writeAll(h.err, []byte("\n"))
		}
	}()
	_ = writeAll(h.err, []byte(question))
	go func() { typed <- readLine(h.in) }()
	for {
		select {
		case s := <-typed:
			return s, nil
		case s := <-signals:
			set(old)
			if s != syscall.SIGTSTP {
				_ = writeAll(h.err, []byte("\n"))
				return "", die(s)
			}
			stop()
			set(&quiet)
		}
	}
}

// die ends the helper as a signal does.
func die(s os.Signal) error {
	n, _ := s.(syscall.Signal)
	signal.Reset(n)
	_ = unix.Kill(unix.Getpid(), n)
	select {} // it comes
}

// readLine reads to the end of the line and no further.
func readLine(fd int) string {
	var line []byte
	b := make([]byte, 1)
	for len(line) < maxLogin {
		n, err := unix.Read(fd, b)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 || b[0] == '\n' {
			break
		}
		line = append(line, b[0])
	}
	return strings.TrimSuffix(string(line), "\r")
}
