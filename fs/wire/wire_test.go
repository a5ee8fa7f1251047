package wire

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestTicket(t *testing.T) {
	want := Ticket{Version, strings.Repeat("0f", TokenSize/2), "exec", "/run/hull/session.sock"}
	var b [TicketSize]byte
	if err := want.Put(b[:]); err != nil {
		t.Fatal(err)
	}
	got, err := ParseTicket(b[:])
	if err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for name, bad := range map[string]Ticket{
		"no verb":       {Version, want.Token, "", want.Socket},
		"a zero byte":   {Version, want.Token, "e\x00c", want.Socket},
		"a short token": {Version, "0f", "exec", want.Socket},
		"too long":      {Version, want.Token, "exec", strings.Repeat("/x", TicketSize)},
	} {
		if bad.Put(b[:]) == nil {
			t.Errorf("a ticket with %s is put", name)
		}
	}
	want.Version = Version + 1
	if err := want.Put(b[:]); err != nil {
		t.Fatal(err)
	}
	if got, err := ParseTicket(b[:]); err != nil || got != (Ticket{Version: Version + 1}) {
		t.Errorf("of another version: %+v, %v", got, err)
	}
}

func TestMessages(t *testing.T) {
	for _, want := range []*Request{
		{Token: "token"},
		{
			Token: "token", Args: []string{"", "-c", "echo \xff\x00"}, Env: []string{"A=b"},
			Options: []Option{{"env", "A=b"}, {"env", "C="}, {"tty", "true"}},
			Stdio:   [3]bool{true, false, true}, Terminal: &Terminal{Rows: 24, Cols: 65535, Term: "xterm"},
		},
	} {
		got, err := DecodeRequest(want.Encode())
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("%v\n%s", err, cmp.Diff(want, got))
		}
	}
	for _, want := range []*Answer{
		{},
		{Text: "t", Sentence: "s", Code: 127, Roles: []Role{RoleStatus, RolePty}, From: 1 << 40, Detach: "\x10\x11", Signals: true, Terminal: true, Stamps: true},
	} {
		got, err := DecodeAnswer(want.Encode())
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("%v\n%s", err, cmp.Diff(want, got))
		}
	}
	if got, err := DecodeMeter(Meter{1, 1 << 50}.Encode()); err != nil || got != (Meter{1, 1 << 50}) {
		t.Error(got, err)
	}
	for n, ok := range map[int]bool{1: true, 64: true, 0: false, 65: false, -1: false} {
		got, err := DecodeSignal(EncodeSignal(n))
		if ok != (err == nil) || ok && got != n {
			t.Errorf("signal %d: %d, %v", n, got, err)
		}
	}
}

// pair gives two connected Conns, and the far socket.
func pair(t *testing.T) (a, b *Conn, far *os.File) {
	t.Helper()
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var c [2]*Conn
	var f [2]*os.File
	for i := range c {
		f[i] = os.NewFile(uintptr(p[i]), "socket")
		if c[i], err = NewConn(f[i]); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c[i].Close(); c[i].Discard() })
	}
	return c[0], c[1], f[1]
}

func TestConn(t *testing.T) {
	a, b, _ := pair(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	long := bytes.Repeat([]byte("0123456789abcdef"), MaxBody/16)
	sent := make(chan error, 1)
	go func() {
		err := a.Send(KindPrint, nil)
		err = errors.Join(err, a.Send(KindAnswer, []byte("with files"), w, r))
		err = errors.Join(err, a.Send(KindRequest, long))
		sent <- errors.Join(err, w.Close(), a.Close())
	}()
	kind, body, files, err := b.Receive(MaxBody)
	if kind != KindPrint || len(body) != 0 || len(files) != 0 || err != nil {
		t.Fatal(kind, body, files, err)
	}
	kind, body, files, err = b.Receive(MaxBody)
	if kind != KindAnswer || string(body) != "with files" || len(files) != 2 || err != nil {
		t.Fatal(kind, body, files, err)
	}
	_, err = files[0].WriteString("through it")
	if err := errors.Join(err, files[0].Close(), files[1].Close()); err != nil {
		t.Fatal(err)
	}
	kind, body, _, err = b.Receive(MaxBody)
	if kind != KindRequest || !bytes.Equal(body, long) || err != nil {
		t.Fatal(kind, len(body), err)
	}
	if _, _, _, err = b.Receive(MaxBody); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); string(got) != "through it" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestConnRefuses(t *testing.T) {
	for name, raw := range map[string]string{
		"a body beyond the limit":    "\x65\x00\x00\x00R\x00",
		"files that did not come":    "\x00\x00\x00\x00R\x01",
		"more files than there are":  "\x00\x00\x00\x00R\xff",
		"the highest of all lengths": "\xff\xff\xff\xffR\x00",
	} {
		_, b, _ := pair(t)
		a, _, far := pair(t)
		if _, err := far.WriteString(raw); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := a.Receive(100); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
		_ = b
	}
	a, _, far := pair(t)
	if _, err := far.WriteString("\x05\x00\x00\x00R\x00abc"); err != nil {
		t.Fatal(err)
	}
	_ = far.Close()
	if _, _, _, err := a.Receive(100); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("an end within a frame: %v", err)
	}
}

func TestConnTooManyFiles(t *testing.T) {
	a, _, far := pair(t)
	fds := make([]int, maxFiles+1)
	for i := range fds {
		fds[i] = number0(t, far)
	}
	err := unix.Sendmsg(fds[0], []byte("\x00\x00\x00\x00R\x01"), unix.UnixRights(fds...), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := a.Receive(100); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
}

func number0(t *testing.T, f *os.File) int {
	t.Helper()
	fd, err := number(f)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// What a decoder accepts must be what the encoder would say, and nothing may make it panic or take memory out of
// proportion.
func FuzzMessages(f *testing.F) {
	r := &Request{Token: "t", Args: []string{"a"}, Options: []Option{{"a", "b"}}, Terminal: &Terminal{Rows: 1}}
	f.Add(r.Encode())
	f.Add((&Answer{Roles: []Role{RoleStatus}}).Encode())
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Add([]byte("\x00\x80\x80\x80\x80\x08"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := DecodeRequest(b); err == nil {
			again, err := DecodeRequest(r.Encode())
			if err != nil || !cmp.Equal(r, again) {
				t.Errorf("%v\n%s", err, cmp.Diff(r, again))
			}
		}
		if a, err := DecodeAnswer(b); err == nil {
			again, err := DecodeAnswer(a.Encode())
			if err != nil || !cmp.Equal(a, again) {
				t.Errorf("%v\n%s", err, cmp.Diff(a, again))
			}
		}
		_, _ = DecodeMeter(b)
		_, _ = DecodeSignal(b)
		_, _ = ParseTicket(b)
	})
}
