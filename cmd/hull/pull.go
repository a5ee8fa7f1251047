package main

import (
	"bytes"
	"context"
	"errors"
	"strings"

	"hull/fs"
	"hull/fs/session"
	"hull/layers"
)

// pull pulls an image and shows how it goes until it has ended.
func (v verbs) pull(ctx context.Context, c *session.Call) (*session.Answer, error) {
	if len(c.Args) != 1 {
		return nil, errors.New("pull takes one image: pull [-q] [-a] REFERENCE")
	}
	if err := v.tree.May(fs.Credential(c.By), "images", fs.Change); err != nil {
		return nil, err
	}
	if on(c, "all") {
		return v.pullAll(ctx, c)
	}
	ref, err := v.store.Parse(c.Args[0])
	if err != nil {
		return nil, err
	}
	if err := v.store.Pull(ctx, ref, layers.PullOptions{Budget: resolvePatience, By: c.By.UID, Keychain: keychain(c.By.UID)}); err != nil {
		return nil, err
	}
	if !on(c, "quiet") {
		v.showProgress(ctx, c, ref)
	}
	if err := v.store.Wait(ctx, ref); err != nil {
		return nil, err
	}
	a := &session.Answer{}
	if on(c, "quiet") {
		a.Text = ref + "\n"
	}
	return a, nil
}

// pullAll pulls every tag of a repository.
func (v verbs) pullAll(ctx context.Context, c *session.Call) (*session.Answer, error) {
	o := layers.PullOptions{Budget: resolvePatience, By: c.By.UID, Keychain: keychain(c.By.UID)}
	begun := func(name string) { c.Print("Pulling " + name + "\n") }
	if on(c, "quiet") {
		begun = nil
	}
	names, err := v.store.PullAll(ctx, c.Args[0], o, begun)
	var b strings.Builder
	for _, n := range names {
		b.WriteString(n + "\n")
	}
	if err != nil {
		c.Print(b.String())
		return nil, err
	}
	return &session.Answer{Text: b.String()}, nil
}

// showProgress prints the lines of a pull as they come, and how far it is.
func (v verbs) showProgress(ctx context.Context, c *session.Call, ref string) {
	p, ok := v.store.Progress(ref)
	if !ok {
		return
	}
	var at int64
	buf := make([]byte, 32<<10)
	for {
		changed, ended := p.Changed()
		for at < p.Size() {
			n, _ := p.ReadAt(buf, at)
			// Whole lines only, so that two never meet on one.
			end := bytes.LastIndexByte(buf[:n], '\n') + 1
			if end == 0 {
				break
			}
			c.Print(string(buf[:end]))
			at += int64(end)
		}
		if ended {
			return
		}
		if m, ok := v.store.Find(ref); ok {
			c.Meter(m.Done, m.Total)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
