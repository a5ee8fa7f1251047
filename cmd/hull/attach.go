package main

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"

	"hull/engine"
	"hull/engine/logs"
	"hull/engine/monitor"
	"hull/fs"
	"hull/fs/session"
)

// attach makes the caller look at a container's own output from now on, and type on
// its terminal or feed its input, if it has one.
func (v verbs) attach(ctx context.Context, c *session.Call) (*session.Answer, error) {
	if len(c.Args) > 0 {
		return nil, errors.New("attach takes flags only; see --help")
	}
	near, far, err := monitor.NewStatus()
	if err != nil {
		return nil, err
	}
	defer far.Close()
	noInput := on(c, "no-stdin")
	a, err := v.engine.Attach(ctx, c.Object, engine.AttachOptions{Stdin: !noInput, Status: far, Terminal: c.Device})
	if err != nil {
		near.Close()
		return nil, err
	}
	answer := attached(a, near)
	answer.Detach, _ = c.Option("detach-keys")
	if proxy, given := c.Option("sig-proxy"); !a.TTY && (!given || proxy == "true") {
		answer.Signal = v.signal(c.Object)
	}
	return answer, nil
}

// attached is the answer that gives an attachment away.
func attached(a *engine.Attachment, near *os.File) *session.Answer {
	return &session.Answer{
		Status: near, Stdin: a.Stdin, Terminal: a.TTY,
		Follow: &session.Follow{Segments: segments(a.Segments), From: a.From},
	}
}

func segments(all []logs.Segment) []session.Segment {
	out := make([]session.Segment, 0, len(all))
	for _, s := range all {
		out = append(out, session.Segment(s))
	}
	return out
}

// signal hands signals on to a container's first process.
func (v verbs) signal(id string) func(context.Context, int) error {
	return func(ctx context.Context, signal int) error { return v.engine.Kill(ctx, id, strconv.Itoa(signal)) }
}

// sessions of a container, as the tree shows them.
func (c containers) Sessions(id string) ([]*fs.ContainerSession, error) {
	x, ok := c.engine.Find(id)
	if !ok {
		return nil, c.gone(id)
	}
	out := make([]*fs.ContainerSession, 0, len(x.Sessions))
	for _, s := range x.Sessions {
		shown := &fs.ContainerSession{
			ID: s.ID, Number: s.Number, Command: strings.Join(s.Command, " "), Terminal: s.Terminal, Started: s.Started,
		}
		if s.PID != 0 {
			shown.Process = strconv.Itoa(s.PID)
		}
		if s.Exit != nil {
			shown.Ended, shown.Exit = true, *s.Exit
		}
		out = append(out, shown)
	}
	return out, nil
}

func (c containers) KillSession(ctx context.Context, id string, number int, signal string) error {
	return c.failed(id, c.engine.KillSession(ctx, id, number, signal))
}

func (c containers) HangUp(ctx context.Context, id string, number int) error {
	return c.failed(id, c.engine.HangUp(ctx, id, number))
}
