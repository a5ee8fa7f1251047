// Bench times hull beside what users would otherwise run, on this machine, in
// this run, and prints ratios: absolute times mean nothing on shared machines.
//
// Method: the contestants take turns, round by round, so that what else the
// machine does hits all of them alike. A row gives the median of a
// contestant's rounds, the quartiles, and its ratio to hull's median. Peers
// that are not installed, or that cannot run here, are left out by name, with
// the reason.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sort"
	"time"
)

// contestant starts `true` in a container, knows its end, and removes it.
type contestant interface {
	name() string
	// prepare gets everything ready that is not measured.
	prepare(ctx context.Context, s *setting) error
	once(ctx context.Context) error
	close()
}

func main() {
	hull := flag.String("hull", "bin/hull", "the binary to measure")
	rounds := flag.Int("rounds", 20, "how often each contestant runs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *hull, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, hull string, rounds int) error {
	if os.Geteuid() != 0 {
		return errors.New("it needs root")
	}
	path, err := filepath.Abs(hull)
	if err != nil {
		return err
	}
	s, err := newSetting(path)
	if err != nil {
		return err
	}
	defer s.close()
	var field []contestant
	for _, c := range []contestant{
		&byTree{}, &byRun{}, &bundle{program: "runc"}, &bundle{program: "crun"}, &podman{}, &docker{},
	} {
		if err := c.prepare(ctx, s); err != nil {
			fmt.Printf("left out: %s: %v\n", c.name(), err)
			c.close()
			continue
		}
		defer c.close()
		field = append(field, c)
	}
	if len(field) == 0 || field[0].name() != (&byTree{}).name() {
		return errors.New("hull itself could not be measured")
	}
	times := make([][]time.Duration, len(field))
	for range rounds {
		for i, c := range field {
			began := time.Now()
			if err := c.once(ctx); err != nil {
				return fmt.Errorf("%s: %w", c.name(), err)
			}
			times[i] = append(times[i], time.Since(began))
		}
	}
	fmt.Printf("`true` in a container: started, its exit known, removed (%d rounds)\n", rounds)
	base := quantile(times[0], 0.5)
	for i, c := range field {
		m := quantile(times[i], 0.5)
		fmt.Printf("%-28s %8.1f ms  (%.1f–%.1f)  %6.1f × hull\n", c.name(), ms(m),
			ms(quantile(times[i], 0.25)), ms(quantile(times[i], 0.75)), float64(m)/float64(base))
	}
	return nil
}

func quantile(d []time.Duration, q float64) time.Duration {
	s := append([]time.Duration{}, d...)
	sort.Slice(s, func(i, j int) bool { return s[i] < s[j] })
	return s[int(q*float64(len(s)-1)+0.5)]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
