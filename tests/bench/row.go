package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// contestant does what a row measures.
type contestant interface {
	name() string
	// prepare gets everything ready that is not measured.
	prepare(ctx context.Context, s *setting) error
	once(ctx context.Context) error
}

// resetter has something to undo before each round.
type resetter interface {
	reset(ctx context.Context) error
}

// readier has something to do before its turn.
type readier interface {
	ready(ctx context.Context) error
}

// repeater does what is measured several times in a round; its times are of one.
type repeater interface{ times() int }

// eater knows the most memory that its last round had taken, in bytes.
type eater interface{ peak() int64 }

// closer has something to end after the row.
type closer interface{ close() error }

// row is one thing that is measured.
type row struct {
	name, title string
	rounds      int
	cold        bool          // with nothing in the page cache, and a sync in the time
	settle      time.Duration // between the removal of what the last round left and the next
	pause       time.Duration // before each turn, in which the machine falls asleep
	again       int           // how often it is done once more in a turn, one after the other; the times are of one
	after       time.Duration // after each turn, for what is to be cleared up then: its processor time is the turn's
	field       []contestant
}

// sample is one round of a contestant.
type sample struct {
	wall, cpu time.Duration
	peak      int64
	reading   *reading // what a gauge shows
}

// table is a measured row.
type table struct {
	row
	count int
	names []string
	rows  [][]sample
	out   []string // contestants left out, and why
	warm  error    // why the page cache could not be dropped
}

// measure lets the contestants take turns.
func (r row) measure(ctx context.Context, s *setting, rounds int) (t *table, err error) {
	t = &table{row: r, count: rounds}
	var field []contestant
	for i, c := range r.field {
		if end, ok := c.(closer); ok {
			defer func() {
				if e := end.close(); err == nil {
					err = e
				}
			}()
		}
		if err := c.prepare(ctx, s); err != nil {
			if i == 0 || ctx.Err() != nil {
				return nil, fmt.Errorf("%s: %w", c.name(), err)
			}
			t.out = append(t.out, fmt.Sprintf("left out: %s: %v", c.name(), err))
			continue
		}
		field = append(field, c)
		t.names = append(t.names, c.name())
	}
	t.rows = make([][]sample, len(field))
	for n := range rounds {
		if err := t.reset(ctx, field, n > 0); err != nil {
			return nil, err
		}
		for i, c := range field {
			one, err := t.round(ctx, c)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name(), err)
			}
			t.rows[i] = append(t.rows[i], one)
		}
	}
	return t, nil
}

// reset removes what the last round left, of all contestants.
func (t *table) reset(ctx context.Context, field []contestant, left bool) error {
	for _, c := range field {
		if r, ok := c.(resetter); ok {
			if err := r.reset(ctx); err != nil {
				return fmt.Errorf("%s: %w", c.name(), err)
			}
		}
	}
	if t.settle == 0 || !left {
		return nil
	}
	unix.Sync()
	select {
	case <-time.After(t.settle):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// round is one contestant's turn.
func (t *table) round(ctx context.Context, c contestant) (one sample, err error) {
	if r, ok := c.(readier); ok {
		if err := r.ready(ctx); err != nil {
			return one, err
		}
	}
	time.Sleep(t.pause)
	if t.cold {
		unix.Sync()
		t.warm = os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0)
	}
	before, began := busy(), time.Now()
	for range 1 + t.again {
		if err := c.once(ctx); err != nil {
			return one, err
		}
	}
	if t.cold {
		unix.Sync()
	}
	one.wall = time.Since(began)
	time.Sleep(t.after)
	one.cpu = busy() - before
	n := time.Duration(1 + t.again)
	if r, ok := c.(repeater); ok {
		n *= time.Duration(max(1, r.times()))
	}
	one.wall, one.cpu = one.wall/n, one.cpu/n
	if e, ok := c.(eater); ok {
		one.peak = e.peak()
	}
	if g, ok := c.(gauge); ok {
		r := g.reading()
		one.reading = &r
	}
	return one, nil
}

// busy is how long the machine's processors have worked.
func busy() time.Duration {
	text, _ := os.ReadFile("/proc/stat") // each Linux has it
	line, _, _ := strings.Cut(string(text), "\n")
	var ticks time.Duration
	for i, f := range strings.Fields(line) {
		if n, err := strconv.Atoi(f); err == nil && i != 4 && i != 5 && i < 8 { // not idle, not waiting for the disk
			ticks += time.Duration(n)
		}
	}
	return ticks * time.Second / 100
}

func (t *table) print(w io.Writer) {
	fmt.Fprintf(w, "%s: %s (%d rounds)\n", t.name, t.title, t.count)
	if t.warm != nil {
		fmt.Fprintf(w, "  the page cache could not be dropped: %v\n", t.warm)
	}
	var base sample
	for i, name := range t.names {
		if t.rows[i][0].reading != nil {
			t.printReading(w, i)
			continue
		}
		m, low, high := quantile(t.rows[i], 0.5), quantile(t.rows[i], 0.25), quantile(t.rows[i], 0.75)
		if i == 0 {
			base = m
		}
		fmt.Fprintf(w, "  %-26s %9.1f ms  (%.1f–%.1f, least %.1f)  %6.2f × %s  cpu %.4g s", name, ms(m.wall), ms(low.wall), ms(high.wall), ms(quantile(t.rows[i], 0).wall),
			float64(m.wall)/float64(base.wall), strings.Fields(t.names[0])[0], m.cpu.Seconds())
		if m.peak > 0 {
			fmt.Fprintf(w, "  memory %d MB", m.peak>>20)
		}
		fmt.Fprintln(w)
	}
	for _, why := range t.out {
		fmt.Fprintf(w, "  %s\n", why)
	}
}

// printReading shows the middle one of what a gauge has shown.
func (t *table) printReading(w io.Writer, i int) {
	middle := func(i int) *reading {
		all := slices.SortedFunc(slices.Values(t.rows[i]), func(a, b sample) int { return cmp.Compare(a.reading.value, b.reading.value) })
		return all[len(all)/2].reading
	}
	m, base := middle(i), middle(0)
	fmt.Fprintf(w, "  %-26s %9.3f %s", t.names[i], m.value, m.unit)
	if base.value > 0 {
		fmt.Fprintf(w, "  %6.2f × %s", m.value/base.value, strings.Fields(t.names[0])[0])
	}
	fmt.Fprintf(w, "  (%s)\n", m.note)
}

// quantile is a round by its time.
func quantile(all []sample, q float64) sample {
	s := slices.SortedFunc(slices.Values(all), func(a, b sample) int { return int(a.wall - b.wall) })
	return s[min(int(q*float64(len(s))), len(s)-1)]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
