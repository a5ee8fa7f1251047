package launch

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
	"hull/engine/seccomp"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("LAUNCH_TEST_DAEMON"); dir != "" {
		daemon(dir)
	}
	os.Exit(m.Run())
}

// daemon is a process that parks a container of its parent's, says which, and
// waits to be killed; if asked, it runs it.
func daemon(dir string) {
	l := &Launcher{BornOfParent: true}
	p, err := l.Park(context.Background(), spec(dir, "sleep", "1000"))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	if os.Getenv("LAUNCH_TEST_RUN") != "" {
		if err := p.Run(context.Background()); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	fmt.Println(p.PID())
	_, _ = os.Stdin.Read(make([]byte, 1))
}

// parkedByDaemon has another process park a container of ours.
func parkedByDaemon(t *testing.T, run string) (kill func(), pidfd *os.File) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := osexec.CommandContext(within(t), self)
	cmd.Env = append(os.Environ(), "LAUNCH_TEST_DAEMON="+rootfs(t), "LAUNCH_TEST_RUN="+run)
	out, err := cmd.StdoutPipe()
	must(t, err)
	in, err := cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	kill = func() {
		_ = cmd.Process.Kill()
		_ = in.Close()
		_ = cmd.Wait()
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		kill()
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		kill()
		t.Fatalf("the daemon says %q", line)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	must(t, err)
	pidfd = os.NewFile(uintptr(fd), "pidfd")
	t.Cleanup(func() { _ = pidfd.Close() })
	return kill, pidfd
}

// status waits for a child of this process.
func status(t *testing.T, pidfd *os.File) int {
	t.Helper()
	var info unix.Siginfo
	must(t, unix.Waitid(unix.P_PIDFD, int(pidfd.Fd()), &info, unix.WEXITED, nil))
	return int(*(*int32)(ptrAt(&info, 24)))
}

func TestDaemonDiesBeforeRun(t *testing.T) {
	privileged(t)
	kill, pidfd := parkedByDaemon(t, "")
	kill()
	// The container is this process's child, and it ends by itself.
	if code := status(t, pidfd); code != 124 {
		t.Errorf("exit code %d", code)
	}
}

func TestDaemonDiesAfterRun(t *testing.T) {
	privileged(t)
	kill, pidfd := parkedByDaemon(t, "1")
	kill()
	if sys.Exited(pidfd) {
		t.Error("the container has ended")
	}
	must(t, sys.Signal(pidfd, unix.SIGKILL))
	if code := status(t, pidfd); code != int(unix.SIGKILL) {
		t.Errorf("status %d", code)
	}
}

func TestManyAtOnce(t *testing.T) {
	privileged(t)
	l := &Launcher{}
	defer l.Close()
	dir := rootfs(t)
	ctx := within(t)
	const n = 50
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() {
			s := spec(dir, "sh", "-c", "exit "+strconv.Itoa(i+1))
			s.Range.First += uint32(i) * 65536
			p, err := l.Park(ctx, s)
			if err != nil {
				errs[i] = err
				return
			}
			defer p.Close()
			errs[i] = p.Run(ctx)
			var info unix.Siginfo
			for {
				err := unix.Waitid(unix.P_PIDFD, int(p.Pidfd().Fd()), &info, unix.WEXITED, nil)
				if !errors.Is(err, unix.EINTR) {
					errs[i] = errors.Join(errs[i], err)
					break
				}
			}
			if code := *(*int32)(ptrAt(&info, 24)); int(code) != i+1 {
				errs[i] = errors.Join(errs[i], fmt.Errorf("exit code %d", code))
			}
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			t.Errorf("container %d: %v", i, err)
		}
	}
}

func TestManyExecsAtOnce(t *testing.T) {
	privileged(t)
	l := &Launcher{}
	defer l.Close()
	c := start(t, l, spec(rootfs(t), "sleep", "1000"))
	ctx := within(t)
	var wg sync.WaitGroup
	errs := make([]error, 30)
	for i := range errs {
		wg.Go(func() {
			p, err := l.Exec(ctx, Target{Pidfd: c.Pidfd(), Range: testRange}, ExecSpec{Args: []string{"/bin/true"}, Seccomp: seccomp.Default(), TTY: i%2 == 0})
			if err != nil {
				errs[i] = err
				return
			}
			defer p.Close()
			errs[i] = errors.Join(p.Run(ctx), sys.Wait(p.Pidfd()))
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}

func TestAbortAndCancel(t *testing.T) {
	privileged(t)
	l := &Launcher{}
	defer l.Close()
	dir := rootfs(t)
	p, err := l.Park(within(t), spec(dir, "true"))
	must(t, err)
	p.Abort()
	p.Abort()
	must(t, p.Close())

	ctx, cancel := context.WithCancel(t.Context())
	s := spec(dir, "true")
	s.Root = func(*os.File) (*os.File, error) {
		cancel()
		return nil, errors.New("no root")
	}
	_, err = l.Park(ctx, s)
	var e *Error
	if !errors.As(err, &e) || e.Kind != Cancelled {
		t.Errorf("got %v", err)
	}
	s.Root = func(*os.File) (*os.File, error) { return nil, unix.ENOSPC }
	if _, err = l.Park(within(t), s); !errors.As(err, &e) || e.Kind != Space || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("got %v", err)
	}
	if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); !errors.Is(err, unix.ECHILD) {
		t.Errorf("a process is left: %v", err)
	}
}

func TestKilledWhileParked(t *testing.T) {
	privileged(t)
	l := &Launcher{}
	defer l.Close()
	p, err := l.Park(within(t), spec(rootfs(t), "true"))
	must(t, err)
	defer p.Close()
	must(t, sys.Signal(p.Pidfd(), unix.SIGKILL))
	for deadline := time.Now().Add(30 * time.Second); !sys.Exited(p.Pidfd()); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it lives on")
		}
	}
	var e *Error
	if err := p.Run(within(t)); !errors.As(err, &e) || e.Kind != Gone {
		t.Errorf("got %v", err)
	}
	p.Abort()
}

func TestUsers(t *testing.T) {
	privileged(t)
	l := &Launcher{BornOfParent: true, Reap: func(*os.File) { t.Error("a child of ours is to be reaped by our parent") }}
	defer l.Close()
	users, err := l.Users(within(t), testRange)
	must(t, err)
	defer users.Close()
	root, err := bound(rootfs(t))(users)
	must(t, err)
	defer root.Close()
	tree := &tree{dir: root}
	st, err := tree.stat("etc/passwd")
	must(t, err)
	if st.Uid != testRange.First {
		t.Errorf("the file belongs to %d", st.Uid)
	}
}

func TestNoDescriptorsLeft(t *testing.T) {
	privileged(t)
	dir := rootfs(t)
	open := func() []string {
		d, err := os.ReadDir("/proc/self/fd")
		must(t, err)
		var to []string
		for _, f := range d {
			target, _ := os.Readlink("/proc/self/fd/" + f.Name())
			to = append(to, target)
		}
		return to
	}
	round := func() {
		l := &Launcher{}
		ctx := within(t)
		s := spec(dir, "true")
		s.TTY = true
		p, err := l.Park(ctx, s)
		must(t, err)
		must(t, p.Run(ctx))
		must(t, sys.Wait(p.Pidfd()))
		must(t, p.Close())
		if _, err := l.Park(ctx, spec(dir, "missing")); err == nil {
			t.Error("it starts")
		}
		must(t, l.Close())
	}
	round() // the runtime opens some of its own
	before := open()
	for range 5 {
		round()
	}
	if after := open(); len(after) != len(before) {
		t.Errorf("%q, before %q", after, before)
	}
}

func TestIgnoredSignals(t *testing.T) {
	privileged(t)
	ignored := []os.Signal{unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGPIPE, unix.SIGTSTP, unix.SIGUSR1, unix.Signal(40)}
	signal.Ignore(ignored...)
	defer signal.Reset(ignored...)
	own, err := os.ReadFile("/proc/self/status")
	must(t, err)
	_, rest, _ := strings.Cut(string(own), "SigIgn:\t")
	mask, err := strconv.ParseUint(rest[:16], 16, 64) // whoever started the tests may ignore more
	must(t, err)
	if want := uint64(1)<<39 | 1<<(unix.SIGUSR1-1); mask&want != want {
		t.Fatalf("this process does not ignore what it should:\n%s", own)
	}
	show := []string{"grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status"}
	none := []string{"SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000", "SigCgt:\t0000000000000000"}
	dir := rootfs(t)
	want(t, run(t, spec(dir, show...)), none...)
	l := &Launcher{}
	defer l.Close()
	c := start(t, l, spec(dir, "sleep", "1000"))
	out, _ := exec(t, l, c, ExecSpec{Args: show}).end(t)
	want(t, out, none...)
}
