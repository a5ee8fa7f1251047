package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"hull/fs"
	"hull/fs/session"
	"hull/layers"
	"hull/layers/reference"
)

// pull pulls an image and shows how it goes until it has ended. A caller who
// leaves, by ctrl-C say, ends the pull as with docker, unless others have asked for
// it; what has come is kept.
func (v verbs) pull(ctx context.Context, c *session.Call) (*session.Answer, error) {
	if len(c.Args) != 1 {
		return nil, errors.New("pull takes one image: pull [-q] [-a] [--platform PLATFORM] REFERENCE")
	}
	if err := v.tree.May(fs.Credential(c.By), "images", fs.Change); err != nil {
		return nil, err
	}
	attend := &layers.Attendance{}
	defer v.leave(ctx, attend)
	o := layers.PullOptions{Budget: resolvePatience, By: c.By.UID, Keychain: keychain(c.By.UID), Attend: attend, Patient: true}
	o.Platform, _ = c.Option("platform")
	if on(c, "all") {
		return v.pullAll(ctx, c, o)
	}
	ref, err := v.store.Parse(v.walked(c.Args[0]))
	if err != nil {
		return nil, err
	}
	if err := v.store.Pull(ctx, ref, o); err != nil {
		return nil, err
	}
	if !on(c, "quiet") {
		v.showProgress(ctx, c, ref, nil)
	}
	if err := v.store.Wait(ctx, ref); err != nil {
		return nil, err
	}
	return &session.Answer{Text: canonical(ref) + "\n"}, nil
}

// leave gives up pulls whose caller has left. The daemon's own end is none: the
// next one takes them up.
func (v verbs) leave(ctx context.Context, a *layers.Attendance) {
	if errors.Is(context.Cause(ctx), session.ErrLeft) {
		v.store.Leave(a)
	}
}

// canonical is a reference in full, which docker prints last.
func canonical(ref string) string {
	r, err := reference.Parse(ref)
	if err != nil {
		return ref
	}
	return r.String()
}

// pullAll pulls every tag of a repository, and shows one after the other.
func (v verbs) pullAll(ctx context.Context, c *session.Call, o layers.PullOptions) (*session.Answer, error) {
	type ending struct{ err error }
	begun, ended := make(chan string), make(chan ending, 1)
	go func() { // ends before this function returns
		_, err := v.store.PullAll(ctx, c.Args[0], o, func(name string) { begun <- name })
		close(begun)
		ended <- ending{err}
	}()
	outcome := "Image is up to date"
	for name := range begun {
		if on(c, "quiet") {
			continue
		}
		v.showProgress(ctx, c, name, func(line string) bool {
			if strings.HasPrefix(line, "Status: Downloaded") {
				outcome = "Downloaded newer image"
			}
			return !strings.HasPrefix(line, "Status: ")
		})
	}
	if e := <-ended; e.err != nil {
		return nil, e.err
	}
	r, err := reference.Parse(c.Args[0])
	if err != nil {
		return nil, err
	}
	whole := r.Repository() + "\n"
	if on(c, "quiet") {
		return &session.Answer{Text: whole}, nil
	}
	return &session.Answer{Text: "Status: " + outcome + " for " + r.FamiliarName() + "\n" + whole}, nil
}

// meterTick is how often it is shown how far layers are.
const meterTick = 200 * time.Millisecond

// showProgress prints the lines of a pull as they come, and how far it is. keep
// says which lines are to be printed; nil is all.
func (v verbs) showProgress(ctx context.Context, c *session.Call, ref string, keep func(line string) bool) {
	p, ok := v.store.Progress(ref)
	if !ok {
		return
	}
	tick := time.NewTicker(meterTick)
	defer tick.Stop()
	at, moved := 0, map[string]int64{}
	for {
		changed, ended := p.Changed()
		text := p.Full(at)
		at += len(text)
		c.Print(kept(text, keep))
		if ended {
			return
		}
		v.meter(c, ref, moved)
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// kept are the lines of a text that are to be printed.
func kept(text []byte, keep func(string) bool) string {
	if keep == nil {
		return string(text)
	}
	var b strings.Builder
	for line := range bytes.Lines(text) {
		if keep(string(line)) {
			b.Write(line)
		}
	}
	return b.String()
}

// meter shows how far the layers are that have moved, and the whole.
func (v verbs) meter(c *session.Call, ref string, moved map[string]int64) {
	for _, t := range v.store.Transfers(ref) {
		if moved[t.Layer] != t.Done {
			moved[t.Layer] = t.Done
			c.Print(fmt.Sprintf("%s: %s  %s/%s\n", t.Layer, t.Phase, readable(t.Done), readable(t.Total)))
		}
	}
	if m, ok := v.store.Find(ref); ok {
		c.Meter(m.Done, m.Total)
	}
}
