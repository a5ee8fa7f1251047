package session

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hull/fs/wire"
)

// patient is how long a test waits for what must come.
const patient = 30 * time.Second

// serve starts a server with a handler.
func serve(t *testing.T, h Handler) *Server {
	t.Helper()
	s, err := NewServer(t.Context(), Options{
		Dir: t.TempDir(), Handler: h, Sentence: error.Error, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func me() Credential { return Credential{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())} }

// ticket opens a verb and asks it.
func ticket(t *testing.T, h *Handle) wire.Ticket {
	t.Helper()
	var b [wire.TicketSize]byte
	if _, errno := h.Ioctl(t.Context(), wire.IoctlTicket, 0, nil, b[:]); errno != 0 {
		t.Fatal(errno)
	}
	k, err := wire.ParseTicket(b[:])
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// dial connects to the server.
func dial(t *testing.T, s *Server) (*wire.Conn, *net.UnixConn) {
	t.Helper()
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: s.path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(patient))
	conn, err := wire.NewConn(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(); conn.Discard() })
	return conn, c
}

// ask sends a request.
func ask(t *testing.T, s *Server, r *wire.Request, files ...*os.File) *wire.Conn {
	t.Helper()
	c, _ := dial(t, s)
	if err := c.Send(wire.KindRequest, r.Encode(), files...); err != nil {
		t.Fatal(err)
	}
	return c
}

// answer receives an answer.
func answer(t *testing.T, c *wire.Conn) (*wire.Answer, []*os.File) {
	t.Helper()
	kind, body, files, err := c.Receive(wire.MaxBody)
	if err != nil || kind != wire.KindAnswer {
		t.Fatalf("%q, %v", kind, err)
	}
	t.Cleanup(func() { closeAll(files) })
	a, err := wire.DecodeAnswer(body)
	if err != nil {
		t.Fatal(err)
	}
	return a, files
}

func wait[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patient):
		t.Fatal("never: " + what)
		panic("unreachable")
	}
}

func TestCall(t *testing.T) {
	s := serve(t, func(_ context.Context, c *Call) (*Answer, error) {
		c.Print("working\n")
		c.Meter(1, 2)
		if c.Stdio[0] != nil || c.Stdio[2] != nil {
			return nil, errors.New("descriptors that were not sent")
		}
		if _, err := io.WriteString(c.Stdio[1], "through the pipe"); err != nil {
			return nil, err
		}
		if name, ok := c.Option("name"); !ok || name != "second" {
			return nil, errors.New("options")
		}
		return &Answer{Text: strings.Join(append([]string{c.Kind, c.Object, c.Name}, c.Args...), " "), Code: 7}, nil
	})
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	h := s.Open(Verb{"exec", "web", "sh"}, me())
	c := ask(t, s, &wire.Request{
		Token: ticket(t, h).Token, Args: []string{"-c", "true"}, Stdio: [3]bool{1: true},
		Options: []wire.Option{{Name: "name", Value: "first"}, {Name: "name", Value: "second"}},
	}, w)
	_ = w.Close()
	if kind, body, _, err := c.Receive(100); kind != wire.KindPrint || string(body) != "working\n" || err != nil {
		t.Errorf("%q %q %v", kind, body, err)
	}
	if kind, _, _, err := c.Receive(100); kind != wire.KindMeter || err != nil {
		t.Errorf("%q %v", kind, err)
	}
	a, _ := answer(t, c)
	if a.Text != "exec web sh -c true" || a.Code != 7 || a.Sentence != "" {
		t.Errorf("%+v", a)
	}
	if b, err := io.ReadAll(r); string(b) != "through the pipe" || err != nil {
		t.Errorf("%q, %v", b, err) // it ends: the server has closed its copy
	}
	if _, _, _, err := c.Receive(100); !errors.Is(err, io.EOF) {
		t.Errorf("after an answer with nothing to wait for: %v", err)
	}
}

func TestFailure(t *testing.T) {
	s := serve(t, func(context.Context, *Call) (*Answer, error) { return nil, errors.New("it is not to be") })
	h := s.Open(Verb{Kind: "run"}, me())
	a, _ := answer(t, ask(t, s, &wire.Request{Token: ticket(t, h).Token}))
	if a.Code != 125 || a.Sentence != "it is not to be" {
		t.Errorf("%+v", a)
	}
}

func TestTokens(t *testing.T) {
	s := serve(t, func(context.Context, *Call) (*Answer, error) { return &Answer{}, nil })
	h := s.Open(Verb{Kind: "wait"}, me())
	token := ticket(t, h).Token
	if s.redeem(token, me().UID+1) != nil {
		t.Error("a token admits another user")
	}
	if a, _ := answer(t, ask(t, s, &wire.Request{Token: token})); a.Code != 0 {
		t.Errorf("%+v", a)
	}
	for name, bad := range map[string]string{"used": token, "invented": strings.Repeat("0", wire.TokenSize)} {
		if a, _ := answer(t, ask(t, s, &wire.Request{Token: bad})); a.Code != 125 {
			t.Errorf("a token that is %s admits: %+v", name, a)
		}
	}
	for range 3 * maxTokens {
		token = ticket(t, h).Token
	}
	s.mu.Lock()
	n := len(s.tokens)
	s.mu.Unlock()
	if n > maxTokens {
		t.Errorf("%d tokens of one file wait", n)
	}
	h.Release(t.Context())
	if a, _ := answer(t, ask(t, s, &wire.Request{Token: token})); a.Code != 125 {
		t.Errorf("a token of a closed file admits: %+v", a)
	}
	var b [wire.TicketSize]byte
	if _, errno := h.Ioctl(t.Context(), wire.IoctlTicket, 0, nil, b[:]); errno != syscall.ESHUTDOWN {
		t.Error("a ticket of a closed file:", errno)
	}
	if _, errno := h.Ioctl(t.Context(), unix.TCGETS, 0, nil, make([]byte, 64)); errno != syscall.ENOTTY {
		t.Error("it poses as a terminal:", errno)
	}
}

func TestDescriptors(t *testing.T) {
	dir := t.TempDir()
	open := func(path string, flags int) *os.File {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		f := os.NewFile(uintptr(fd), path)
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[1])
	socket := os.NewFile(uintptr(p[0]), "socket")
	defer socket.Close()
	master := open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY)
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	eventfd := os.NewFile(uintptr(event), "eventfd")
	defer eventfd.Close()
	s := serve(t, func(_ context.Context, c *Call) (*Answer, error) {
		if c.Stdio[0] == nil || c.Stdio[1] != nil || c.Stdio[2] != nil {
			return nil, errors.New("descriptors in the wrong places")
		}
		return &Answer{}, nil
	})
	h := s.Open(Verb{Kind: "exec"}, me())
	for name, c := range map[string]struct {
		f  *os.File
		ok bool
	}{
		"a pipe":                      {r, true},
		"a socket":                    {socket, true},
		"a file":                      {open(filepath.Join(dir, "file"), unix.O_RDWR|unix.O_CREAT), true},
		"a file that does not block":  {open(filepath.Join(dir, "file"), unix.O_RDONLY|unix.O_NONBLOCK), true},
		"/dev/null":                   {open("/dev/null", unix.O_RDWR), true},
		"/dev/zero":                   {open("/dev/zero", unix.O_RDWR), false},
		"a terminal":                  {master, false},
		"a directory":                 {open(dir, unix.O_RDONLY|unix.O_DIRECTORY), false},
		"what is opened with O_PATH":  {open(filepath.Join(dir, "file"), unix.O_PATH), false},
		"a directory, opened O_PATH":  {open("/", unix.O_PATH), false},
		"an eventfd, which is nobody": {eventfd, false},
	} {
		a, _ := answer(t, ask(t, s, &wire.Request{Token: ticket(t, h).Token, Stdio: [3]bool{true}}, c.f))
		if ok := a.Code == 0; ok != c.ok {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

func TestGarbage(t *testing.T) {
	s := serve(t, func(context.Context, *Call) (*Answer, error) { t.Error("called"); return nil, nil })
	h := s.Open(Verb{Kind: "wait"}, me())
	token := ticket(t, h).Token
	for name, send := range map[string]func(*wire.Conn, *net.UnixConn) error{
		"bytes": func(_ *wire.Conn, u *net.UnixConn) error {
			_, err := u.Write(bytes.Repeat([]byte{0xff}, 100))
			return err
		},
		"another frame": func(c *wire.Conn, _ *net.UnixConn) error { return c.Send(wire.KindSignal, wire.EncodeSignal(9)) },
		"an empty token": func(c *wire.Conn, _ *net.UnixConn) error {
			return c.Send(wire.KindRequest, (&wire.Request{}).Encode())
		},
		"a bad request": func(c *wire.Conn, _ *net.UnixConn) error { return c.Send(wire.KindRequest, []byte("x")) },
		"missing files": func(c *wire.Conn, _ *net.UnixConn) error {
			return c.Send(wire.KindRequest, (&wire.Request{Token: token, Stdio: [3]bool{true}}).Encode())
		},
		"nothing, an end": func(_ *wire.Conn, u *net.UnixConn) error { return u.CloseWrite() },
	} {
		c, u := dial(t, s)
		if err := send(c, u); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := c.Receive(100); err == nil {
			t.Errorf("%s gets an answer", name)
		}
	}
}

func TestScript(t *testing.T) {
	got := string(Script("/usr/bin/hull", "runs sh in the container\nsecond line"))
	if want := "#!/usr/bin/hull verb\n# runs sh in the container\n# second line\necho "; !strings.HasPrefix(got, want) {
		t.Errorf("%q", got)
	}
	for path, ok := range map[string]bool{
		"/usr/local/bin/hull": true, "hull": false, "/with space/hull": false, "/" + strings.Repeat("x", 255): false,
	} {
		if err := CheckBinary(path); (err == nil) != ok {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// Whoever has no token can make the server hold nothing of theirs: no descriptor, which only a server of theirs might
// let it close again, and no long request.
func TestNothingIsTakenBeforeTheToken(t *testing.T) {
	s := serve(t, func(context.Context, *Call) (*Answer, error) { return &Answer{}, nil })
	for name, token := range map[string]string{"none": strings.Repeat("0", wire.TokenSize), "short": "x"} {
		t.Run(name, func(t *testing.T) {
			var p [2]int
			if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
				t.Fatal(err)
			}
			reading, writing := os.NewFile(uintptr(p[0]), "reading"), os.NewFile(uintptr(p[1]), "writing")
			defer reading.Close()
			c, _ := dial(t, s)
			r := &wire.Request{Token: token, Stdio: [3]bool{true}}
			if err := c.Send(wire.KindRequest, r.Encode(), writing); err != nil {
				t.Fatal(err)
			}
			_ = writing.Close()
			kind, body, _, err := c.Receive(wire.MaxBody)
			if len(token) != wire.TokenSize {
				if err == nil {
					t.Errorf("an answer to what has no token: %q", kind)
				}
			} else if a, bad := wire.DecodeAnswer(body); err != nil || bad != nil || a.Code != 125 || a.Sentence == "" {
				t.Errorf("%q %+v, %v", kind, a, err)
			}
			_ = reading.SetReadDeadline(time.Now().Add(patient))
			if _, err := reading.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("somebody still holds the descriptor: %v", err)
			}
		})
	}
}
