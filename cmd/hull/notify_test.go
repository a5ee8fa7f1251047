package main

import (
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestFindManager(t *testing.T) {
	for _, c := range []struct {
		name     string
		env      map[string]string
		found    bool
		watchdog time.Duration
	}{
		{"nobody", nil, false, 0},
		{"a socket of another kind", map[string]string{"NOTIFY_SOCKET": "vsock:2:1234"}, false, 0},
		{"a path", map[string]string{"NOTIFY_SOCKET": "/run/systemd/notify"}, true, 0},
		{"an abstract name", map[string]string{"NOTIFY_SOCKET": "@notify"}, true, 0},
		{"a watchdog", map[string]string{"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "30000000"}, true, 30 * time.Second},
		{"a watchdog of this process", map[string]string{"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "7"}, true, time.Millisecond},
		{"a watchdog of another process", map[string]string{"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "8"}, true, 0},
		{"a watchdog that is no number", map[string]string{"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "soon"}, true, 0},
		{"a watchdog that is off", map[string]string{"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "0"}, true, 0},
	} {
		m := findManager(func(name string) string { return c.env[name] }, 7)
		if (m != nil) != c.found {
			t.Errorf("%s: %v", c.name, m)
		}
		if m != nil && m.watchdog != c.watchdog {
			t.Errorf("%s: %s, not %s", c.name, m.watchdog, c.watchdog)
		}
	}
}

// TestTellManager sends to sockets as systemd has them: at a path, and with an abstract name.
func TestTellManager(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	for _, name := range []string{path, "@hull-test" + path} {
		socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
		(&manager{socket: name}).tell("READY=1", "STATUS=mounted on /hull")
		if err := socket.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 1024)
		n, err := socket.Read(b)
		if got := string(b[:n]); err != nil || got != "READY=1\nSTATUS=mounted on /hull" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	(*manager)(nil).tell("READY=1") // and nobody is no trouble
}

func TestManagerIsNobodyElses(t *testing.T) {
	got := withoutManager([]string{"A=1", "NOTIFY_SOCKET=/n", "WATCHDOG_USEC=1", "WATCHDOG_PID=2", "B=2"})
	if !slices.Equal(got, []string{"A=1", "B=2"}) {
		t.Errorf("%q", got)
	}
}
