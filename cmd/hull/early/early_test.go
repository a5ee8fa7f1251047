package early

import (
	"bytes"
	"encoding/binary"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"hull/engine/monitor"
	"hull/fs/wire"
)

// What is written and read here without Go's help is what packages wire and monitor write and read.

func ticketFor(t *testing.T, verb, socket string) *[wire.TicketSize]byte {
	t.Helper()
	var b [wire.TicketSize]byte
	k := wire.Ticket{Version: wire.Version, Token: strings.Repeat("t0", wire.TokenSize/2), Verb: verb, Socket: socket}
	if err := k.Put(b[:]); err != nil {
		t.Fatal(err)
	}
	return &b
}

func TestParseTicket(t *testing.T) {
	b := ticketFor(t, "exec", "/run/hull/session.sock")
	p, ok := parseTicket(b)
	if !ok || string(b[p.token:p.token+wire.TokenSize]) != strings.Repeat("t0", wire.TokenSize/2) ||
		string(b[p.socket:p.socketEnd]) != "/run/hull/session.sock" {
		t.Errorf("parseTicket = %+v, %v", p, ok)
	}
	for _, verb := range []string{"exec", "wait", "run", "enter", "executed", "exe"} {
		b := ticketFor(t, verb, "/s")
		p, ok := parseTicket(b)
		if !ok || string(b[p.verb:p.verbEnd]) != verb {
			t.Errorf("a ticket for %s: parseTicket = %+v, %v", verb, p, ok)
		}
		if got := is(b, p.verb, p.verbEnd, "exec"); got != (verb == "exec") {
			t.Errorf("a ticket for %s is an exec's: %v", verb, got)
		}
	}
	b = ticketFor(t, "exec", "/s")
	for name, change := range map[string]func(){
		"nothing":         func() { clear(b[:]) },
		"another magic":   func() { b[0] = 'H' },
		"another version": func() { b[4]++ },
		"a short token":   func() { b[12] = 0 },
		"no end":          func() { copy(b[5+wire.TokenSize+1+5:], bytes.Repeat([]byte{'x'}, wire.TicketSize)) },
	} {
		b = ticketFor(t, "exec", "/s")
		change()
		if p, ok := parseTicket(b); ok {
			t.Errorf("%s: parseTicket = %+v", name, p)
		}
	}
}

// FuzzParseTicket has a false file system give tickets.
func FuzzParseTicket(f *testing.F) {
	var b [wire.TicketSize]byte
	_ = wire.Ticket{Version: wire.Version, Token: strings.Repeat("x", wire.TokenSize), Verb: "exec", Socket: "/s"}.Put(b[:])
	f.Add(b[:])
	f.Add(b[:40])
	f.Fuzz(func(t *testing.T, data []byte) {
		var b [wire.TicketSize]byte
		copy(b[:], data)
		p, ok := parseTicket(&b)
		if !ok {
			return
		}
		k, err := wire.ParseTicket(b[:])
		if err != nil || k.Verb != string(b[p.verb:p.verbEnd]) || k.Socket != string(b[p.socket:p.socketEnd]) ||
			k.Token != string(b[p.token:p.token+wire.TokenSize]) {
			t.Errorf("%q: %+v is %+v, %v to package wire", data, p, k, err)
		}
	})
}

// pointers makes arguments as the kernel gives them.
func pointers(args []string) []*byte {
	var l []*byte
	for _, a := range args {
		b := append([]byte(a), 0)
		l = append(l, &b[0])
	}
	return l
}

func TestPutRequest(t *testing.T) {
	b := ticketFor(t, "exec", "/s")
	p, _ := parseTicket(b)
	for _, args := range [][]string{
		nil,
		{""},
		{"-c", "echo hello"},
		{strings.Repeat("a", 127)},
		{strings.Repeat("a", 128), "ü\x01\xff"},
		slices.Repeat([]string{"x"}, 200),
		{strings.Repeat("a", 4000)},
	} {
		for _, lends := range []bool{true, false} {
			var out [4096]byte
			n := putRequest(&out, b, p, pointers(args), lends)
			r := wire.Request{
				Token: string(b[p.token : p.token+wire.TokenSize]), Args: args, Stdio: [3]bool{lends, lends, lends},
			}
			want := r.Encode()
			if n < 6 || !bytes.Equal(out[6:n], want) || int(binary.LittleEndian.Uint32(out[:])) != len(want) ||
				out[4] != wire.KindRequest || int(out[5]) != r.Count() {
				t.Errorf("%.40q: the request is %q, want %q", args, out[:n], want)
			}
		}
	}
	for _, args := range [][]string{{strings.Repeat("a", 4096)}, {strings.Repeat("a", 1<<20), "x"}, slices.Repeat([]string{""}, 5000)} {
		var out [4096]byte
		if n := putRequest(&out, b, p, pointers(args), true); n != 0 {
			t.Errorf("%d arguments of %d bytes: a request of %d bytes, want none", len(args), len(args[0]), n)
		}
	}
	// Around the end of the room nothing is written beyond it.
	for n := range 64 {
		var out [4096]byte
		size := putRequest(&out, b, p, pointers([]string{strings.Repeat("a", len(out)-64-n), strings.Repeat("b", n)}), true)
		if size == 0 {
			continue
		}
		if _, err := wire.DecodeRequest(out[6:size]); err != nil {
			t.Errorf("%d: %v", n, err)
		}
	}
}

// frame is an answer as it comes.
func frame(a *wire.Answer) (*[1024]byte, int) {
	var b [1024]byte
	body := a.Encode()
	binary.LittleEndian.PutUint32(b[:], uint32(len(body)))
	b[4], b[5] = wire.KindAnswer, byte(len(a.Roles))
	return &b, 6 + copy(b[6:], body)
}

func TestParseAnswer(t *testing.T) {
	status, pidfd := wire.RoleStatus, wire.RolePidfd
	for _, c := range []struct {
		name   string
		answer wire.Answer
		want   heard
		n      int
	}{
		{"a command that runs", wire.Answer{Roles: []wire.Role{status, pidfd}, Signals: true}, runs, 0},
		{"the other way round", wire.Answer{Roles: []wire.Role{pidfd, status}, Signals: true}, runs, 1},
		{"without signals", wire.Answer{Roles: []wire.Role{status, pidfd}}, other, 0},
		{"without its process", wire.Answer{Roles: []wire.Role{status}, Signals: true}, other, 0},
		{"nothing to wait for", wire.Answer{}, over, 0},
		{"a code", wire.Answer{Code: 1}, over, 1},
		{"a code in one byte", wire.Answer{Code: 63}, over, 63},
		{"a code in two bytes", wire.Answer{Code: 64}, over, 64},
		{"the greatest code", wire.Answer{Code: 255}, over, 255},
		{"a failure of hull's own", wire.Answer{Code: 125}, other, 0},
		{"a code that is none", wire.Answer{Code: 256}, other, 0},
		{"a code below all", wire.Answer{Code: -1}, other, 0},
		{"a code and a process", wire.Answer{Code: 1, Roles: []wire.Role{status}}, other, 0},
		{"a process without a status", wire.Answer{Roles: []wire.Role{pidfd}}, other, 0},
		{"a text", wire.Answer{Text: "x", Roles: []wire.Role{status}}, other, 0},
		{"a sentence", wire.Answer{Sentence: "There is no such command.", Code: 127}, other, 0},
		{"a terminal's master", wire.Answer{Roles: []wire.Role{status, wire.RolePty}}, other, 0},
		{"a log", wire.Answer{Roles: []wire.Role{status, wire.RoleLog, wire.RoleIndex}, Segment: 3}, other, 0},
		{"a terminal", wire.Answer{Roles: []wire.Role{status}, Terminal: true}, other, 0},
		{"times", wire.Answer{Roles: []wire.Role{status}, Stamps: true}, other, 0},
		{"keys", wire.Answer{Roles: []wire.Role{status}, Detach: "ctrl-p"}, other, 0},
		{"a long text", wire.Answer{Text: strings.Repeat("x", 5000)}, other, 0},
	} {
		b, size := frame(&c.answer)
		h, n, process := parseAnswer(b, size)
		if h != c.want || n != c.n {
			t.Errorf("%s: parseAnswer = %d, %d, want %d, %d", c.name, h, n, c.want, c.n)
		}
		if h == runs && c.answer.Roles[process] != pidfd {
			t.Errorf("%s: the process is said to be %d of %v", c.name, process, c.answer.Roles)
		}
		for short := range size {
			if h, _, _ := parseAnswer(b, short); h == runs || h == over {
				t.Errorf("%s: %d of %d bytes are taken for all", c.name, short, size)
			}
		}
	}
}

// FuzzParseAnswer has a false daemon answer.
func FuzzParseAnswer(f *testing.F) {
	b, n := frame(&wire.Answer{Roles: []wire.Role{wire.RoleStatus, wire.RolePidfd}, Signals: true})
	f.Add(b[:n])
	b, n = frame(&wire.Answer{Code: 200})
	f.Add(b[:n])
	f.Add([]byte{255, 255, 255, 255, 'A', 8})
	f.Fuzz(func(t *testing.T, data []byte) {
		var b [1024]byte
		n := copy(b[:], data)
		h, value, process := parseAnswer(&b, n)
		if h != runs && h != over {
			return
		}
		a, err := wire.DecodeAnswer(b[6:n])
		switch {
		case err != nil || a.Text != "" || a.Sentence != "" || a.Detach != "" || a.Terminal || a.Stamps:
			t.Errorf("%q: more than %d, %d is said: %+v, %v", data, h, value, a, err)
		case h == over && (len(a.Roles) != 0 || a.Code != value):
			t.Errorf("%q: over with %d: %+v", data, value, a)
		case h == runs && (value >= len(a.Roles) || process >= len(a.Roles) || a.Roles[value] != wire.RoleStatus ||
			a.Roles[process] != wire.RolePidfd || a.Code != 0 || !a.Signals):
			t.Errorf("%q: runs with %d: %+v", data, value, a)
		}
	})
}

func TestParseExit(t *testing.T) {
	for _, s := range []monitor.Status{{Code: 0}, {Code: 255}, {Code: 137, Signal: 9, OOM: true}} {
		b := s.Encode()
		if code := parseExit(&b); code != s.Code {
			t.Errorf("%+v: %d", s, code)
		}
	}
	for _, s := range []monitor.Status{{Grew: true}, {Left: true}, {More: true, Number: 7}} {
		b := s.Encode()
		if code := parseExit(&b); code != -1 {
			t.Errorf("%+v: the exit %d", s, code)
		}
	}
}

func TestLendable(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	zero, err := os.Open("/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	defer zero.Close()
	plain, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	socket := func(domain, kind int) uintptr {
		fd, err := unix.Socket(domain, kind|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		return uintptr(fd)
	}
	pairs := func(kind int) uintptr {
		p, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(p[0]); unix.Close(p[1]) })
		return uintptr(p[0])
	}
	for _, c := range []struct {
		name string
		fd   uintptr
		want bool
	}{
		{"a pipe", r.Fd(), true},
		{"its other end", w.Fd(), true},
		{"/dev/null", null.Fd(), true},
		{"/dev/zero", zero.Fd(), false},
		{"a file", plain.Fd(), true},
		{"a socket of two", pairs(unix.SOCK_STREAM), true},
		{"a socket of two that can be connected anew", pairs(unix.SOCK_DGRAM), false},
		{"a socket of one", socket(unix.AF_UNIX, unix.SOCK_STREAM), false},
		{"a socket of the network", socket(unix.AF_INET, unix.SOCK_STREAM), false},
		{"none", 1 << 20, false},
	} {
		if got := lendable(c.fd); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestEndsInWait(t *testing.T) {
	for path, want := range map[string]bool{
		"containers/web/wait": true, "/wait": true, "wait": false, "": false, "x/waiting": false, "/hull/exec/await": false,
	} {
		if got := endsInWait(pointers([]string{path})[0]); got != want {
			t.Errorf("%q: %v, want %v", path, got, want)
		}
	}
}

// TestLayout holds what is laid out by hand against the kernel's own structures.
func TestLayout(t *testing.T) {
	if got, want := unsafe.Sizeof(message), uintptr(unix.SizeofMsghdr); got != want {
		t.Errorf("a message header takes %d bytes, want %d", got, want)
	}
	if got, want := unsafe.Offsetof(rights.fds), uintptr(unix.SizeofCmsghdr); got != want {
		t.Errorf("descriptors are at %d, want %d", got, want)
	}
	if got, want := unsafe.Sizeof(peer), uintptr(unix.SizeofSockaddrUnix); got != want {
		t.Errorf("an address takes %d bytes, want %d", got, want)
	}
}

// talk makes the ends of a connection and of a status socket. No signal comes.
func talk(t *testing.T) (peer int, near, far *os.File) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if near, far, err = monitor.NewStatus(); err != nil {
		t.Fatal(err)
	}
	conn, received, brought, ending, insisted, command = pair[0], 0, 0, 0, 0, -1
	if signals, err = unix.Signalfd(-1, &unix.Sigset_t{}, unix.SFD_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, fd := range files[:brought] {
			unix.Close(int(fd))
		}
		for _, fd := range []int{pair[0], pair[1], signals} {
			unix.Close(fd)
		}
		near.Close()
		far.Close()
		conn, received, brought, signals, command = -1, 0, 0, -1, -1
	})
	return pair[1], near, far
}

// TestConversation takes what comes over a real socket, in pieces of all sizes.
func TestConversation(t *testing.T) {
	b, n := frame(&wire.Answer{Roles: []wire.Role{wire.RoleStatus, wire.RolePidfd}, Signals: true})
	for cut := 1; cut <= n; cut++ {
		t.Run(strconv.Itoa(cut), func(t *testing.T) {
			peer, near, far := talk(t)
			done := make(chan error, 1)
			go func() {
				err := unix.Sendmsg(peer, b[:cut], unix.UnixRights(int(near.Fd()), 1), nil, 0)
				if err == nil && cut < n {
					_, err = unix.Write(peer, b[cut:n])
				}
				done <- err
			}()
			h, status := answered()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if h != runs {
				t.Fatalf("the command does not run; %q was received", in[:received])
			}
			end := monitor.Status{Code: 42}.Encode()
			if _, err := far.Write(end[:]); err != nil {
				t.Fatal(err)
			}
			if h, code := ended(status); h != over || code != 42 {
				t.Errorf("the end is %d with %d, want %d with 42", h, code, over)
			}
		})
	}
}

// TestTell: the daemon is told of signals in its words.
func TestTell(t *testing.T) {
	peer, _, _ := talk(t)
	for _, n := range []unix.Signal{unix.SIGHUP, unix.SIGTERM, unix.SIGTSTP, unix.SIGSTOP, unix.SIGCONT} {
		if !tell(int(n)) {
			t.Fatal("it cannot be told")
		}
		var b [64]byte
		size, err := unix.Read(peer, b[:])
		if err != nil {
			t.Fatal(err)
		}
		want := wire.EncodeSignal(int(n))
		if size != 6+len(want) || int(b[0]) != len(want) || b[4] != wire.KindSignal || b[5] != 0 || !bytes.Equal(b[6:size], want) {
			t.Errorf("told %d: %q", n, b[:size])
		}
	}
}
