package early

import (
	"bytes"
	"encoding/binary"
	"os"
	"slices"
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
	for _, verb := range []string{"run", "enter", "executed", "exe"} {
		if _, ok := parseTicket(ticketFor(t, verb, "/s")); ok {
			t.Errorf("a ticket for %s is taken for an exec's", verb)
		}
	}
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
		if err != nil || k.Verb != "exec" || k.Socket != string(b[p.socket:p.socketEnd]) ||
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
		var out [4096]byte
		n := putRequest(&out, b, p, pointers(args))
		r := wire.Request{Token: string(b[p.token : p.token+wire.TokenSize]), Args: args, Stdio: [3]bool{true, true, true}}
		want := r.Encode()
		if n < 6 || !bytes.Equal(out[6:n], want) || int(binary.LittleEndian.Uint32(out[:])) != len(want) ||
			out[4] != wire.KindRequest || out[5] != 3 {
			t.Errorf("%.40q: the request is %q, want %q", args, out[:n], want)
		}
	}
	for _, args := range [][]string{{strings.Repeat("a", 4096)}, {strings.Repeat("a", 1<<20), "x"}, slices.Repeat([]string{""}, 5000)} {
		var out [4096]byte
		if n := putRequest(&out, b, p, pointers(args)); n != 0 {
			t.Errorf("%d arguments of %d bytes: a request of %d bytes, want none", len(args), len(args[0]), n)
		}
	}
	// Around the end of the room nothing is written beyond it.
	for n := range 64 {
		var out [4096]byte
		size := putRequest(&out, b, p, pointers([]string{strings.Repeat("a", len(out)-64-n), strings.Repeat("b", n)}))
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
		role   int
	}{
		{"a command that runs", wire.Answer{Roles: []wire.Role{status, pidfd}, Signals: true}, 0},
		{"the other way round", wire.Answer{Roles: []wire.Role{pidfd, status}, Signals: true}, 1},
		{"without signals", wire.Answer{Roles: []wire.Role{status}}, 0},
		{"nothing to wait for", wire.Answer{}, -1},
		{"a text", wire.Answer{Text: "x", Roles: []wire.Role{status}}, -1},
		{"a sentence", wire.Answer{Sentence: "There is no such command.", Code: 127}, -1},
		{"a code", wire.Answer{Code: 1, Roles: []wire.Role{status}}, -1},
		{"a terminal's master", wire.Answer{Roles: []wire.Role{status, wire.RolePty}}, -1},
		{"a log", wire.Answer{Roles: []wire.Role{status, wire.RoleLog, wire.RoleIndex}, Segment: 3}, -1},
		{"a terminal", wire.Answer{Roles: []wire.Role{status}, Terminal: true}, -1},
		{"times", wire.Answer{Roles: []wire.Role{status}, Stamps: true}, -1},
		{"keys", wire.Answer{Roles: []wire.Role{status}, Detach: "ctrl-p"}, -1},
		{"a long text", wire.Answer{Text: strings.Repeat("x", 5000)}, -1},
	} {
		b, n := frame(&c.answer)
		if role, more := parseAnswer(b, n); role != c.role || more {
			t.Errorf("%s: parseAnswer = %d, %v, want %d", c.name, role, more, c.role)
		}
		for short := range n {
			if role, _ := parseAnswer(b, short); role >= 0 {
				t.Errorf("%s: %d of %d bytes are taken for all", c.name, short, n)
			}
		}
	}
}

// FuzzParseAnswer has a false daemon answer.
func FuzzParseAnswer(f *testing.F) {
	b, n := frame(&wire.Answer{Roles: []wire.Role{wire.RoleStatus, wire.RolePidfd}, Signals: true})
	f.Add(b[:n])
	f.Add([]byte{255, 255, 255, 255, 'A', 8})
	f.Fuzz(func(t *testing.T, data []byte) {
		var b [1024]byte
		n := copy(b[:], data)
		role, more := parseAnswer(&b, n)
		if role < 0 || more {
			return
		}
		a, err := wire.DecodeAnswer(b[6:n])
		if err != nil || role >= len(a.Roles) || a.Roles[role] != wire.RoleStatus || a.Code != 0 || a.Text != "" || a.Sentence != "" {
			t.Errorf("%q: role %d of %+v, %v", data, role, a, err)
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
		{"none", 1 << 20, false},
	} {
		if got := lendable(c.fd); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
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

// TestConversation sends a request over a real socket and takes what comes back, in pieces of all sizes.
func TestConversation(t *testing.T) {
	for round := range 20 {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		near, far, err := monitor.NewStatus()
		if err != nil {
			t.Fatal(err)
		}
		signals, err := unix.Signalfd(-1, &unix.Sigset_t{}, unix.SFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		conn, received, brought = pair[0], 0, 0
		b, n := frame(&wire.Answer{Roles: []wire.Role{wire.RoleStatus}, Signals: true})
		cut := 1 + round*(n-1)/19
		done := make(chan error, 1)
		go func() {
			err := unix.Sendmsg(pair[1], b[:cut], unix.UnixRights(int(near.Fd())), nil, 0)
			if err == nil && cut < n {
				_, err = unix.Write(pair[1], b[cut:n])
			}
			done <- err
		}()
		status := answered(signals)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if status < 0 {
			t.Fatalf("cut at %d: no status socket; %q was received", cut, in[:received])
		}
		if _, err := far.Write(func() []byte { b := monitor.Status{Code: 42}.Encode(); return b[:] }()); err != nil {
			t.Fatal(err)
		}
		if code := ended(status, signals); code != 42 {
			t.Errorf("the exit status is %d, want 42", code)
		}
		for _, fd := range []int{pair[0], pair[1], status, signals} {
			unix.Close(fd)
		}
		near.Close()
		far.Close()
		conn, received, brought = -1, 0, 0
	}
}
