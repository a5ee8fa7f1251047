package monitor

import (
	"testing"

	"golang.org/x/sys/unix"
)

// What comes to a socket that was lent, while no daemon lives, is there for the next one, whatever ended.
func TestLentSockets(t *testing.T) {
	r := newRig(t)
	r.await("up")
	lend := func(name string) (write int) {
		t.Helper()
		p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		r.must(&message{Op: opLend, Key: name, Slots: []slot{slotSocket}, socket: p[1]})
		if err := unix.Close(p[1]); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(p[0]) })
		return p[0]
	}
	first := lend("names")
	names, gone := lend("names"), lend("gone")
	if _, err := unix.Write(first, []byte("x")); err != unix.ECONNREFUSED && err != unix.EPIPE && err != unix.ECONNRESET {
		t.Errorf("a socket in whose place another was lent is there still: %v", err)
	}
	r.must(&message{Op: opReturn, Key: "gone"})
	r.must(&message{Op: opReturn, Key: "never"})
	if _, err := unix.Write(gone, []byte("x")); err != unix.ECONNREFUSED && err != unix.EPIPE && err != unix.ECONNRESET {
		t.Errorf("a socket that was taken back is there still: %v", err)
	}
	if err := r.tell(&message{Op: opLend, Slots: []slot{slotSocket}, socket: names}); err == nil {
		t.Error("a socket is lent without a name")
	}
	for what, change := range map[string]func(*rig){
		"the daemon was killed": (*rig).killDaemon, "the monitor was killed": (*rig).killMonitor, "there was an upgrade": (*rig).upgrade,
	} {
		change(r)
		if _, err := unix.Write(names, []byte(what)); err != nil {
			t.Fatal(err)
		}
		r.await("up")
		r.dial()
		r.must(&message{Op: opLent})
		if got, want := r.await("lent").ID, "names has "+what; got != want {
			t.Errorf("the next daemon is told %q, want %q", got, want)
		}
		if len(r.pending) > 0 && r.pending[0].Op == "lent" {
			t.Errorf("and %q", r.pending[0].ID)
		}
	}
}
