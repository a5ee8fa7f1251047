package verb

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"hull/engine/logs"
	"hull/engine/monitor"
	"hull/fs/session"
	"hull/tests/need"
)

// patient is how long a test waits for what must come.
const patient = 30 * time.Second

// The test's own binary is the interpreter of the verb files, as hull's is of the real ones.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "verb" {
		os.Exit(Main(os.Args[2:], testFlags))
	}
	os.Exit(m.Run())
}

func testFlags() []Flag {
	return []Flag{
		{Name: "detach", Short: "d", Setting: "detach", Kind: Switch},
		{Name: "interactive", Short: "i", Setting: "stdin", Kind: Switch},
		{Name: "tty", Short: "t", Setting: "tty", Kind: Switch},
		{Name: "rm", Setting: "auto_remove", Kind: Switch},
		{Name: "name", Setting: "name"},
		{Name: "workdir", Short: "w", Setting: "workdir"},
		{Name: "env", Short: "e", Setting: "env", Kind: Env, Repeat: true},
		{Name: "env-file", Setting: "env", Kind: EnvFile, Repeat: true},
		{Name: "security-opt", Kind: Security, Repeat: true},
		{Name: "dns-search", Setting: "dns", Repeat: true, Prefix: "search "},
		{Name: "log-opt", Kind: Log, Repeat: true},
		{Name: "log-driver", Kind: LogDriver},
		{Name: "cidfile", Setting: optionID, Kind: OwnFile},
		{Name: "label", Short: "l", Setting: "labels", Repeat: true},
		{Name: "label-file", Setting: "labels", Kind: LabelFile, Repeat: true},
	}
}

// verbFile is a verb file of the tests' tree: its name is its kind.
type verbFile struct {
	fusefs.Inode
	tree   *tree
	name   string
	script []byte
}

func (v *verbFile) Getattr(_ context.Context, _ fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size = 0o777, uint64(len(v.script))
	return 0
}

func (v *verbFile) Open(_ context.Context, flags uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	if flags&unix.O_ACCMODE == unix.O_RDONLY {
		return &script{v.script}, fuse.FOPEN_DIRECT_IO, 0
	}
	kind, _, _ := strings.Cut(v.name, "-")
	return v.tree.current().Open(session.Verb{Kind: kind, Name: v.name}, session.Credential{}), session.OpenFlags, 0
}

type script struct{ text []byte }

func (s *script) Read(_ context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	off = min(off, int64(len(s.text)))
	return fuse.ReadResultData(dest[:copy(dest, s.text[off:])]), 0
}

// tree is a mount with verb files, and a daemon.
type tree struct {
	fusefs.Inode
	t      *testing.T
	at     string
	binary string
	run    string

	mu     sync.Mutex
	server *session.Server
	logs   chan *os.File // where a test writes what a container of run writes, and closes when it ends
	stdin  chan *os.File
}

func (r *tree) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	if strings.HasPrefix(name, "absent") {
		return nil, syscall.ENOENT
	}
	v := &verbFile{tree: r, name: name, script: session.Script(r.binary, "a test")}
	var a fuse.AttrOut
	v.Getattr(ctx, nil, &a)
	out.Attr = a.Attr
	return r.NewInode(ctx, v, fusefs.StableAttr{Mode: unix.S_IFREG}), 0
}

func (r *tree) current() *session.Server {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.server
}

func plant(t *testing.T) *tree {
	t.Helper()
	need.Root(t, "it mounts")
	binary, err := os.Executable()
	check(t, err)
	r := &tree{
		t: t, at: filepath.Join(t.TempDir(), "m"), binary: binary, run: t.TempDir(),
		logs: make(chan *os.File, 1), stdin: make(chan *os.File, 1),
	}
	check(t, session.CheckBinary(binary))
	check(t, os.Mkdir(r.at, 0o755))
	r.begin()
	none := time.Duration(0)
	m, err := fusefs.Mount(r.at, r, &fusefs.Options{
		EntryTimeout: &none, AttrTimeout: &none,
		MountOptions: fuse.MountOptions{FsName: "hull-test", DirectMountStrict: true, DirectMountFlags: unix.MS_NOSUID | unix.MS_NODEV},
	})
	check(t, err)
	t.Cleanup(func() {
		if err := m.Unmount(); err != nil {
			t.Error(err)
			_ = unix.Unmount(r.at, unix.MNT_DETACH)
		}
		_ = r.current().Close()
	})
	return r
}

// begin starts the daemon's part.
func (r *tree) begin() {
	s, err := session.NewServer(r.t.Context(), session.Options{
		Dir: r.run, Handler: r.handle, Sentence: error.Error, Logger: slog.New(slog.DiscardHandler),
	})
	check(r.t, err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.server = s
}

// kill ends it, with all its connections.
func (r *tree) kill() { check(r.t, r.current().Close()) }

// handle does what hull would: exec runs a command on the host, run is a container that the test plays.
func (r *tree) handle(ctx context.Context, c *session.Call) (*session.Answer, error) {
	switch c.Kind {
	case "exec":
		return r.exec(c)
	case "run":
		return r.container(c)
	case "pull":
		c.Print("0123456789ab: Pulling\n")
		c.Meter(1, 2)
		c.Print("0123456789ab: Pull complete\n")
		return &session.Answer{Text: "pulled " + strings.Join(c.Args, " ") + "\n"}, nil
	case "load":
		return load(ctx, c)
	case "wait":
		if c.Name == "wait-fails" {
			return nil, errors.New("it failed for a reason \x1b[31m.")
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return nil, errors.New("no such verb")
}

// load takes in what comes, unless the caller leaves before the end.
func load(ctx context.Context, c *session.Call) (*session.Answer, error) {
	all := make(chan int64, 1)
	go func() {
		n, _ := io.Copy(io.Discard, c.Stdio[0])
		all <- n
	}()
	select {
	case n := <-all:
		return &session.Answer{Text: "loaded " + itoa(int(n)) + "\n"}, nil
	case <-ctx.Done():
		return nil, errors.New("it was cancelled")
	}
}

func (r *tree) exec(c *session.Call) (*session.Answer, error) {
	near, far, err := monitor.NewStatus()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(c.Args[0], c.Args[1:]...)
	a := &session.Answer{Status: near}
	if c.Terminal != nil {
		master, slave, err := pty.Open()
		if err != nil {
			return nil, err
		}
		defer slave.Close()
		if err := pty.Setsize(master, &pty.Winsize{Rows: c.Terminal.Rows, Cols: c.Terminal.Cols}); err != nil {
			return nil, err
		}
		cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		cmd.Env = append(os.Environ(), "TERM="+c.Terminal.Term)
		a.Pty = master
	}
	for i, to := range []any{&cmd.Stdin, &cmd.Stdout, &cmd.Stderr} {
		if f := c.Stdio[i]; f != nil {
			switch to := to.(type) {
			case *io.Reader:
				*to = f
			case *io.Writer:
				*to = f
			}
		}
	}
	if err := cmd.Start(); err != nil {
		return &session.Answer{Code: 127, Sentence: "there is no command " + c.Args[0]}, nil //nolint:nilerr // as hull answers
	}
	pidfd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	if err != nil {
		return nil, err
	}
	a.Pidfd = os.NewFile(uintptr(pidfd), "pidfd")
	if c.Terminal == nil {
		a.Signal = func(_ context.Context, n int) error { return cmd.Process.Signal(syscall.Signal(n)) }
	}
	go func() { // as the monitor would
		_ = cmd.Wait()
		w := cmd.ProcessState.Sys().(syscall.WaitStatus)
		e := monitor.Exit{Code: w.ExitStatus()}
		if w.Signaled() {
			e.Signal = int(w.Signal())
			e.Code = 128 + e.Signal
		}
		_ = monitor.WriteStatus(far, e)
		_ = far.Close()
	}()
	return a, nil
}

// container answers with a log of what the test writes to the file it finds in r.logs.
func (r *tree) container(c *session.Call) (*session.Answer, error) {
	if v, _ := c.Option("detach"); v == "true" {
		var given []string
		for _, o := range c.Options {
			given = append(given, o.Name+"="+o.Value)
		}
		return &session.Answer{Text: strings.Join(append(given, c.Args...), " ") + "\n"}, nil
	}
	dir, err := os.MkdirTemp(r.run, "log")
	if err != nil {
		return nil, err
	}
	w, err := logs.Create(dir, logs.Bounds{})
	if err != nil {
		return nil, err
	}
	l, err := logs.Open(dir)
	if err != nil {
		return nil, err
	}
	near, far, err := monitor.NewStatus()
	if err != nil {
		return nil, err
	}
	all, _, err := l.Take(0)
	if err != nil {
		return nil, err
	}
	a := &session.Answer{Status: near, Follow: &session.Follow{Segments: []session.Segment{session.Segment(all[0])}}}
	out, writing, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	if v, _ := c.Option("stdin"); v == "true" && c.Terminal == nil {
		reading, stdin, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		r.stdin <- reading
		a.Stdin = stdin
	}
	if c.Terminal != nil {
		reading, typing, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		r.stdin <- reading
		a.Stdin, a.Terminal = typing, true
		a.Detach, _ = c.Option("detach-keys")
	}
	r.logs <- writing
	go func() {
		for {
			await(number(out), unix.POLLIN)
			if _, err := w.Splice(logs.Stdout, number(out), 1<<16); errors.Is(err, unix.EAGAIN) {
				continue
			} else if err != nil {
				break
			}
			grew := monitor.Status{Grew: true}.Encode()
			if err := unix.Sendto(int(far.Fd()), grew[:], unix.MSG_NOSIGNAL, nil); err != nil {
				break
			}
		}
		_ = monitor.WriteStatus(far, monitor.Exit{Code: 9})
		_, _, _ = w.Close(), far.Close(), out.Close()
	}()
	return a, nil
}

// command is a verb file's execution. A shell stands between: execve asks the mount's server, which is this process, and
// Go can stop all goroutines but the one that waits in fork for the child to execute something.
func (r *tree) command(name string, args ...string) *exec.Cmd {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patient)
	r.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", `exec "$0" "$@"`, filepath.Join(r.at, name)}, args...)...)
	cmd.Env = append(os.Environ(), "TERM=tests-own")
	return cmd
}

// opened tells whether a process has a file of the tree open, as a helper has until it is answered.
func (r *tree) opened(pid int) bool {
	r.t.Helper()
	dir := "/proc/" + itoa(pid) + "/fd"
	fds, err := os.ReadDir(dir)
	check(r.t, err)
	for _, fd := range fds {
		if to, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil && strings.HasPrefix(to, r.at+"/") {
			return true
		}
	}
	return false
}
