package child

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
)

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// stub is one without namespaces, which needs no privileges.
func stub(t *testing.T) *Stub {
	t.Helper()
	s := &Spawner{}
	st, err := s.Spawn(Options{})
	must(t, err)
	must(t, s.Close())
	t.Cleanup(func() {
		_ = st.Kill()
		_ = sys.Wait(st.Pidfd)
		_ = st.Pidfd.Close()
		_ = st.Close()
	})
	return st
}

// ended waits for a stub and gives its exit code.
func ended(t *testing.T, st *Stub) int {
	t.Helper()
	poll := []unix.PollFd{{Fd: int32(st.Pidfd.Fd()), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(poll, 60_000)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n != 1 || err != nil {
			t.Fatal("the stub does not end", err)
		}
		break
	}
	var ws unix.WaitStatus
	if _, err := unix.Wait4(st.PID, &ws, 0, nil); err != nil {
		t.Fatal(err)
	}
	return ws.ExitStatus()
}

func TestLayout(t *testing.T) {
	p := &Program{}
	p.Call(1, Int(7), Str("abc"), Struct(Int(1), Str("abc")))
	r := p.Call(2, Buffer(16), Buffer(16))
	p.Try(3, Int(0), r)
	const base = 0x1000
	b := p.image(base)
	u64 := func(at uint64) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	if u64(0) != 1 || u64(24) != 7 {
		t.Error("the first record is wrong")
	}
	str := u64(32) - base
	if string(b[str:str+4]) != "abc\x00" {
		t.Errorf("the string is %q", b[str:])
	}
	if st := u64(40) - base; u64(st) != 1 || u64(st+8) != u64(32) {
		t.Error("the structure does not share its string")
	}
	if a, b := u64(recordSize+24), u64(recordSize+32); a == b {
		t.Error("two buffers are one")
	}
	if u64(recordSize+8) != base+2*recordSize+32 {
		t.Error("the result goes to a wrong place")
	}
	if u64(2*recordSize+16) != flagTry {
		t.Error("the flags are wrong")
	}
	for _, s := range []string{"0 n1(7, \"abc\", {1, \"abc\"})", "2 n3(0, result 1), or not"} {
		if d := p.Describe(func(nr uint64) string { return "n" + string(rune('0'+nr)) }); !strings.Contains(d, s) {
			t.Errorf("%q is not in\n%s", s, d)
		}
	}
}

func TestStubFile(t *testing.T) {
	b, err := stubFile()
	must(t, err)
	f, err := elf.NewFile(bytes.NewReader(b))
	must(t, err)
	if f.Entry != stubText+0x200 || len(f.Progs) != 3 || len(b) != 2*page {
		t.Errorf("%d bytes, %+v", len(b), f.FileHeader)
	}
	for _, p := range f.Progs {
		if p.Flags&elf.PF_W != 0 && p.Flags&elf.PF_X != 0 {
			t.Error("a segment can be written to and executed")
		}
	}
}

func TestPrograms(t *testing.T) {
	st := stub(t)
	ctx := within(t)
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	// Several programs, the second with a file, and one that is long.
	first := &Program{}
	first.Next()
	must(t, st.Send(ctx, first))
	_, err = st.Await(ctx)
	must(t, err)
	second := &Program{}
	text := strings.Repeat("long ", 200_000)
	second.Call(unix.SYS_WRITE, Int(FirstFile), Str("hello "), Int(6))
	second.Call(unix.SYS_WRITE, Int(FirstFile), Str(text), Int(10))
	second.Try(unix.SYS_CLOSE, Int(999))
	second.Present(unix.SYS_CHDIR, Str("/no/such/directory"))
	second.Present(unix.SYS_CHDIR, Str("/dev/null/x"))
	second.Make(unix.SYS_MKDIR, Str("/"), Int(0o755))
	second.ReadyWith(second.Call(unix.SYS_OPEN, Str("/"), Int(unix.O_PATH|unix.O_CLOEXEC), Int(0)))
	second.Wait()
	must(t, st.Send(ctx, second, w))
	must(t, w.Close())
	root, err := st.Await(ctx)
	must(t, err)
	defer root.Close()
	got, err := io.ReadAll(r) // the stub has closed its end
	must(t, err)
	if string(got) != "hello long long " {
		t.Errorf("got %q", got)
	}
	info, err := root.Stat()
	must(t, err)
	if !info.IsDir() {
		t.Error("what it handed over is no directory")
	}
	last := &Program{}
	last.Ready()
	last.Pause()
	last.Call(unix.SYS_EXIT_GROUP, Int(9))
	must(t, st.Send(ctx, last))
	_, err = st.Await(ctx)
	must(t, err)
	must(t, st.Continue(ctx))
	if code := ended(t, st); code != 9 {
		t.Errorf("exit code %d", code)
	}
	if _, err := st.Await(ctx); !errors.Is(err, ErrGone) {
		t.Errorf("after its end: %v", err)
	}
}

func TestFailures(t *testing.T) {
	for _, tt := range []struct {
		nr    uintptr
		args  []Arg
		errno unix.Errno
		code  int
	}{
		{unix.SYS_CHDIR, []Arg{Str("/no/such/directory")}, unix.ENOENT, 125},
		{unix.SYS_CLOSE, []Arg{Int(999)}, unix.EBADF, 125},
		{0xffff, nil, unix.ENOSYS, 125},
		{unix.SYS_MKDIR, []Arg{Str("/")}, unix.EEXIST, 125},
		{unix.SYS_EXECVE, []Arg{Str("/no/such/file"), Strs(nil), Strs(nil)}, unix.ENOENT, 127},
		{unix.SYS_EXECVE, []Arg{Str("/etc"), Strs(nil), Strs(nil)}, unix.EACCES, 126},
		{unix.SYS_EXECVE, []Arg{Str("/etc/passwd/x"), Strs(nil), Strs(nil)}, unix.ENOTDIR, 126},
	} {
		st := stub(t)
		ctx := within(t)
		p := &Program{}
		p.Step(Step{Kind: 1, What: "begin"})
		p.Call(unix.SYS_GETPID)
		p.Step(Step{Kind: 2, What: "fail"})
		p.Call(tt.nr, tt.args...)
		p.Call(unix.SYS_EXIT_GROUP, Int(0))
		must(t, st.Send(ctx, p))
		_, err := st.Await(ctx)
		var f *Failure
		if !errors.As(err, &f) || f.Errno != tt.errno || f.Step.Kind != 2 || f.Call != tt.nr || !errors.Is(err, tt.errno) {
			t.Errorf("system call %d: %v", tt.nr, err)
		}
		if code := ended(t, st); code != tt.code {
			t.Errorf("system call %d: exit code %d, want %d", tt.nr, code, tt.code)
		}
	}
}

// What a stub says of its failure is heard although it has never read that it was released.
func TestFailureAfterRelease(t *testing.T) {
	st := stub(t)
	ctx := within(t)
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	p := &Program{}
	p.Call(unix.SYS_READ, Int(FirstFile), Str("x"), Int(1))
	p.Call(unix.SYS_CHDIR, Str("/no/such/directory"))
	must(t, st.Send(ctx, p, r))
	must(t, st.Continue(ctx))
	must(t, w.Close())
	if code := ended(t, st); code != 125 {
		t.Errorf("exit code %d", code)
	}
	_, err = st.Await(ctx)
	var f *Failure
	if !errors.As(err, &f) || f.Errno != unix.ENOENT {
		t.Errorf("it has failed with %v", err)
	}
}

func TestEndsWithUs(t *testing.T) {
	for what, p := range map[string]*Program{"waiting for a program": nil, "waiting to be released": {}} {
		st := stub(t)
		ctx := within(t)
		if p != nil {
			p.Ready()
			p.Pause()
			must(t, st.Send(ctx, p))
			_, err := st.Await(ctx)
			must(t, err)
		}
		must(t, st.socket.Close())
		if code := ended(t, st); code != 124 {
			t.Errorf("%s: exit code %d", what, code)
		}
	}
}

func TestContext(t *testing.T) {
	st := stub(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := st.Await(ctx) // it has nothing to say
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	// The socket is as good as before.
	p := &Program{}
	p.Ready()
	p.Pause()
	must(t, st.Send(within(t), p))
	if _, err := st.Await(within(t)); err != nil {
		t.Error(err)
	}
}

func TestTooManyFiles(t *testing.T) {
	st := stub(t)
	files := make([]*os.File, maxFiles+1)
	for i := range files {
		files[i] = st.Pidfd
	}
	p := &Program{}
	p.Next()
	if err := st.Send(within(t), p, files...); err == nil {
		t.Error("too many files are sent")
	}
	must(t, st.Send(within(t), p, files[:maxFiles]...))
	if _, err := st.Await(within(t)); err != nil {
		t.Error(err)
	}
}

// However many descriptors this process has, a stub has its own three and the
// socket, and has not copied the others on the way.
func TestDescriptors(t *testing.T) {
	s := &Spawner{}
	defer s.Close()
	must(t, s.Prepare())
	for range 600 {
		fd, err := unix.FcntlInt(s.null.Fd(), unix.F_DUPFD, 0) // not closed by an execve
		must(t, err)
		defer unix.Close(fd)
	}
	st, err := s.Spawn(Options{})
	must(t, err)
	defer st.Pidfd.Close()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", st.PID))
	must(t, err)
	if len(open) != Socket+1 {
		t.Errorf("the stub has descriptors %v", open)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", st.PID))
	must(t, err)
	if !strings.Contains(string(status), "FDSize:\t64\n") && s.stub.Fd() < 64 {
		t.Errorf("the stub's table of descriptors is large:\n%s", status)
	}
	must(t, st.Close())
	if code := ended(t, st); code != 124 {
		t.Errorf("it ends with %d when nobody is there any more", code)
	}
}

// A container's processes are woken as punctually as others, though hull's own
// are not.
func TestSlack(t *testing.T) {
	s := &Spawner{}
	defer s.Close()
	for range 2 {
		_ = sys.Patiently(func() error {
			st, err := s.Spawn(Options{})
			must(t, err)
			slack, err := os.ReadFile(fmt.Sprintf("/proc/%d/timerslack_ns", st.PID))
			if errors.Is(err, os.ErrPermission) {
				t.Skip("the slack of another process may not be seen")
			}
			must(t, err)
			if string(slack) != "50000\n" {
				t.Errorf("a process of a container's may be woken %s ns late", slack)
			}
			must(t, st.Close())
			ended(t, st)
			return st.Pidfd.Close()
		})
	}
}

// A child that does not begin, as one in a cgroup that is frozen, keeps the
// others for a while only.
func TestLateBirth(t *testing.T) {
	st := stub(t)
	if err := st.begun(time.Millisecond); !errors.Is(err, unix.ETIMEDOUT) {
		t.Errorf("a stub that has nothing to say: %v", err)
	}
	must(t, st.Kill())
	if err := st.begun(time.Minute); err == nil {
		t.Error("one that has been killed has begun")
	}
}

func TestStillborn(t *testing.T) {
	s := &Spawner{}
	defer s.Close()
	must(t, s.prepare())
	s.stub, s.null = s.null, s.stub // /dev/null cannot be executed
	_, err := s.Spawn(Options{})
	var dead *Stillborn
	if !errors.As(err, &dead) || !errors.Is(err, unix.EACCES) {
		t.Fatalf("got %v", err)
	}
	must(t, sys.Wait(dead.Pidfd))
	must(t, dead.Pidfd.Close())
}

// What the stub says is the word of a process that may have been taken over.
func FuzzDecode(f *testing.F) {
	for _, addr := range []uint64{0, programBase, programBase + recordSize, programBase + 5*recordSize, programBase + programStep, programBase - 1, ^uint64(0)} {
		f.Add(addr, ^uint64(1))
	}
	p := &Program{}
	p.Call(1)
	p.Call(2)
	f.Fuzz(func(t *testing.T, addr, result uint64) {
		st := &Stub{sent: []*Program{p}}
		b := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, addr), result)
		if err := st.decode(b); err == nil {
			t.Error("no error")
		}
	})
}
