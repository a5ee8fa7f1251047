package monitor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/logs"
	"hull/tests/need"
)

func TestExit(t *testing.T) {
	r := newRig(t)
	if err := r.control.Ready(r.context()); err != nil {
		t.Fatal(err)
	}
	r.await("up")
	for _, c := range []struct {
		command, out, errs string
		code, signal       int
	}{
		{"echo out; echo err >&2", "out\n", "err\n", 0, 0},
		{"exit 42", "", "", 42, 0},
		{"printf half; kill -9 $$", "half", "", 137, 9},
		{"kill -TERM $$", "", "", 143, 15},
	} {
		t.Run(c.command, func(t *testing.T) {
			id := strings.Map(func(c rune) rune {
				if c >= 'a' && c <= 'z' {
					return c
				}
				return -1
			}, c.command)
			dir := r.start(id, c.command)
			e := r.await("exit").Exit
			if e.ID != id || e.Code != c.code || e.Signal != c.signal {
				t.Errorf("exit %+v, want code %d signal %d", e, c.code, c.signal)
			}
			if got, err := ReadExit(dir); err != nil || got.Code != c.code || !got.Started.Equal(e.Started) {
				t.Errorf("the record says %+v, %v", got, err)
			}
			if got := r.output(dir, logs.Stdout); got != c.out {
				t.Errorf("stdout %q, want %q", got, c.out)
			}
			if got := r.output(dir, logs.Stderr); got != c.errs {
				t.Errorf("stderr %q, want %q", got, c.errs)
			}
			r.must(&message{Op: "forget", ID: id})
		})
	}
}

func (r *rig) output(dir string, s logs.Stream) string {
	r.Helper()
	text, err := outputNow(dir, s)
	if err != nil {
		r.Fatal(err)
	}
	return text
}

// outputNow fails where a part of the log is removed meanwhile.
func outputNow(dir string, s logs.Stream) (string, error) {
	l, err := logs.Open(dir)
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }()
	v := l.Only(s)
	n, err := v.Size()
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(io.NewSectionReader(v, 0, n))
	return string(b), err
}

// Everything a container prints is in its log once and in order, however often the daemon is killed meanwhile.
func TestKilledDaemon(t *testing.T) {
	r := newRig(t)
	r.await("up")
	const n = 60000
	dir := r.start("web", fmt.Sprintf("i=0; while [ $i -lt %d ]; do i=$((i+1)); echo o $i; [ $((i%%3)) -eq 0 ] && echo e $i >&2; done; exit 5", n))
	for range 4 {
		r.killDaemon()
		r.await("up")
	}
	r.must(&message{Op: "list"})
	held := r.await("held")
	exit := held.Exit
	if exit == nil {
		exit = r.await("exit").Exit
	}
	if held.ID != "web" || exit.Code != 5 {
		t.Errorf("held %q, exit %+v", held.ID, exit)
	}
	for s, c := range map[logs.Stream]struct {
		letter string
		step   int
	}{logs.Stdout: {"o", 1}, logs.Stderr: {"e", 3}} {
		got := lines(r.output(dir, s))
		if len(got) != n/c.step {
			t.Fatalf("stream %d has %d lines, want %d", s, len(got), n/c.step)
		}
		for i, line := range got {
			if want := fmt.Sprintf("%s %d", c.letter, (i+1)*c.step); line != want {
				t.Fatalf("stream %d, line %d is %q, want %q", s, i, line, want)
			}
		}
	}
}

// An exit while no daemon lives is on disk, on the status sockets, and in the next daemon's List.
func TestExitWithoutDaemon(t *testing.T) {
	r := newRig(t)
	r.await("up")
	gate := filepath.Join(r.run, "gate")
	if err := unix.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := r.start("web", "read x < "+gate+"; echo last; exit 3")
	attached := r.attach("web")
	near, far, err := NewStatus()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = near.Close() }()
	m := &message{Op: "session", ID: "web", Text: "sleep 100 & wait $!; exit 4", Key: "1"}
	m.Text = "read x < " + gate + "2; exit 4"
	if err := unix.Mkfifo(gate+"2", 0o600); err != nil {
		t.Fatal(err)
	}
	m.put(slotStatus, far)
	r.must(m)
	_ = far.Close()

	r.killDaemon()
	r.open(gate)
	r.open(gate + "2")
	if s := r.status(near); s.Code != 4 {
		t.Errorf("the session's status is %+v, want 4", s)
	}
	r.await("up")
	r.must(&message{Op: "list"})
	held := r.await("held")
	exit := held.Exit
	if exit == nil { // the daemon was quicker than the container
		exit = r.await("exit").Exit
	}
	if exit.Code != 3 {
		t.Errorf("exit %+v, want 3", exit)
	}
	if e, err := ReadExit(dir); err != nil || e.Code != 3 {
		t.Errorf("record %+v, %v", e, err)
	}
	if got := r.output(dir, logs.Stdout); got != "last\n" {
		t.Errorf("stdout %q", got)
	}
	r.must(&message{Op: "forget", ID: "web"})
	if s := r.status(attached); s.Code != 3 {
		t.Errorf("the attached status is %+v, want 3", s)
	}
	var e *Error
	near2, far2, err := NewStatus()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = near2.Close(), far2.Close() }()
	late := &message{Op: "attach", ID: "web"}
	late.put(slotStatus, far2)
	if err := r.tell(late); !errors.As(err, &e) || e.Kind != NotFound {
		t.Errorf("attaching to a forgotten container: %v", err)
	}
}

// open opens a fifo for writing and closes it: whoever reads it goes on.
func (r *rig) open(path string) {
	r.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		r.Fatal(err)
	}
	_ = f.Close()
}

// Attached sockets wait for Forget while a daemon lives, and are answered all the same if none comes to say it.
func TestAttachedWithoutForget(t *testing.T) {
	r := newRig(t, "HULL_ANSWER_WITHIN=10ms")
	r.await("up")
	r.start("web", "exit 6")
	near := r.attach("web")
	r.await("exit")
	r.killDaemon()
	if s := r.status(near); s.Code != 6 {
		t.Errorf("status %+v, want 6", s)
	}
}

func TestGrew(t *testing.T) {
	r := newRig(t)
	r.await("up")
	gate := filepath.Join(r.run, "gate")
	if err := unix.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := r.start("web", "read x < "+gate+"; echo hello; read x")
	near := r.attach("web")
	r.open(gate)
	_ = near.SetReadDeadline(time.Now().Add(patience))
	var b [StatusSize]byte
	n, err := near.Read(b[:])
	if err != nil {
		t.Fatal(err)
	}
	if s, err := DecodeStatus(b[:n]); err != nil || !s.Grew {
		t.Errorf("status %+v, %v; want that the log grew", s, err)
	}
	if got := r.output(dir, logs.Stdout); got != "hello\n" {
		t.Errorf("stdout %q", got)
	}
	r.must(&message{Op: opCloseStdin, ID: "web"}) // the end of input ends its read
	r.await("exit")
	r.must(&message{Op: "forget", ID: "web"})
	if s := r.status(near); s.Code != 1 && s.Code != 0 {
		t.Errorf("status %+v", s)
	}
}

func TestTerminal(t *testing.T) {
	r := newRig(t)
	r.await("up")
	dir := filepath.Join(r.run, "web")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	// Nobody has the terminal open for a moment, and then somebody has it again.
	const command = `i=0; while [ $i -lt 5000 ]; do i=$((i+1)); echo line $i; done; t=$(tty); exec </dev/null >/dev/null 2>&1; (echo again) > $t; exit 9`
	r.must(&message{Op: "start", ID: "web", Dir: dir, Text: command, Mode: "tty"})
	if e := r.await("exit").Exit; e.Code != 9 {
		t.Errorf("exit %+v, want 9", e)
	}
	got := strings.Split(strings.TrimSuffix(r.output(dir, logs.Stdout), "\r\n"), "\r\n")
	if len(got) != 5001 || got[5000] != "again" {
		t.Fatalf("%d lines, the last is %q", len(got), got[len(got)-1])
	}
	for i, line := range got[:5000] {
		if line != fmt.Sprintf("line %d", i+1) {
			t.Fatalf("line %d is %q", i, line)
		}
	}
}

// What a daemon cloned and did not live to adopt is ended; what it adopted is not.
func TestStrangers(t *testing.T) {
	r := newRig(t)
	r.await("up")
	r.start("web", "read x")
	mark := filepath.Join(r.run, "mark")
	r.must(&message{Op: "park", ID: "stranger", Text: "touch " + mark})
	loose := &message{Op: "park", ID: "loose", Text: "exec sleep 100000", Mode: "loose"}
	r.must(loose)
	fd, err := unix.PidfdOpen(loose.PID, 0)
	if err != nil {
		t.Fatal(err)
	}
	pidfd := os.NewFile(uintptr(fd), "pidfd")
	defer func() { _ = pidfd.Close() }()
	r.must(&message{Op: "reap", ID: "given-up", Text: "touch " + mark})
	r.killDaemon()
	r.await("up")
	r.must(&message{Op: "list"})
	if held := r.await("held"); held.ID != "web" || held.Exit != nil {
		t.Errorf("held %q %+v", held.ID, held.Exit)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("a stranger ran")
	}
	r.awaitDeath(fd)
}

// Somebody who still holds a container's output delays neither its end nor its next run, and is still heard.
func TestLateOutput(t *testing.T) {
	r := newRig(t)
	r.await("up")
	gate := filepath.Join(r.run, "gate")
	if err := unix.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := r.start("web", "(read x < "+gate+"; echo late) & echo first; exit 3")
	t.Cleanup(func() { // lets the process go if the test has failed
		if f, err := os.OpenFile(gate, os.O_RDWR|unix.O_NONBLOCK, 0); err == nil {
			_, _ = f.WriteString("go\n")
			_ = f.Close()
		}
	})
	if e := r.await("exit").Exit; e.Code != 3 {
		t.Errorf("exit %+v, want 3", e)
	}
	r.must(&message{Op: "forget", ID: "web"})
	r.must(&message{Op: "start", ID: "web", Dir: dir, Text: "echo second; read x"})
	r.awaitOutput(dir, "first\nsecond\n")
	r.open(gate)
	r.awaitOutput(dir, "first\nsecond\nlate\n")
}

// awaitOutput waits until a log holds this and no more.
func (r *rig) awaitOutput(dir, want string) {
	r.Helper()
	for got := ""; got != want; got = r.output(dir, logs.Stdout) {
		if len(got) > len(want) || time.Now().After(r.by) {
			r.Fatalf("output %q, want %q", got, want)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestForgetRunning(t *testing.T) {
	r := newRig(t)
	r.await("up")
	r.start("web", "read x")
	var e *Error
	if err := r.tell(&message{Op: "forget", ID: "web"}); !errors.As(err, &e) || e.Kind != Busy {
		t.Errorf("forgetting a running container: %v", err)
	}
	if err := r.tell(&message{Op: "start", ID: "web", Dir: r.run, Text: "true"}); !errors.As(err, &e) || e.Kind != Exists {
		t.Errorf("starting a running container: %v", err)
	}
}

// A log that cannot be made does not hold the container up.
func TestNoLog(t *testing.T) {
	r := newRig(t)
	r.await("up")
	dir := filepath.Join(r.run, "web")
	if err := os.MkdirAll(filepath.Join(dir, logs.LogFile), 0o700); err != nil { // a directory where the log should be
		t.Fatal(err)
	}
	r.must(&message{Op: "start", ID: "web", Dir: dir, Text: "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo line $i; done"})
	if e := r.await("exit").Exit; e.Code != 0 {
		t.Errorf("exit %+v", e)
	}
	if m := r.await("trouble"); !strings.HasPrefix(m.ID, "web: ") {
		t.Errorf("trouble %q", m.ID)
	}
}

// A disk that has filled up costs output, but neither the container's end nor the record of it.
func TestFullDisk(t *testing.T) {
	need.Root(t, "it has a disk of its own")
	r := newRig(t)
	r.await("up")
	disk := t.TempDir()
	if err := unix.Mount("test", disk, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	gate := filepath.Join(r.run, "gate")
	if err := unix.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	r.must(&message{Op: "start", ID: "web", Dir: disk, Text: "read x < " + gate + "; i=0; while [ $i -lt 30000 ]; do i=$((i+1)); echo line $i; done; exit 5"})
	if err := os.WriteFile(filepath.Join(disk, "filler"), make([]byte, 1<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	r.open(gate)
	if e := r.await("exit").Exit; e.Code != 5 {
		t.Errorf("exit %+v, want 5", e)
	}
	r.await("trouble")
	if e, err := ReadExit(disk); err != nil || e.Code != 5 {
		t.Errorf("record %+v, %v", e, err)
	}
	r.must(&message{Op: "forget", ID: "web"})
}

func TestGiveUp(t *testing.T) {
	for role, want := range map[string]string{
		"dead":    "did not get as far",
		"refused": "the store is somebody else's",
	} {
		t.Run(role, func(t *testing.T) {
			r := newRig(t, "HULL_DAEMON="+role)
			var e *Error
			err := r.control.Ready(r.context())
			if !errors.As(err, &e) || e.Kind != Failed || !strings.Contains(e.Sentence, want) {
				t.Errorf("ready: %v", err)
			}
		})
	}
}
