package logs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hull/tests/need"
)

// piece is something written at once.
type piece struct {
	stream Stream
	text   string
}

// pipe gives the two ends of a pipe that can hold a test's pieces.
func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	r, w = os.NewFile(uintptr(p[0]), "r"), os.NewFile(uintptr(p[1]), "w")
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	return r, w
}

// fill writes pieces by way of a pipe, as the monitor does.
func fill(t *testing.T, w *Writer, pieces []piece) {
	t.Helper()
	from, to := pipe(t)
	for _, p := range pieces {
		for text := p.text; len(text) > 0; {
			n := min(len(text), 32<<10)
			if _, err := to.WriteString(text[:n]); err != nil {
				t.Fatal(err)
			}
			text = text[n:]
			for left := int64(n); left > 0; {
				n, err := w.Splice(p.stream, rawFD(from), int(left))
				if err != nil {
					t.Fatal(err)
				}
				left -= n
			}
		}
	}
}

func create(t *testing.T, dir string) *Writer {
	t.Helper()
	w, err := Create(dir, Bounds{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func open(t *testing.T, dir string) *Log {
	t.Helper()
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// expect compares everything a log can be read as with what was written.
func expect(t *testing.T, l *Log, pieces []piece) {
	t.Helper()
	var both, out, errs strings.Builder
	for _, p := range pieces {
		both.WriteString(p.text)
		[]*strings.Builder{&out, &errs}[p.stream].WriteString(p.text)
	}
	for name, c := range map[string]struct {
		view *View
		want string
	}{
		"both": {l.Both(), both.String()}, "stdout": {l.Only(Stdout), out.String()}, "stderr": {l.Only(Stderr), errs.String()},
	} {
		n, err := c.view.Size()
		if err != nil || n != int64(len(c.want)) {
			t.Errorf("%s: size %d, %v; want %d", name, n, err, len(c.want))
			continue
		}
		got, err := io.ReadAll(io.NewSectionReader(c.view, 0, n))
		if err != nil || string(got) != c.want {
			t.Errorf("%s: read %d bytes, %v; not what was written", name, len(got), err)
		}
		for range 50 { // any part of it
			from := rand.Int64N(n + 1)
			p := make([]byte, rand.IntN(200)+1)
			k, err := c.view.ReadAt(p, from)
			want := c.want[from:min(n, from+int64(len(p)))]
			if string(p[:k]) != want || (err == nil) != (k == len(p)) || err != nil && !errors.Is(err, io.EOF) {
				t.Fatalf("%s: %d bytes at %d: %q, %v; want %q", name, len(p), from, p[:k], err, want)
			}
		}
		if _, err := c.view.ReadAt(make([]byte, 1), n+5); !errors.Is(err, io.EOF) {
			t.Errorf("%s: beyond the end: %v", name, err)
		}
	}
	for _, start := range []int64{0, int64(both.Len()) / 2, int64(both.Len())} {
		expectCursor(t, l.Cursor(start), start, pieces)
	}
}

// expectCursor walks to the end.
func expectCursor(t *testing.T, c *Cursor, start int64, pieces []piece) {
	t.Helper()
	type byteOf struct {
		b byte
		s Stream
	}
	var want []byteOf
	for _, p := range pieces {
		for i := range len(p.text) {
			want = append(want, byteOf{p.text[i], p.stream})
		}
	}
	at := start
	buf := make([]byte, 1000)
	for {
		k, err := c.Next(buf)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || k.Offset != at || len(k.Data) == 0 {
			t.Fatalf("from %d: chunk at %d of %d bytes, %v; want one at %d", start, k.Offset, len(k.Data), err, at)
		}
		for i, b := range k.Data {
			if want[at+int64(i)] != (byteOf{b, k.Stream}) {
				t.Fatalf("from %d: byte %d is %q of %d", start, at+int64(i), b, k.Stream)
			}
		}
		if age := time.Since(k.Time); !k.Time.IsZero() && (age < 0 || age > time.Hour) {
			t.Errorf("a chunk came at %v", k.Time)
		}
		at += int64(len(k.Data))
	}
	if at != int64(len(want)) {
		t.Errorf("from %d: ended at %d of %d", start, at, len(want))
	}
}

func many(n int) []piece {
	var ps []piece
	for i := range n {
		ps = append(ps, piece{Stream(i & 1), fmt.Sprintf("line %d\n", i)})
	}
	return ps
}

func TestRead(t *testing.T) {
	for name, pieces := range map[string][]piece{
		"nothing":       nil,
		"one":           {{Stdout, "hello\n"}},
		"only stderr":   {{Stderr, "hello\n"}},
		"by turns":      {{Stdout, "a"}, {Stderr, "b"}, {Stdout, "cc"}, {Stderr, "dd"}},
		"large":         {{Stdout, strings.Repeat("0123456789", 30000)}, {Stderr, "x"}, {Stdout, strings.Repeat("abc", 40000)}},
		"many records":  many(3*markEvery + 7),
		"exactly marks": many(2 * markEvery),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			fill(t, create(t, dir), pieces)
			expect(t, open(t, dir), pieces)
		})
	}
}

// A log grows, by several writers one after the other, while one reader keeps it open.
func TestGrow(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	expect(t, l, nil)
	var all []piece
	c := l.Cursor(0)
	for i := range 5 {
		w := create(t, dir)
		more := many(markEvery/2 + i)
		fill(t, w, more)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		all = append(all, more...)
		expect(t, l, all)
		if _, err := c.Next(make([]byte, 10)); err != nil {
			t.Error(err)
		}
	}
}

// What a machine without power leaves: the index says more than the log has, or the log more than the index, or a record
// is cut in half. The next writer's bytes are told apart rightly.
func TestResume(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, dir string) []piece{
		"short log": func(t *testing.T, dir string) []piece {
			truncate(t, filepath.Join(dir, LogFile), 4)
			return []piece{{Stdout, "out"}, {Stderr, "e"}}
		},
		"no log": func(t *testing.T, dir string) []piece {
			truncate(t, filepath.Join(dir, LogFile), 0)
			return nil
		},
		"no index": func(t *testing.T, dir string) []piece {
			truncate(t, filepath.Join(dir, IndexFile), 0)
			return []piece{{Stdout, "outerrout"}}
		},
		"half a record": func(t *testing.T, dir string) []piece {
			truncate(t, filepath.Join(dir, IndexFile), 2*recordSize+5)
			return []piece{{Stdout, "out"}, {Stderr, "errout"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			w := create(t, dir)
			fill(t, w, []piece{{Stdout, "out"}, {Stderr, "err"}, {Stdout, "out"}})
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			left := damage(t, dir)
			more := []piece{{Stderr, "more"}, {Stdout, "last"}}
			fill(t, create(t, dir), more)
			expect(t, open(t, dir), append(left, more...))
		})
	}
}

func truncate(t *testing.T, name string, size int64) {
	t.Helper()
	if err := os.Truncate(name, size); err != nil {
		t.Fatal(err)
	}
}

func TestSpliceErrors(t *testing.T) {
	w := create(t, t.TempDir())
	r, to := pipe(t)
	if _, err := w.Splice(Stdout, rawFD(r), 100); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("an empty pipe: %v", err)
	}
	_ = to.Close()
	if _, err := w.Splice(Stdout, rawFD(r), 100); !errors.Is(err, io.EOF) {
		t.Errorf("a pipe without writers: %v", err)
	}
}

// A disk that is full costs the output that has no room, and nothing else; when there is room again, it goes on.
func TestFullDisk(t *testing.T) {
	need.Root(t, "it has a disk of its own")
	dir := t.TempDir()
	if err := unix.Mount("test", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	w := create(t, dir)
	l := open(t, dir)
	fill(t, w, []piece{{Stderr, "begin\n"}})
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	from, to := pipe(t)
	if _, err := to.Write(bytes.Repeat([]byte("x"), 40000)); err != nil {
		t.Fatal(err)
	}
	var kept, lost int64
	for kept+lost < 40000 {
		n, err := w.Splice(Stdout, rawFD(from), 1<<20)
		kept += n
		if err != nil {
			if !errors.Is(err, unix.ENOSPC) {
				t.Fatal(err)
			}
			n, err := Drop(null, rawFD(from), 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			lost += n
		}
	}
	if lost == 0 {
		t.Error("nothing was lost: the disk was not full")
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	fill(t, w, []piece{{Stderr, "end\n"}})
	expect(t, l, []piece{{Stderr, "begin\n"}, {Stdout, strings.Repeat("x", int(kept))}, {Stderr, "end\n"}})
}

// A reader is right at every instant while a writer writes.
func TestConcurrent(t *testing.T) {
	dir := t.TempDir()
	w := create(t, dir)
	l := open(t, dir)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r, to, err := os.Pipe()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _, _ = r.Close(), to.Close() }()
		for i := range 20000 {
			s := Stream(i % 3 & 1)
			_, _ = to.WriteString([]string{"oooo", "eee"}[s])
			for left := int64(4 - int(s)); left > 0; {
				n, err := w.Splice(s, rawFD(r), 100)
				if err != nil {
					t.Error(err)
					return
				}
				left -= n
			}
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		for s, letter := range []byte{'o', 'e'} {
			v := l.Only(Stream(s))
			n, err := v.Size()
			if err != nil {
				t.Fatal(err)
			}
			p := make([]byte, min(n, 5000))
			if k, err := v.ReadAt(p, n-int64(len(p))); err != nil && !errors.Is(err, io.EOF) || k != len(p) {
				t.Fatalf("read %d of %d: %v", k, len(p), err)
			}
			if i := bytes.IndexFunc(p, func(r rune) bool { return r != rune(letter) }); i >= 0 {
				t.Fatalf("stream %d has %q", s, p[i])
			}
		}
	}
}

// FuzzIndex reads logs whose index is anything: a reader neither fails badly, nor gives a byte twice or out of order.
func FuzzIndex(f *testing.F) {
	rec := func(rs ...uint64) []byte {
		var b []byte
		for i, r := range rs {
			b = binary.LittleEndian.AppendUint64(b, uint64(i))
			b = binary.LittleEndian.AppendUint64(b, r)
		}
		return b
	}
	f.Add(rec(0, 1<<56|5, 9), []byte("some text"))
	f.Add(rec(0, 1<<56|50, 2, 3<<56|4, 1<<56|3), []byte("some text"))
	f.Add(rec(1<<63, 1<<62, 1<<55, 255<<56), []byte("some text"))
	f.Add([]byte{1, 2, 3}, []byte("x"))
	f.Add(make([]byte, 100*recordSize), []byte(""))
	f.Fuzz(func(t *testing.T, index, log []byte) {
		dir := t.TempDir()
		for name, b := range map[string][]byte{LogFile: log, IndexFile: index} {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		l := open(t, dir)
		var total int64
		for s := range streams {
			v := l.Only(s)
			n, err := v.Size()
			if err != nil || n < 0 {
				t.Fatalf("size %d, %v", n, err)
			}
			total += n
			if n > int64(len(log)) {
				t.Fatalf("stream %d has %d bytes of %d", s, n, len(log))
			}
			got := make([]byte, n+1)
			if k, err := v.ReadAt(got, 0); err == nil || int64(k) > n {
				t.Fatalf("read %d of %d: %v", k, n, err)
			}
		}
		if total > int64(len(log)) {
			t.Fatalf("%d bytes of %d", total, len(log))
		}
		c := l.Cursor(0)
		var all []byte
		for range len(log) + 1 {
			k, err := c.Next(make([]byte, 7))
			if err != nil {
				break
			}
			all = append(all, k.Data...)
		}
		if !bytes.Equal(all, log) {
			t.Fatalf("the cursor gave %q of %q", all, log)
		}
	})
}
