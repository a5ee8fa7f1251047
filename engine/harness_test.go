package engine

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"hull/engine/cgroup"
	"hull/engine/launch"
	"hull/engine/logs"
	"hull/engine/monitor"
)

// The tests run without root: a container's process is this test binary as a plain child, which waits at a gate like
// the real stub, and then does what its arguments say.
const roleVar = "HULL_ENGINE_TEST"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVar) {
	case "":
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

// testLauncher starts such processes.
type testLauncher struct {
	ofParent bool // the daemon role: children of the monitor
	reap     func(pidfd *os.File)
	gate     chan struct{} // if not nil, Park takes one from it, and waits for a second
	execGate chan struct{} // if not nil, Exec takes one from it, and waits for a second
	listed   atomic.Int32  // how often Commands was called

	mu     sync.Mutex
	staged map[*testStaged]bool // those that wait
	broken bool                 // nothing can be made beforehand
}

// testStaged is a process that was made beforehand: nothing, until it is somebody's.
type testStaged struct {
	l     *testLauncher
	dead  bool
	dying bool // it will be killed when it has been handed over, before it runs its command
	death chan struct{}
}

func (s *testStaged) Serves(spec launch.Spec) bool { return spec.ShmSize == 0 }

func (s *testStaged) Alive() bool {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	return !s.dead
}

func (s *testStaged) Died(ctx context.Context) bool {
	select {
	case <-s.death:
		return true
	case <-ctx.Done():
		return false
	}
}

// die has it killed.
func (s *testStaged) die() {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.dead = true
	close(s.death)
}

func (s *testStaged) Park(ctx context.Context, spec launch.Spec) (parked, error) {
	s.Abort()
	if s.dying {
		p, err := s.l.start(spec.Args, spec.Env, spec.Stdin, spec.Stdout, spec.Stderr)
		if err != nil {
			return nil, err
		}
		err = spec.Begun(p)
		p.Abort()
		if err = errors.Join(err, p.Close()); err != nil {
			return nil, err
		}
		return nil, &launch.Error{Op: "start", Kind: launch.Gone, Text: "it is dead"}
	}
	return s.l.Park(ctx, spec)
}

func (s *testStaged) Abort() {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	delete(s.l.staged, s)
}

// waiting are the processes that were made beforehand.
func (l *testLauncher) waiting() []*testStaged {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.staged))
}

type testParked struct {
	l     *testLauncher
	pid   int
	pidfd *os.File
	gate  *os.File
	args  []string

	released, ran bool
}

func (l *testLauncher) Park(ctx context.Context, spec launch.Spec) (parked, error) {
	for range 2 {
		if l.gate == nil {
			break
		}
		select {
		case <-l.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	root, err := spec.Root(nil)
	if err != nil {
		return nil, err
	}
	root.Close()
	p, err := l.start(spec.Args, spec.Env, spec.Stdin, spec.Stdout, spec.Stderr)
	if err != nil {
		return nil, err
	}
	if err := spec.Begun(p); err != nil {
		p.Abort()
		p.Close()
		return nil, err
	}
	return p, nil
}

func (l *testLauncher) Stage(context.Context, launch.Spec) (staged, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken {
		return nil, errors.New("it cannot be made")
	}
	if l.staged == nil {
		l.staged = map[*testStaged]bool{}
	}
	s := &testStaged{l: l, death: make(chan struct{})}
	l.staged[s] = true
	return s, nil
}

func (l *testLauncher) Exec(_ context.Context, _ launch.Target, spec launch.ExecSpec) (parked, error) {
	if l.execGate != nil {
		<-l.execGate
		<-l.execGate
	}
	p, err := l.start(spec.Args, spec.Env, spec.Stdin, spec.Stdout, spec.Stderr)
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (l *testLauncher) start(args, env []string, stdin, stdout, stderr *os.File) (*testParked, error) {
	switch args[0] {
	case "nosuch":
		return nil, &launch.Error{Op: "find", Kind: launch.NotFound, Text: "there is no nosuch"}
	case "fullstop":
		return nil, &launch.Error{Op: "mount", Kind: launch.Space, Text: "the disk is full"}
	}
	read, write, err := blockingPipe()
	if err != nil {
		return nil, err
	}
	defer read.Close()
	ready, told, err := blockingPipe()
	if err != nil {
		return nil, err
	}
	defer ready.Close()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(env, roleVar+"=command")
	cmd.ExtraFiles = []*os.File{read, told}
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if stdin != nil {
		cmd.Stdin = stdin
	}
	if stdout != nil {
		cmd.Stdout = stdout
	}
	if stderr != nil {
		cmd.Stderr = stderr
	}
	if l.ofParent {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_PARENT
	}
	err = cmd.Start()
	told.Close()
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		return nil, err
	}
	pid := cmd.Process.Pid
	cmd.Process.Release()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, err
	}
	return &testParked{l: l, pid: pid, pidfd: os.NewFile(uintptr(fd), "pidfd"), gate: write, args: args}, nil
}

func (p *testParked) PID() int        { return p.pid }
func (p *testParked) Pidfd() *os.File { return p.pidfd }
func (p *testParked) Pty() *os.File   { return nil }
func (p *testParked) Root() *os.File  { return nil }

func (p *testParked) Release(context.Context) error {
	p.released = true
	_, err := p.gate.Write([]byte{1})
	return err
}

func (p *testParked) Run(ctx context.Context) error {
	if !p.released {
		if err := p.Release(ctx); err != nil {
			return err
		}
	}
	if p.args[0] == "badexec" {
		return &launch.Error{Op: "exec", Kind: launch.NotExecutable, Text: "badexec cannot be executed"}
	}
	p.ran = true
	return nil
}

func (p *testParked) Abort() {
	if p.ran {
		return
	}
	p.ran = true
	_ = unix.PidfdSendSignal(int(p.pidfd.Fd()), unix.SIGKILL, nil, 0)
	p.l.reap(p.pidfd)
}

func (p *testParked) Close() error { return errors.Join(p.gate.Close(), p.pidfd.Close()) }

func (l *testLauncher) Commands(root *os.File, _ []string) ([]string, error) {
	l.listed.Add(1)
	return []string{"ls", "sh"}, nil
}
func (l *testLauncher) Users(context.Context, uint32, uint32) (*os.File, error) { return nil, nil }
func (l *testLauncher) OpenHost(_ context.Context, h launch.HostPath) (*os.File, error) {
	return os.Open(h.Path)
}

func (l *testLauncher) OwnerUsers(context.Context, uint32, uint32, uint32, uint32) (*os.File, error) {
	return nil, nil
}
func (l *testLauncher) Close() error { return nil }

// testGroups pretends to be cgroups.
type testGroups struct {
	mu   sync.Mutex
	live map[string]*testGroup
}

type testGroup struct {
	t      *testGroups
	id     string
	limits cgroup.Limits
	sets   int   // how often Set was called
	inUse  int64 // memory that cannot be given back
	kills  int64
	oom    *os.File // tells who watches
	stuck  bool     // it does not freeze
}

func (t *testGroups) Create(id string, l cgroup.Limits) (group, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.live[id] != nil {
		return nil, errors.New("the group exists")
	}
	if t.live == nil {
		t.live = map[string]*testGroup{}
	}
	t.live[id] = &testGroup{t: t, id: id, limits: l}
	return t.live[id], nil
}

func (t *testGroups) Remove() error { return nil }
func (t *testGroups) Of(int) string { return "" }

func (t *testGroups) Open(id string) (group, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if g := t.live[id]; g != nil {
		return g, nil
	}
	return &testGroup{t: t, id: id}, nil
}

func (t *testGroups) Sweep(_ context.Context, keep func(string) bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.live, func(id string, _ *testGroup) bool { return !keep(id) })
	return nil
}

func (g *testGroup) Set(l cgroup.Limits) error {
	g.t.mu.Lock()
	g.sets++
	g.t.mu.Unlock()
	return g.Change(cgroup.Limits{}, l)
}

func (g *testGroup) Change(_, to cgroup.Limits) error {
	g.t.mu.Lock()
	defer g.t.mu.Unlock()
	if to.Memory > 0 && to.Memory < g.inUse {
		return &cgroup.Error{Op: "limit", Kind: cgroup.Busy, Err: errors.New("more is in use")}
	}
	g.limits = to
	return nil
}

// kill has the kernel end something in the group for want of memory.
func (g *testGroup) kill() {
	g.t.mu.Lock()
	defer g.t.mu.Unlock()
	g.kills++
	if g.oom != nil {
		_, _ = g.oom.Write(make([]byte, 8))
	}
}

func (g *testGroup) OOMKills() int64 {
	g.t.mu.Lock()
	defer g.t.mu.Unlock()
	return g.kills
}

func (g *testGroup) WatchOOM() (*os.File, error) {
	r, w, err := os.Pipe()
	g.t.mu.Lock()
	defer g.t.mu.Unlock()
	g.oom = w
	return r, err
}

func (g *testGroup) Pause(context.Context) error {
	g.t.mu.Lock()
	defer g.t.mu.Unlock()
	if g.stuck {
		return errors.Join(context.DeadlineExceeded, nil)
	}
	return nil
}

func (g *testGroup) Stat() (cgroup.Stat, error) {
	return cgroup.Stat{Pids: 1, OOMKills: g.OOMKills()}, nil
}
func (g *testGroup) Join() ([]*os.File, error)     { return nil, nil }
func (g *testGroup) OOM() *os.File                 { return nil }
func (g *testGroup) Unpause(context.Context) error { return nil }
func (g *testGroup) Processes() ([]int, error)     { return []int{1}, nil }
func (g *testGroup) Remove(context.Context) error {
	g.t.mu.Lock()
	defer g.t.mu.Unlock()
	closeAll(g.oom)
	g.oom = nil
	delete(g.t.live, g.id)
	return nil
}

// testRoots pretends to be a store of images.
type testRoots struct {
	mu      sync.Mutex
	images  map[string]*Image
	pulling map[string]chan error // closed or sent to when the pull ends
	failed  map[string]error
	holds   map[string]bool // image+container
	slow    chan struct{}   // if not nil, an image's own file system is mounted when it is closed
	dir     string
}

func (r *testRoots) Parse(name string) (string, error) {
	if name == "BAD" {
		return "", errors.New("BAD is no image's name")
	}
	return name, nil
}

func (r *testRoots) Platform(word string) error {
	if word == "bad" {
		return errors.New("bad is no platform")
	}
	return nil
}

// Image has images for a platform by name@platform.
func (r *testRoots) Image(_ context.Context, name, platform string) (*Image, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pulling[name] != nil {
		return nil, ErrPulling
	}
	if platform != "" {
		name += "@" + platform
	}
	if m := r.images[name]; m != nil {
		return m, nil
	}
	return nil, fail("image", "", NotFound, "there is no image %s", name)
}

func (r *testRoots) Wait(ctx context.Context, name string) error {
	r.mu.Lock()
	end, failed := r.pulling[name], r.failed[name]
	r.mu.Unlock()
	if end == nil {
		return failed
	}
	select {
	case err := <-end:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// slowDown makes images' own file systems take until speedUp to be mounted.
func (r *testRoots) slowDown() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.slow = make(chan struct{})
}

func (r *testRoots) speedUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.slow)
	r.slow = nil
}

// pulled ends a pull.
func (r *testRoots) pulled(name string, err error) {
	r.mu.Lock()
	end := r.pulling[name]
	delete(r.pulling, name)
	r.failed[name] = err
	if err == nil {
		r.images[name] = &Image{ID: "sha256:" + name, Reference: name, Cmd: []string{"sleep"}}
	}
	r.mu.Unlock()
	end <- err // its capacity is one
}

func (r *testRoots) Hold(image, container string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.holds[image+" "+container] = true
	return nil
}

func (r *testRoots) Release(image, container string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.holds, image+" "+container)
}

func (r *testRoots) held() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.holds)
}

func (r *testRoots) Mount(ctx context.Context, _ string, upper, _ *os.File, _ uint32, _ bool) (*os.File, error) {
	r.mu.Lock()
	slow := r.slow
	r.mu.Unlock()
	if slow != nil && upper == nil {
		select {
		case <-slow:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if upper != nil {
		for _, name := range []string{"upper", "work"} {
			if err := os.MkdirAll(filepath.Join(upper.Name(), name), 0o700); err != nil {
				return nil, err
			}
		}
	}
	return os.Open(r.dir)
}

func newTestRoots(dir string) *testRoots {
	return &testRoots{
		dir: dir, pulling: map[string]chan error{}, holds: map[string]bool{}, failed: map[string]error{},
		images: map[string]*Image{"box": {ID: "sha256:box", Reference: "box", Cmd: []string{"sleep"}, Env: []string{"A=image"}}},
	}
}

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

func (m *testMonitor) Exits() <-chan monitor.Exit       { return m.exits }
func (m *testMonitor) Troubles() <-chan monitor.Trouble { return m.troubles }

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

// world is an engine on fakes, with everything a test looks at.
type world struct {
	t       *testing.T
	e       *Engine
	dir     string
	roots   *testRoots
	monitor *testMonitor
	launch  *testLauncher
	groups  *testGroups
	warm    int
	life    string

	mu     sync.Mutex
	events []string
	whys   []string
	heard  chan struct{} // has a token after each event
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), monitor: newTestMonitor(), groups: &testGroups{}, heard: make(chan struct{}, 1)}
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
	e, err := newEngine(w.t.Context(), Options{
		Dir: w.dir, Tree: "test", Roots: w.roots, Monitor: w.monitor, Notify: w.hear, Caller: callerOf, Warm: w.warm, Life: w.life,
	}).open(w.t.Context(), parts{launcher: w.launch, groups: w.groups, first: first, released: testReleased})
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
	if !slices.Contains(Actions(), ev.Action) || !slices.Contains(Causes(), ev.Cause) {
		w.t.Errorf("an event that is none of the list: %q because of %q", ev.Action, ev.Cause)
	}
	if code, ok := ev.Attributes["exitCode"]; ok && ev.Action == "die" {
		line += " " + code
	}
	if p := ev.Attributes["policy"]; p != "" {
		line += " (" + p + ", " + ev.Attributes["restarts"] + ")"
	}
	w.events = append(w.events, line)
	w.whys = append(w.whys, whyOf(ev))
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

// count is how many groups there are.
func (t *testGroups) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.live)
}
