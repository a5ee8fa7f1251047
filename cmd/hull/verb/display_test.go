package verb

import (
	"io"
	"os"
	"testing"

	"github.com/creack/pty"
)

// shown is what a display prints.
func shown(t *testing.T, drawing bool, use func(d *display)) string {
	t.Helper()
	r, w, err := os.Pipe()
	check(t, err)
	defer r.Close()
	d := newDisplay(number(w))
	d.drawing = drawing
	use(d)
	d.end()
	check(t, w.Close())
	b, err := io.ReadAll(r)
	check(t, err)
	return string(b)
}

func TestDisplayPlain(t *testing.T) {
	got := shown(t, false, func(d *display) {
		d.print("7: Pulling from library/redis\n0123456789ab: Pull")
		d.meter(1, 2)
		d.print("ing\n0123456789ab: Downloading  1kB/2kB\n0123456789ab: Pull complete\nStatus: \x1b]0;evil\x07done")
	})
	if want := "7: Pulling from library/redis\n0123456789ab: Pulling\n0123456789ab: Pull complete\nStatus: ]0;evildone\n"; got != want {
		t.Errorf("%q", got)
	}
}

func TestDisplayDrawn(t *testing.T) {
	got := shown(t, true, func(d *display) {
		d.print("title\n0123456789ab: one\nba9876543210: two\n")
		d.meter(1500000, 3000000)
		d.print("0123456789ab: three\n")
	})
	want := "title\x1b[K\n0123456789ab: one\x1b[K\nba9876543210: two\x1b[K\n" +
		"\r1.5 MB of 3.0 MB (50 %)\x1b[K" +
		"\r\x1b[K\x1b[2A\r0123456789ab: three\x1b[K\x1b[2B\r"
	if got != want {
		t.Errorf("%q", got)
	}
}

func TestDisplayOnTerminal(t *testing.T) {
	master, slave, err := pty.Open()
	check(t, err)
	defer slave.Close()
	check(t, pty.Setsize(master, &pty.Winsize{Rows: 3, Cols: 20}))
	d := newDisplay(number(slave))
	if !d.drawing {
		t.Fatal("a terminal is not drawn on")
	}
	s := newScreen(t, master)
	d.print("0123456789ab: longer than twenty columns\nb\nc\nd\n0123456789ab: out of sight\n")
	s.expect("0123456789ab: longe\x1b[K\r\n") // does not wrap
	s.expect("d\x1b[K\r\n0123456789ab: out o\x1b[K\r\n")
}

func TestAmount(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 1536000: "1.5 MB", 1 << 62: "4.6 EB"} {
		if got := amount(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}

func TestDetachKeys(t *testing.T) {
	for _, c := range []struct {
		keys     string
		in       []string
		out      string
		detaches bool
	}{
		{"\x10\x11", []string{"abc"}, "abc", false},
		{"\x10\x11", []string{"a\x10\x11b"}, "a", true},
		{"\x10\x11", []string{"a\x10", "\x11b"}, "a", true},
		{"\x10\x11", []string{"a\x10", "b"}, "a\x10b", false},
		{"\x10\x11", []string{"\x10\x10\x11"}, "\x10", true},
		{"\x10\x11", []string{"\x11\x11"}, "\x11\x11", false},
		{"aab", []string{"aaab"}, "a", true},
		{"abac", []string{"ababac"}, "ab", true},
		{"abac", []string{"aba", "x"}, "abax", false},
		{"q", []string{"xq"}, "x", true},
		{"", []string{"\x10\x11"}, "\x10\x11", false},
	} {
		d := &detacher{keys: c.keys}
		var out []byte
		detached := false
		for _, in := range c.in {
			b, now := d.filter([]byte(in))
			out = append(out, b...)
			detached = detached || now
		}
		if string(out) != c.out || detached != c.detaches {
			t.Errorf("%q: %q, %v", c.in, out, detached)
		}
	}
}

func TestDetachKeysRead(t *testing.T) {
	for in, want := range map[string]string{
		"": "\x10\x11", "ctrl-p,ctrl-q": "\x10\x11", "ctrl-A,d": "\x01d", "ctrl-@": "\x00", "ctrl-\\,x": "\x1cx", "ctrl-]": "\x1d",
	} {
		if got, err := DetachKeys(in); err != nil || got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"ctrl-", "ctrl-pq", "ab", ",", "ctrl-1", "a,,b", "\x10"} {
		if got, err := DetachKeys(in); err == nil {
			t.Errorf("%q: %q", in, got)
		}
	}
}
