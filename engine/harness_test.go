package engine

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The tests run without root: a container's process is this test binary as a plain child, which waits at a gate like
// the real stub, and then does what its arguments say.
const roleVar = "HULL_ENGINE_TEST"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVar) {
	case "":
		// Under nohup, what a test starts would not heed a hang-up either. What is caught is not inherited.
		if signal.Ignored(unix.SIGHUP) {
			signal.Notify(make(chan os.Signal, 1), unix.SIGHUP)
		}
		os.Exit(m.Run())
	case "command":
		os.Exit(commandRole(os.Args[1:]))
	case "monitor":
		os.Exit(monitorRole())
	case "daemon":
		os.Exit(daemonRole())
	case "plain":
		os.Exit(commandRole(os.Args))
	}
}

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// commandRole is a container's process: it waits until it is released, and ends by itself if it never will be.
func commandRole(args []string) int {
	if filepath.Base(args[0]) == "box" { // in a real container: there is no gate
		return obey(args[1:])
	}
	gate := os.NewFile(3, "gate")
	ignoring := args[0] == "deaf" // before the release, so that no signal can come first
	if ignoring {
		signal.Ignore(syscall.SIGTERM)
	}
	ready := os.NewFile(4, "ready")
	_, _ = ready.Write([]byte{1})
	ready.Close()
	var b [1]byte
	if _, err := gate.Read(b[:]); err != nil {
		return exitAbandoned
	}
	gate.Close()
	_ = os.WriteFile("/proc/self/comm", []byte(releasedName), 0)
	return obey(args)
}

// obey does what the arguments say.
func obey(args []string) int {
	switch args[0] {
	case "exit":
		code, _ := strconv.Atoi(args[1])
		return code
	case "echo":
		for _, a := range args[1:] {
			fmt.Println(a)
		}
		return 0
	case "cat":
		io.Copy(os.Stdout, os.Stdin)
		return 0
	case "env":
		for _, a := range os.Environ() {
			fmt.Println(a)
		}
		return 0
	case "badexec":
		return 126
	}
	for { // sleep, deaf: until a signal ends it
		_ = unix.Pause()
	}
}

// world is an engine on fakes, with everything a test looks at.
type world struct {
	t        *testing.T
	e        *Engine
	dir      string
	roots    *testRoots
	monitor  *testMonitor
	launch   *testLauncher
	groups   *testGroups
	links    *testLinks
	names    *testNames
	warm     int
	restless bool // it is never quiet
	life     string

	mu     sync.Mutex
	events []string
	visits []string // events of networks
	whys   []string
	heard  chan struct{} // has a token after each event
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), monitor: newTestMonitor(), links: newTestLinks(), names: newTestNames(), groups: &testGroups{}, heard: make(chan struct{}, 1)}
	w.roots = newTestRoots(t.TempDir())
	w.launch = &testLauncher{reap: func(pidfd *os.File) {
		w.monitor.mu.Lock()
		known := false
		for _, h := range w.monitor.held {
			known = known || h.Exit == nil && samePid(h.Pidfd, pidfd)
		}
		w.monitor.mu.Unlock()
		if !known {
			waitFor(pidfd)
		}
	}}
	w.open()
	t.Cleanup(w.close)
	return w
}

func samePid(a, b *os.File) bool {
	x, _ := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", a.Fd()))
	y, _ := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", b.Fd()))
	pid := func(data []byte) (n int) {
		for _, line := range splitLines(data) {
			_, _ = fmt.Sscanf(line, "Pid: %d", &n)
		}
		return n
	}
	return pid(x) == pid(y)
}

// open opens the engine (again: what it finds is what the last one left).
func (w *world) open() {
	w.t.Helper()
	e := newEngine(w.t.Context(), Options{
		Dir: w.dir, Tree: "test", Roots: w.roots, Monitor: w.monitor, Notify: w.hear, Caller: callerOf, Warm: w.warm, Life: w.life,
	})
	if w.restless {
		e.quiet.after, e.quiet.most = time.Hour, time.Hour
	}
	e, err := e.open(w.t.Context(), parts{launcher: w.launch, groups: w.groups, first: first, released: testReleased, links: w.links, names: w.names})
	if err != nil {
		w.t.Fatal(err)
	}
	w.e = e
}

// close ends everything a test started.
func (w *world) close() {
	w.monitor.mu.Lock()
	for _, h := range w.monitor.held {
		if h.Exit == nil {
			_ = unix.PidfdSendSignal(int(h.Pidfd.Fd()), unix.SIGKILL, nil, 0)
		}
	}
	w.monitor.mu.Unlock()
	if err := w.e.Close(); err != nil {
		w.t.Error(err)
	}
	w.monitor.work.Wait()
}

func (w *world) hear(ev Event) {
	w.mu.Lock()
	line := string(ev.Action) + " " + ev.Name
	known := Actions()
	if ev.Network != "" {
		known = NetworkActions()
	}
	if !slices.Contains(known, ev.Action) || !slices.Contains(Causes(), ev.Cause) {
		w.t.Errorf("an event that is none of the list: %q because of %q", ev.Action, ev.Cause)
	}
	if code, ok := ev.Attributes["exitCode"]; ok && ev.Action == "die" {
		line += " " + code
	}
	if p := ev.Attributes["policy"]; p != "" {
		line += " (" + p + ", " + ev.Attributes["restarts"] + ")"
	}
	if ev.Network != "" {
		w.visits = append(w.visits, line)
	} else {
		w.events = append(w.events, line)
		w.whys = append(w.whys, whyOf(ev))
	}
	w.mu.Unlock()
	select {
	case w.heard <- struct{}{}:
	default:
	}
}

// told answers the events so far.
func (w *world) told() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.events...)
}

// until waits until something is so; events are what wakes it, and a tick for what has none.
func (w *world) until(what string, so func() bool) {
	w.t.Helper()
	deadline := time.After(patience)
	for !so() {
		select {
		case <-w.heard:
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			w.t.Fatalf("it did not come to this: %s; events %q", what, w.told())
		}
	}
}

func (w *world) state(name string) State {
	c, ok := w.e.Find(name)
	if !ok {
		return "gone"
	}
	return c.State
}

func (w *world) create(name, command string, start bool) *Container {
	w.t.Helper()
	c, err := w.e.Create(w.t.Context(), New{
		Name: name, Image: "box", Settings: map[string]string{"command": command}, Start: start,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) want(err error, kind Kind) {
	w.t.Helper()
	if err == nil || KindOf(err) != kind {
		w.t.Fatalf("%v; wanted the kind %v", err, kind)
	}
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}
