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
)

// counted is a command that writes so many lines of 16 bytes when the gate is opened.
func counted(gate string, n int) string {
	return fmt.Sprintf(`read x < %s; i=1000000; while [ $i -lt %d ]; do i=$((i+1)); echo "line $i of"; done; exit 3`, gate, 1000000+n)
}

func countedLines(from, n int) string {
	var b strings.Builder
	for i := from + 1; i <= n; i++ {
		fmt.Fprintf(&b, "line %d of\n", 1000000+i)
	}
	return b.String()
}

func (r *rig) gate() string {
	r.Helper()
	gate := filepath.Join(r.run, "gate")
	if err := unix.Mkfifo(gate, 0o600); err != nil {
		r.Fatal(err)
	}
	return gate
}

// startBounded starts a container whose log has segments of 64 KiB.
func (r *rig) startBounded(id, command string, files int) string {
	r.Helper()
	dir := filepath.Join(r.run, id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		r.Fatal(err)
	}
	r.must(&message{Op: "start", ID: id, Dir: dir, Text: command, LogMax: 64 << 10, LogFiles: files})
	return dir
}

// follower reads a container's log as the helper does: from the segment that was there on, by those that it is given.
type follower struct {
	*rig
	near    *os.File
	log     *logs.Log
	cursor  *logs.Cursor
	reading int64
	got     strings.Builder
	gaps    int
	exit    *Status
}

func (r *rig) follow(id, dir string, paced bool) *follower {
	r.Helper()
	l, err := logs.Open(dir)
	if err != nil {
		r.Fatal(err)
	}
	segments, _, err := l.Take(0)
	if err != nil || len(segments) != 1 {
		r.Fatal(segments, err)
	}
	near, far, err := NewStatus()
	if err != nil {
		r.Fatal(err)
	}
	f := &follower{rig: r, near: near, log: logs.Follow(segments)}
	f.cursor = f.log.Cursor(0)
	r.Cleanup(func() { _, _ = near.Close(), f.log.Close() })
	m := &message{Op: "attach", ID: id, Segment: segments[0].Number, Paced: paced}
	m.put(slotStatus, far)
	r.must(m)
	_ = far.Close()
	return f
}

// next takes one message; false when there are no more.
func (f *follower) next(last *int64) bool {
	f.Helper()
	fd := rawFD(f.near)
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if n, err := unix.Poll(p, int(patience/time.Millisecond)); errors.Is(err, unix.EINTR) {
		return true
	} else if n != 1 {
		f.Fatal("nothing comes from the monitor", err)
	}
	s, more, err := ReadStatus(fd)
	switch {
	case errors.Is(err, io.EOF):
		return false
	case err != nil:
		f.Fatal(err)
	case s.More && more.Number <= *last: // as the helper does
		_ = more.Close()
		if err := Reading(fd, f.reading); err != nil && !errors.Is(err, unix.EPIPE) {
			f.Fatal(err)
		}
	case s.More:
		if more.Number != *last+1 {
			f.gaps++
		}
		*last = more.Number
		f.log.Add(more)
	case !s.Grew:
		f.exit = &s
	}
	return true
}

// read reads what there is.
func (f *follower) read() {
	f.Helper()
	buf := make([]byte, 4096)
	for {
		k, err := f.cursor.Next(buf)
		if n := f.cursor.Number(); n != f.reading && f.exit == nil {
			f.reading = n
			if err := Reading(rawFD(f.near), n); err != nil && !errors.Is(err, unix.EPIPE) { // it may be over
				f.Fatal(err)
			}
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			f.Fatal(err)
		}
		f.got.Write(k.Data)
	}
}

// toEnd reads until the monitor closes the socket.
func (f *follower) toEnd(last int64) {
	f.Helper()
	for f.next(&last) {
		f.read()
	}
	f.read()
	if f.exit == nil || f.exit.Code != 3 {
		f.Errorf("exit %+v, want 3", f.exit)
	}
}

// A log stays within its bounds, and a follower that reads gets all of it in order.
func TestBoundedLog(t *testing.T) {
	r := newRig(t)
	r.await("up")
	gate := r.gate()
	const n, files = 60000, 3
	dir := r.startBounded("web", counted(gate, n), files)
	paced := r.follow("web", dir, true)
	r.open(gate)
	done := make(chan struct{})
	go func() {
		defer close(done)
		paced.toEnd(0)
	}()
	r.await("exit")
	r.must(&message{Op: "forget", ID: "web"})
	<-done
	if got := paced.got.String(); got != countedLines(0, n) {
		t.Errorf("who is paced got %d bytes of %d", len(got), len(countedLines(0, n)))
	}
	if paced.gaps != 0 {
		t.Errorf("%d gaps", paced.gaps)
	}
	r.awaitFiles(dir, files)
	out := r.output(dir, logs.Stdout)
	if !strings.HasSuffix(countedLines(0, n), out) || len(out) < (files-1)*(20<<10) {
		t.Errorf("the log has %d bytes, which are not the last", len(out))
	}
}

// awaitFiles waits until a log has so many segments.
func (r *rig) awaitFiles(dir string, want int) {
	r.Helper()
	for got := -1; got != want; time.Sleep(time.Millisecond) {
		names, err := filepath.Glob(filepath.Join(dir, logs.LogFile+"*"))
		if err != nil || time.Now().After(r.by) {
			r.Fatalf("%d segments, %v; want %d", got, err, want)
		}
		got = len(names)
	}
}

// Who has stopped reading makes nobody wait, unless the output is its own. It finds the end when it comes back, in order.
func TestStoppedFollower(t *testing.T) {
	r := newRig(t)
	r.await("up")
	gate := r.gate()
	const n = 60000
	dir := r.startBounded("web", counted(gate, n), 2)
	f := r.follow("web", dir, false)
	r.open(gate)
	if e := r.await("exit").Exit; e.Code != 3 { // nobody has read anything
		t.Errorf("exit %+v", e)
	}
	r.must(&message{Op: "forget", ID: "web"})
	f.toEnd(0)
	got := f.got.String()
	whole := countedLines(0, n)
	if f.gaps != 1 || len(got) >= len(whole) || len(got) < 4*(20<<10) {
		t.Errorf("%d gaps, %d bytes of %d", f.gaps, len(got), len(whole))
	}
	first := len(got)
	for first > 0 && !strings.HasSuffix(whole, got[len(got)-first:]) {
		first--
	}
	if !strings.HasPrefix(whole, got[:len(got)-first]) {
		t.Error("what it got is not a beginning and an end")
	}
}

// A container waits for who is paced and does not read; if that one goes, it goes on.
func TestPacedFollowerLeaves(t *testing.T) {
	r := newRig(t)
	r.await("up")
	gate := r.gate()
	const n = 200000 // more than a pipe holds, however large it is made
	dir := r.startBounded("web", counted(gate, n), 2)
	f := r.follow("web", dir, true)
	r.open(gate)
	var last int64
	for last < 2 { // as much as it may have
		if !f.next(&last) {
			t.Fatal("the monitor has closed the socket")
		}
	}
	if _, err := ReadExit(dir); err == nil {
		t.Error("the container has not waited")
	}
	_ = f.near.Close()
	if e := r.await("exit").Exit; e.Code != 3 {
		t.Errorf("exit %+v", e)
	}
}

// Bounds change while it runs, and of a log that nobody writes.
func TestBound(t *testing.T) {
	r := newRig(t)
	r.await("up")
	gate := r.gate()
	dir := r.startBounded("web", counted(gate, 30000)+" ", 100)
	r.open(gate)
	if e := r.await("exit").Exit; e.Code != 3 {
		t.Errorf("exit %+v", e)
	}
	before := r.output(dir, logs.Stdout)
	if before != countedLines(0, 30000) {
		t.Errorf("%d bytes", len(before))
	}
	r.must(&message{Op: "bound", ID: "web", Dir: dir, LogMax: 64 << 10, LogFiles: 4})
	r.awaitFiles(dir, 4)
	r.must(&message{Op: "forget", ID: "web"})
	r.must(&message{Op: "bound", ID: "web", Dir: dir, LogMax: 64 << 10, LogFiles: 2})
	r.awaitFiles(dir, 2)
	if after := r.output(dir, logs.Stdout); after == "" || !strings.HasSuffix(before, after) {
		t.Errorf("%d bytes are left, which are not the last", len(after))
	}
	r.must(&message{Op: "bound", ID: "nobody", Dir: filepath.Join(r.run, "nowhere"), LogFiles: 2})
}

// What the other end says may make no sense.
func TestForgedReading(t *testing.T) {
	r := newRig(t)
	r.await("up")
	gate := r.gate()
	dir := r.startBounded("web", counted(gate, 20000), 2)
	f := r.follow("web", dir, true)
	for _, n := range []int64{-1, 0, 1, 7, 1 << 62} {
		if err := Reading(rawFD(f.near), n); err != nil {
			t.Fatal(err)
		}
	}
	r.open(gate)
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.toEnd(0)
	}()
	r.await("exit")
	r.must(&message{Op: "forget", ID: "web"})
	<-done
	if got := f.got.String(); got != countedLines(0, 20000) {
		t.Errorf("%d bytes of %d", len(got), len(countedLines(0, 20000)))
	}
}

// A monitor that goes on for another may know less of what somebody has. That one says what it reads, and nobody waits.
func TestStaleSegment(t *testing.T) {
	for _, paced := range []bool{true, false} {
		t.Run(fmt.Sprint(paced), func(t *testing.T) {
			r := newRig(t)
			r.await("up")
			gate := r.gate()
			const n = 30000
			begin := strings.Replace(counted(gate, n), "exit 3", "read x < "+gate+"; ", 1)
			dir := r.startBounded("web", begin+strings.TrimPrefix(counted(gate, n), "read x < "+gate+"; "), 2)
			r.open(gate)
			first := countedLines(0, n)
			r.awaitEnd(dir, first)
			r.awaitFiles(dir, 2) // and no other begins until the gate is opened again
			l, err := logs.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			size, err := l.Both().Size()
			if err != nil {
				t.Fatal(err)
			}
			segments, rest, err := l.Take(size)
			if err != nil {
				t.Fatal(err)
			}
			near, far, err := NewStatus()
			if err != nil {
				t.Fatal(err)
			}
			last := segments[0].Number
			f := &follower{rig: r, near: near, log: logs.Follow(segments), reading: last}
			f.cursor = f.log.Cursor(rest)
			t.Cleanup(func() { _, _ = near.Close(), f.log.Close() })
			m := &message{Op: "attach", ID: "web", Segment: 0, Paced: paced} // and not last
			m.put(slotStatus, far)
			r.must(m)
			_ = far.Close()
			r.open(gate)
			done := make(chan struct{})
			go func() {
				defer close(done)
				f.toEnd(last)
			}()
			r.await("exit")
			r.must(&message{Op: "forget", ID: "web"})
			<-done
			if got := f.got.String(); paced && got != first {
				t.Errorf("%d bytes of %d, %d gaps", len(got), len(first), f.gaps)
			} else if !strings.HasSuffix(first, got[max(0, len(got)-10000):]) || len(got) < 20000 {
				t.Errorf("%d bytes, which do not end as they should", len(got))
			}
		})
	}
}

// awaitEnd waits until a log ends as a text does.
func (r *rig) awaitEnd(dir, text string) {
	r.Helper()
	for {
		if out, err := outputNow(dir, logs.Stdout); err == nil && len(out) > 0 && strings.HasSuffix(text, out) {
			return
		}
		if time.Now().After(r.by) {
			r.Fatal("the log does not end as it should")
		}
		time.Sleep(time.Millisecond)
	}
}
