package fs_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"hull/fs"
	"hull/fs/session"
	"hull/fs/wire"

	"golang.org/x/sys/unix"
)

// wired is a mount whose verbs are served over a socket, as the daemon's are. Each session is asked about as the daemon
// asks, and answered with what was asked.
func wired(t *testing.T, change func(*fs.Options), refs ...string) *mounted {
	t.Helper()
	privileged(t)
	dir, err := os.MkdirTemp("", "hull-wire-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var tree *fs.Tree
	s, err := session.NewServer(t.Context(), session.Options{
		Dir: dir, Sentence: fs.Sentence, Logger: slog.New(slog.DiscardHandler),
		Handler: func(_ context.Context, c *session.Call) (*session.Answer, error) {
			path := fs.VerbPath(c.Verb)
			if err := tree.May(fs.Credential(c.By), path, fs.Session); err != nil {
				return nil, err
			}
			return &session.Answer{Text: fmt.Sprint(c.By.UID, " ", path)}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	m := mountWith(t, func(o *fs.Options) {
		o.Sessions = s
		change(o)
	}, refs...)
	tree = m.tree
	open(t, m)
	return m
}

// ticketOf opens a verb file as a helper does and asks for a ticket, as the thread that it runs in.
func ticketOf(path string) (*wire.Ticket, func(), error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, func() {}, err
	}
	var b [wire.TicketSize]byte
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(wire.IoctlTicket), uintptr(unsafe.Pointer(&b[0]))) //nolint:gosec // a system call takes it so
	runtime.KeepAlive(&b)
	done := func() { unix.Close(fd) }
	if errno != 0 {
		return nil, done, errno
	}
	k, err := wire.ParseTicket(b[:])
	return &k, done, err
}

// show shows a ticket on the socket, as the thread that it runs in, and gives the answer.
func show(k *wire.Ticket) (*wire.Answer, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	err = unix.Connect(fd, &unix.SockaddrUnix{Name: k.Socket})
	f := os.NewFile(uintptr(fd), "socket")
	defer f.Close()
	if err != nil {
		return nil, err
	}
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	conn, err := wire.NewConn(c.(*net.UnixConn))
	if err != nil {
		return nil, err
	}
	defer conn.Discard()
	if err := conn.Send(wire.KindRequest, (&wire.Request{Token: k.Token}).Encode()); err != nil {
		return nil, err
	}
	kind, body, _, err := conn.Receive(wire.MaxBody)
	if err != nil || kind != wire.KindAnswer {
		return nil, fmt.Errorf("%q: %w", kind, err)
	}
	return wire.DecodeAnswer(body)
}

// TestMayOverTheWire tries each verb of the tree as a helper of each kind of user: by the file, which the kernel lets
// them open or not; with a ticket of their own; with one that root has got, which is no use to them; and with one of
// their own after they may no more.
func TestMayOverTheWire(t *testing.T) {
	m := wired(t, func(o *fs.Options) { o.Group, o.Upkeep = 5555, keeper{} }, "redis:7")
	m.ok("mkdir images/redis:7 && mkdir images/redis:7/containers/web && chown -R 4242 containers/web images/redis:7 registries/docker.io")
	id := strings.TrimSpace(m.ok("cat containers/web/id"))
	verbs := 0
	for _, r := range fs.Rows(m.Containers().Settings()) {
		if r.Kind != "verb" {
			continue
		}
		verbs++
		path := named(r.Path, "layer:", "image")
		var st unix.Stat_t
		if err := unix.Lstat(m.path(path), &st); err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		asked := strings.Replace(path, "containers/web/", "containers/"+id+"/", 1)
		for who, c := range somebody {
			want := allows(&st, c, fs.Session)
			var stolen *wire.Ticket
			stolen, done, err := ticketOf(m.path(path))
			if err != nil {
				t.Fatal(path, err)
			}
			var opened error
			var own, late, theft *wire.Answer
			asThread(t, c, func() {
				k, close, err := ticketOf(m.path(path))
				defer close()
				if opened = err; err == nil {
					own, opened = show(k)
				}
				theft, _ = show(stolen)
			})
			done()
			switch {
			case !want:
				if opened != syscall.EACCES { //nolint:errorlint // a bare one
					t.Errorf("%s as %s: %v, want EACCES", path, who, opened)
				}
			case opened != nil || own.Code != 0 || own.Text != fmt.Sprint(c.UID, " ", asked):
				t.Errorf("%s as %s: %+v, %v", path, who, own, opened)
			}
			if who != "root" && (theft == nil || theft.Code != 125 || theft.Sentence == "") {
				t.Errorf("%s as %s by root's ticket: %+v", path, who, theft)
			}
			if who == "root" || !want {
				continue
			}
			asThread(t, c, func() {
				k, close, err := ticketOf(m.path(path))
				defer close()
				if opened = err; err == nil {
					revoke := make(chan error)
					go func() { revoke <- unix.Chmod(m.path(path), 0) }()
					if opened = <-revoke; opened == nil {
						late, opened = show(k)
					}
				}
			})
			if opened != nil || late == nil || late.Code != 125 || !strings.HasPrefix(late.Sentence, "You may not execute ") {
				t.Errorf("%s as %s, who may no more: %+v, %v", path, who, late, opened)
			}
			if err := unix.Chmod(m.path(path), st.Mode&0o777); err != nil {
				t.Fatal(err)
			}
		}
	}
	if verbs < 15 {
		t.Errorf("only %d verbs were tried", verbs)
	}
	if matches, err := filepath.Glob(m.path("containers/web/sessions/*")); err != nil || len(matches) > 0 {
		t.Errorf("sessions were made: %q", matches)
	}
}
