package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// What a service manager tells those it starts, as sd_notify(3) and sd_watchdog_enabled(3) describe it.
const (
	notifySocket  = "NOTIFY_SOCKET"
	watchdogTime  = "WATCHDOG_USEC"
	watchdogOwner = "WATCHDOG_PID"
)

// manager is the service manager that has started this process and wants to hear from it; nil if there is none.
type manager struct {
	socket   string
	watchdog time.Duration // it must hear from this process as often; 0: it need not
}

// findManager reads what the service manager has put into the environment of the process pid.
func findManager(getenv func(string) string, pid int) *manager {
	m := &manager{socket: getenv(notifySocket)}
	if !strings.HasPrefix(m.socket, "/") && !strings.HasPrefix(m.socket, "@") {
		return nil
	}
	if owner := getenv(watchdogOwner); owner == "" || owner == strconv.Itoa(pid) {
		if n, err := strconv.ParseInt(getenv(watchdogTime), 10, 64); err == nil && n > 0 {
			m.watchdog = time.Duration(n) * time.Microsecond
		}
	}
	return m
}

// tell sends lines such as READY=1. They are for the manager alone: hull goes on if it cannot hear.
func (m *manager) tell(lines ...string) {
	if m == nil {
		return
	}
	// A name that begins with @ is an abstract one, to the net package as to systemd.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: m.socket, Net: "unixgram"})
	if err == nil {
		_ = conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
		_, err = conn.Write([]byte(strings.Join(lines, "\n")))
		_ = conn.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "hull: the service manager cannot be told", lines[0]+":", err)
	}
}

// withoutManager takes from an environment what is for this process alone.
func withoutManager(environ []string) []string {
	var rest []string
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		if name != notifySocket && name != watchdogTime && name != watchdogOwner {
			rest = append(rest, pair)
		}
	}
	return rest
}
