package logs

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestTail(t *testing.T) {
	long := strings.Repeat("x", windowSize-1) + "\n" // lines that end where a window does
	for name, text := range map[string]string{
		"nothing": "", "no end": "a\nb\nc", "an end": "a\nb\nc\n", "empty lines": "\n\n\n", "one": "a", "long": long + long + "b\n" + long + "c",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			w := create(t, dir)
			fill(t, w, []piece{{Stdout, text}})
			l := open(t, dir)
			lines := strings.SplitAfter(text, "\n")
			if lines[len(lines)-1] == "" {
				lines = lines[:len(lines)-1]
			}
			for n := range len(lines) + 2 {
				at, err := l.Tail(n)
				want := len(text) - len(strings.Join(lines[max(0, len(lines)-n):], ""))
				if err != nil || at != int64(want) {
					t.Errorf("the last %d lines begin at %d (%v), not %d", n, at, err, want)
				}
			}
		})
	}
	if at, err := open(t, t.TempDir()).Tail(3); at != 0 || err != nil {
		t.Errorf("of a log that is not there: %d, %v", at, err)
	}
}

func TestSince(t *testing.T) {
	dir := t.TempDir()
	w := create(t, dir)
	fill(t, w, []piece{{Stdout, "early\n"}, {Stderr, "too\n"}})
	between := time.Now()
	for !time.Now().After(between) || time.Since(between) < 2*time.Duration(sameRecord) {
		time.Sleep(time.Duration(sameRecord))
	}
	fill(t, w, []piece{{Stderr, "late\n"}})
	l := open(t, dir)
	for at, want := range map[time.Time]int64{time.Unix(0, 0): 0, between: 10, time.Now().Add(time.Hour): 15} {
		if got, err := l.Since(at); got != want || err != nil {
			t.Errorf("since %v: %d, %v; want %d", at, got, err, want)
		}
	}
}

// Moved by its extents or read by its chunks, a log is the same.
func TestExtents(t *testing.T) {
	dir := t.TempDir()
	w := create(t, dir)
	pieces := many(3000)
	fill(t, w, pieces)
	var want, got [streams]bytes.Buffer
	for _, p := range pieces {
		want[p.stream].WriteString(p.text)
	}
	c := open(t, dir).Cursor(0)
	for {
		x, err := c.Extent()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || x.Length <= 0 {
			t.Fatalf("%+v, %v", x, err)
		}
		n := min(x.Length, 1000) // part of it
		if _, err := io.Copy(&got[x.Stream], io.NewSectionReader(x.File, x.Offset, n)); err != nil {
			t.Fatal(err)
		}
		c.Pass(n)
	}
	for s := range got {
		if !bytes.Equal(got[s].Bytes(), want[s].Bytes()) {
			t.Errorf("stream %d: %d bytes, want %d", s, got[s].Len(), want[s].Len())
		}
	}
}
