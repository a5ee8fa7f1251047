package logs

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// bounded makes a log of several segments, of which nothing is removed yet.
func bounded(t *testing.T, dir string, b Bounds) *Writer {
	t.Helper()
	w, err := Create(dir, b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

// lines are pieces of very different lengths, a line each, that tell how many they are.
func linesOf(from, n int) []piece {
	var ps []piece
	for i := from; i < from+n; i++ {
		ps = append(ps, piece{Stream(rand.IntN(2)), fmt.Sprintf("line %d %s\n", i, strings.Repeat("x", rand.IntN(90)))})
	}
	return ps
}

func textOf(ps []piece) string {
	var b strings.Builder
	for _, p := range ps {
		b.WriteString(p.text)
	}
	return b.String()
}

func trim(t *testing.T, dir string, b Bounds) {
	t.Helper()
	if err := Trim(dir, b); err != nil {
		t.Fatal(err)
	}
}

// textFrom reads a log from an offset to its end.
func textFrom(t *testing.T, v *View, from int64) string {
	t.Helper()
	n, err := v.Size()
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(io.NewSectionReader(v, from, n-from))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A log of many segments reads as one, also by who had it open before, and none is larger than it may be.
func TestSegments(t *testing.T) {
	dir := t.TempDir()
	b := Bounds{Max: 4096, Files: 3}
	early := open(t, dir)
	w := bounded(t, dir, b)
	var all []piece
	for range 3 {
		more := linesOf(len(all), 300)
		fill(t, w, more)
		all = append(all, more...)
		expect(t, early, all)
		expect(t, open(t, dir), all)
		if err := w.Close(); err != nil { // a writer that comes after it goes on
			t.Fatal(err)
		}
		w = bounded(t, dir, b)
	}
	numbers, err := numbers(dir)
	if err != nil || len(numbers) < 10 {
		t.Fatalf("segments %v, %v", numbers, err)
	}
	for i, n := range numbers {
		if n != int64(i) {
			t.Fatalf("segments %v", numbers)
		}
		var sum int64
		for _, file := range []string{LogFile, IndexFile} {
			st, err := os.Stat(filepath.Join(dir, nameOf(file, n)))
			if err != nil {
				t.Fatal(err)
			}
			sum += st.Size()
		}
		if sum > b.Max+2*recordSize { // a record for what the log's end had room for, and the seal
			t.Errorf("segment %d has %d bytes", n, sum)
		}
	}
}

// Without their seals, or without an index, segments are read all the same.
func TestLostSeals(t *testing.T) {
	dir := t.TempDir()
	w := bounded(t, dir, Bounds{Max: 2048})
	all := linesOf(0, 300)
	fill(t, w, all)
	for n := range w.number {
		name := filepath.Join(dir, nameOf(IndexFile, n))
		st, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		truncate(t, name, st.Size()-int64(rand.IntN(2))*recordSize) // some of them
	}
	expect(t, open(t, dir), all)
	if err := os.Remove(filepath.Join(dir, nameOf(IndexFile, 2))); err != nil {
		t.Fatal(err)
	}
	if got := textFrom(t, open(t, dir).Both(), 0); got != textOf(all) {
		t.Errorf("without an index %d bytes are read, not %d", len(got), len(textOf(all)))
	}
}

// What is removed is gone for who comes later. Who reads on from the beginning still gets all of it.
func TestTrim(t *testing.T) {
	dir := t.TempDir()
	b := Bounds{Max: 4096, Files: 3}
	w := bounded(t, dir, b)
	all := linesOf(0, 200)
	fill(t, w, all)
	reader, follower := open(t, dir), open(t, dir)
	c := follower.Cursor(0)
	whole := textOf(all)
	half := make([]byte, 1000)
	if n, err := reader.Both().ReadAt(half, 0); n != len(half) || err != nil {
		t.Fatal(n, err)
	}
	trim(t, dir, b)
	left, err := numbers(dir)
	if err != nil || !slices.Equal(left, []int64{w.number - 2, w.number - 1, w.number}) {
		t.Fatalf("%v are left of %d, %v", left, w.number, err)
	}
	more := linesOf(200, 100)
	fill(t, w, more)
	whole += textOf(more)
	if got := string(half) + textFrom(t, reader.Both(), int64(len(half))); got != whole {
		t.Errorf("who was reading gets %d bytes, not %d", len(got), len(whole))
	}
	var followed strings.Builder
	for buf := make([]byte, 777); ; {
		k, err := c.Next(buf)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || k.Offset != int64(followed.Len()) {
			t.Fatalf("%+v, %v at %d", k, err, followed.Len())
		}
		followed.Write(k.Data)
	}
	if followed.String() != whole {
		t.Errorf("who follows gets %d bytes, not %d", followed.Len(), len(whole))
	}
	late := open(t, dir)
	if late.Number() != left[0] {
		t.Errorf("it begins with %d, not %d", late.Number(), left[0])
	}
	got := textFrom(t, late.Both(), 0)
	if !strings.HasSuffix(whole, got) || int64(len(got)) < 2*(b.Max/2) {
		t.Errorf("who comes later gets %d bytes, which are not the last", len(got))
	}
	sum := len(textFrom(t, late.Only(Stdout), 0)) + len(textFrom(t, late.Only(Stderr), 0))
	if sum != len(got) {
		t.Errorf("the streams have %d bytes, both together %d", sum, len(got))
	}
}

// Who stops reading holds no more than a log's worth of what has been removed, and finds what is left where it was.
func TestStoppedReader(t *testing.T) {
	dir := t.TempDir()
	b := Bounds{Max: 4096, Files: 3}
	w := bounded(t, dir, b)
	var whole strings.Builder
	write := func(n int) {
		ps := linesOf(0, n)
		whole.WriteString(textOf(ps))
		fill(t, w, ps)
		trim(t, dir, b)
	}
	write(200)
	l := open(t, dir)
	start := whole.Len()
	if n, err := l.Both().Size(); err != nil {
		t.Fatal(err)
	} else {
		start -= int(n) // its offset 0
	}
	for range 10 { // it looks at the size and reads nothing, as tail -f does whose output is full
		write(100)
		if n, err := l.Both().Size(); err != nil || int(n) != whole.Len()-start {
			t.Fatalf("size %d, %v; want %d", n, err, whole.Len()-start)
		}
	}
	held := 0
	for _, p := range l.parts {
		if !p.dropped {
			held++
		}
	}
	if held > 2*b.Files+1 {
		t.Errorf("%d segments are held", held)
	}
	if _, err := l.Both().ReadAt(make([]byte, 10), 0); !errors.Is(err, ErrDropped) {
		t.Errorf("what was dropped: %v", err)
	}
	if _, err := l.Only(Stdout).ReadAt(make([]byte, 10), 0); !errors.Is(err, ErrDropped) {
		t.Errorf("what was dropped of one stream: %v", err)
	}
	end := make([]byte, 5000)
	at := whole.Len() - start - len(end)
	if n, err := l.Both().ReadAt(end, int64(at)); n != len(end) || string(end) != whole.String()[start+at:] {
		t.Errorf("what is left: %d, %v", n, err)
	}
}

// Who has not looked while the whole log went by goes on with what there is.
func TestOvertaken(t *testing.T) {
	dir := t.TempDir()
	b := Bounds{Max: 2048, Files: 2}
	w := bounded(t, dir, b)
	fill(t, w, linesOf(0, 10))
	l := open(t, dir)
	n, err := l.Both().Size()
	if err != nil {
		t.Fatal(err)
	}
	more := linesOf(10, 500)
	fill(t, w, more)
	trim(t, dir, b)
	got, left := textFrom(t, l.Both(), n), textFrom(t, open(t, dir).Both(), 0)
	first, ok := strings.CutSuffix(got, left)
	if !ok || left == "" || !strings.HasPrefix(textOf(more), first) || len(got) >= len(textOf(more)) {
		t.Errorf("%d bytes, which are not the rest of its segment and the %d that are left", len(got), len(left))
	}
}

// A follower in another process, which has no directory, is given the segments one by one.
func TestFollowAdded(t *testing.T) {
	dir := t.TempDir()
	w := bounded(t, dir, Bounds{Max: 4096})
	all := linesOf(0, 50)
	fill(t, w, all)
	source := open(t, dir)
	size, err := source.Both().Size()
	if err != nil {
		t.Fatal(err)
	}
	segments, rest, err := source.Take(size / 2)
	if err != nil || rest > size/2 {
		t.Fatal(rest, err)
	}
	last := segments[len(segments)-1].Number
	l := Follow(segments)
	defer func() { _ = l.Close() }()
	c := l.Cursor(rest)
	var got strings.Builder
	read := func() {
		buf := make([]byte, 100)
		for {
			k, err := c.Next(buf)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got.Write(k.Data)
		}
	}
	read()
	more := linesOf(50, 300)
	fill(t, w, more)
	read()
	for last < w.number {
		last++
		s, err := OpenSegment(dir, last)
		if err != nil {
			t.Fatal(err)
		}
		l.Add(s)
		read()
		if c.Number() != last {
			t.Errorf("it is in segment %d, not %d", c.Number(), last)
		}
	}
	if want := textOf(append(all, more...))[size/2:]; got.String() != want {
		t.Errorf("%d bytes, not the %d that were written", got.Len(), len(want))
	}
	for _, p := range l.parts[:len(l.parts)-1] {
		if !p.dropped {
			t.Error("a segment that was passed is held")
		}
	}
}

// Tail and Since count over all segments.
func TestBeginOverSegments(t *testing.T) {
	dir := t.TempDir()
	w := bounded(t, dir, Bounds{Max: 1024})
	all := linesOf(0, 200)
	fill(t, w, all)
	early := open(t, dir)
	segments, _, err := open(t, dir).Take(0)
	if err != nil {
		t.Fatal(err)
	}
	given := Follow(segments)
	defer func() { _ = given.Close() }()
	text := textOf(all)
	for _, l := range []*Log{early, given} { // in the daemon, and in a follower
		testBegin(t, l, all, text)
	}
	if got := textFrom(t, given.Both(), 0); got != text {
		t.Errorf("then %d bytes are read of %d", len(got), len(text))
	}
}

func testBegin(t *testing.T, l *Log, all []piece, text string) {
	t.Helper()
	for _, n := range []int{0, 1, 2, 50, 199, 200, 201} {
		at, err := l.Tail(n)
		want := len(text) - len(textOf(all[max(0, len(all)-n):]))
		if err != nil || at != int64(want) {
			t.Errorf("the last %d lines begin at %d (%v), not %d", n, at, err, want)
		}
	}
	first, err := l.Cursor(int64(len(text) / 2)).Next(make([]byte, 1))
	if err != nil {
		t.Fatal(err)
	}
	at, err := l.Since(first.Time)
	if err != nil || at == 0 || at > first.Offset {
		t.Errorf("what came at %v or later begins at %d (%v)", first.Time, at, err)
	}
}

// What a Trim that was killed has left is taken by the next, and files that are nobody's are let be.
func TestTrimAgain(t *testing.T) {
	dir := t.TempDir()
	b := Bounds{Max: 1024, Files: 2}
	w := bounded(t, dir, b)
	fill(t, w, linesOf(0, 100))
	if err := os.Remove(filepath.Join(dir, nameOf(LogFile, 1))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"log.x", "log.01", "index.-1", "record"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	trim(t, dir, b)
	names, err := namesIn(dir)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	want := []string{"index.-1", "log.01", "log.x", "record"}
	for n := w.number - 1; n <= w.number; n++ {
		want = append(want, nameOf(LogFile, n), nameOf(IndexFile, n))
	}
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Errorf("%v are left, not %v", names, want)
	}
	if err := Trim(filepath.Join(dir, "nowhere"), b); err != nil {
		t.Errorf("of a directory that is not there: %v", err)
	}
}

// A segment that cannot be made does not stop the log: the last one goes on, and another is tried later.
func TestNoNewSegment(t *testing.T) {
	dir := t.TempDir()
	w := bounded(t, dir, Bounds{Max: 4096})
	blocked := filepath.Join(dir, nameOf(LogFile, 1))
	if err := os.Mkdir(blocked, 0o700); err != nil {
		t.Fatal(err)
	}
	all := linesOf(0, 500)
	fill(t, w, all)
	if w.number != 0 {
		t.Fatal("the segment was made")
	}
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	more := linesOf(500, 2000)
	fill(t, w, more)
	if w.number == 0 {
		t.Error("no segment was tried again")
	}
	expect(t, open(t, dir), append(all, more...))
}
