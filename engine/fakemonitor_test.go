package engine

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"hull/engine/logs"
	"hull/engine/monitor"
)

// testMonitor does in this process what the monitor does in another.
type testMonitor struct {
	exits    chan monitor.Exit
	troubles chan monitor.Trouble

	mu       sync.Mutex
	held     map[string]*monitor.Held
	attached map[string][]*os.File
	bounds   map[string]logs.Bounds
	adopted  int
	stuck    chan struct{} // if not nil, no exit is told before it is closed: the processes wait in the kernel
	work     sync.WaitGroup
}

func newTestMonitor() *testMonitor {
	return &testMonitor{
		exits: make(chan monitor.Exit, 1000), troubles: make(chan monitor.Trouble, 10),
		held: map[string]*monitor.Held{}, attached: map[string][]*os.File{}, bounds: map[string]logs.Bounds{},
	}
}

func (m *testMonitor) Lend(context.Context, string, int) error      { return nil }
func (m *testMonitor) Return(context.Context, string) error         { return nil }
func (m *testMonitor) Lent(context.Context) (map[string]int, error) { return nil, nil }
func (m *testMonitor) Exits() <-chan monitor.Exit                   { return m.exits }
func (m *testMonitor) Troubles() <-chan monitor.Trouble             { return m.troubles }

func (m *testMonitor) Adopt(ctx context.Context, a monitor.Adopt) error {
	_ = os.Remove(filepath.Join(a.Dir, "exit.json"))
	w, err := logs.Create(a.Dir, a.Bounds)
	if err != nil {
		return err
	}
	_ = m.Bound(ctx, a.ID, a.Dir, a.Bounds)
	h := &monitor.Held{ID: a.ID, Dir: a.Dir, PID: a.PID, Started: a.Started}
	if h.Pidfd, err = dup(a.Pidfd); err != nil {
		return err
	}
	stdout, err := dup(a.Stdout)
	if err != nil {
		return err
	}
	stderr, err := dup(a.Stderr)
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.held[a.ID] = h
	m.adopted++
	m.mu.Unlock()
	m.work.Go(func() {
		copyOut(w, stdout, logs.Stdout)
		copyOut(w, stderr, logs.Stderr)
		w.Close()
		x := waitFor(h.Pidfd)
		x.ID, x.Started = a.ID, a.Started
		data, _ := json.Marshal(x)
		_ = os.WriteFile(filepath.Join(a.Dir, "exit.json"), data, 0o600)
		if m.stuck != nil {
			<-m.stuck
		}
		m.mu.Lock()
		h.Exit = &x
		m.mu.Unlock()
		m.exits <- x
	})
	return nil
}

func copyOut(w *logs.Writer, f *os.File, s logs.Stream) {
	if f == nil {
		return
	}
	defer f.Close()
	for {
		_, err := w.Splice(s, int(f.Fd()), 1<<16)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil && !errors.Is(err, unix.EAGAIN) {
			panic(err)
		}
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}}, -1)
	}
}

// childInfo is siginfo_t as waitid(2) fills it in on 64-bit machines.
type childInfo struct {
	signo, errno, code, _ int32
	pid, uid, status      int32
	_                     [100]byte
}

// waitFor reaps a child; one that somebody else has reaped has the code 0.
func waitFor(pidfd *os.File) monitor.Exit {
	var info childInfo
	for {
		err := unix.Waitid(unix.P_PIDFD, int(pidfd.Fd()), (*unix.Siginfo)(unsafe.Pointer(&info)), unix.WEXITED, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	x := monitor.Exit{Code: int(info.status), At: time.Now()}
	if info.pid != 0 && info.code != 1 { // not CLD_EXITED
		x.Signal = int(info.status)
		x.Code = 128 + x.Signal
	}
	return x
}

func splitLines(data []byte) []string {
	var lines []string
	s := bufio.NewScanner(bytes.NewReader(data))
	for s.Scan() {
		lines = append(lines, s.Text())
	}
	return lines
}

func (m *testMonitor) Session(_ context.Context, s monitor.Session) error {
	pidfd, err := dup(s.Pidfd)
	if err != nil {
		return err
	}
	status, err := dup(s.Status)
	if err != nil {
		return err
	}
	m.work.Go(func() {
		x := waitFor(pidfd)
		x.ID, x.Session = s.ID, s.Key
		pidfd.Close()
		if status != nil {
			_ = monitor.WriteStatus(status, x)
			status.Close()
		}
		if s.Report {
			m.exits <- x
		}
	})
	return nil
}

func (m *testMonitor) Attach(_ context.Context, a monitor.Attach) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held[a.ID] == nil {
		return &monitor.Error{Op: "attach", ID: a.ID, Kind: monitor.NotFound}
	}
	d, err := dup(a.Status)
	m.attached[a.ID] = append(m.attached[a.ID], d)
	return err
}

func (m *testMonitor) HangUp(_ context.Context, id, key string) error {
	m.exits <- monitor.Exit{ID: id, Session: key, At: time.Now()}
	return nil
}

func (m *testMonitor) Signal(context.Context, string, string, int) error { return nil }

func (m *testMonitor) Forget(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.held[id]
	switch {
	case h == nil:
		return nil
	case h.Exit == nil:
		return &monitor.Error{Op: "forget", ID: id, Kind: monitor.Busy, Sentence: "it runs"}
	}
	for _, f := range m.attached[id] {
		_ = monitor.WriteStatus(f, *h.Exit)
		f.Close()
	}
	delete(m.attached, id)
	delete(m.held, id)
	h.Pidfd.Close()
	return nil
}

func (m *testMonitor) Bound(_ context.Context, id, _ string, b logs.Bounds) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bounds[id] = b
	return nil
}

func (m *testMonitor) Abandon(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.held, id)
	return nil
}

func (m *testMonitor) CloseStdin(context.Context, string) error { return nil }

func (m *testMonitor) Reap(_ context.Context, pidfd *os.File) error {
	waitFor(pidfd)
	return nil
}

func (m *testMonitor) List(context.Context) ([]monitor.Held, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []monitor.Held
	for _, h := range m.held {
		c := *h
		var err error
		if c.Pidfd, err = dup(h.Pidfd); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}
