package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"hull/engine"
	"hull/engine/logs"
	"hull/engine/monitor"
	"hull/fs/session"
)

// follow prints a container's log until it ends, as docker logs -f does.
func (v verbs) follow(ctx context.Context, c *session.Call) (*session.Answer, error) {
	if len(c.Args) > 0 {
		return nil, errors.New("follow takes flags only; see --help")
	}
	if follow, given := c.Option("follow"); given && follow == "false" {
		return v.printLog(c)
	}
	near, far, err := monitor.NewStatus()
	if err != nil {
		return nil, err
	}
	defer far.Close()
	// First, so that nothing that is written from now on is missed.
	a, err := v.engine.Attach(ctx, c.Object, engine.AttachOptions{Status: far, Watch: true})
	switch {
	case engine.KindOf(err) == engine.NotRunning:
		near.Close()
		return v.printLog(c)
	case err != nil:
		near.Close()
		return nil, err
	}
	answer := attached(a, near)
	answer.Terminal = false
	if err := begin(c, answer.Follow, logs.Follow(a.Segments)); err != nil {
		near.Close()
		a.Close()
		return nil, err
	}
	return answer, nil
}

// printLog answers with what there is of a log, of a container that does not run all of it.
func (v verbs) printLog(c *session.Call) (*session.Answer, error) {
	dir, err := v.engine.Logs(c.Object)
	if err != nil {
		return nil, err
	}
	l, err := logs.Open(dir.Dir)
	if err != nil {
		return nil, err
	}
	f := &session.Follow{}
	if err := begin(c, f, l); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if len(f.Segments) == 0 { // it has never run
		return &session.Answer{}, nil
	}
	return &session.Answer{Follow: f}, nil
}

// begin sets where in a log to begin, as the flags say, and takes the segments from there on.
func begin(c *session.Call, f *session.Follow, l *logs.Log) error {
	f.Stamps = on(c, "timestamps")
	from, err := first(c, l)
	if err != nil {
		return err
	}
	all, rest, err := l.Take(from)
	f.Segments, f.From = segments(all), rest
	return err
}

// first is the offset in a log at which the flags say to begin.
func first(c *session.Call, l *logs.Log) (from int64, err error) {
	if s, ok := c.Option("since"); ok {
		t, err := instant(s, time.Now())
		if err != nil {
			return 0, err
		}
		if from, err = l.Since(t); err != nil {
			return 0, err
		}
	}
	s, ok := c.Option("tail")
	if !ok || s == "all" {
		return from, nil
	}
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("-n takes a number of lines, or all, not %q", s)
	}
	at, err := l.Tail(int(n))
	return max(from, at), err
}

// instant reads a time as docker logs does: a date, with or without a time and a
// zone; seconds since 1970; or how long ago.
func instant(s string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil {
		return now.Add(-d), nil
	}
	if seconds, err := strconv.ParseFloat(s, 64); err == nil && seconds >= 0 && seconds < 1<<40 {
		whole := int64(seconds)
		return time.Unix(whole, int64((seconds-float64(whole))*1e9)), nil
	}
	for _, layout := range []string{
		time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04", "2006-01-02T15:04Z07:00", "2006-01-02", "2006-01-02Z07:00",
	} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--since takes a time as 2006-01-02T15:04:05Z, seconds since 1970, or how long ago, as 10m; not %q", s)
}
