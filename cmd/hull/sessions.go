package main

import (
	"context"
	"errors"
	"strings"

	"hull/fs"
	"hull/fs/session"
)

// verbs does what executed verb files ask.
type verbs struct{ *daemon }

// handle is the session server's Handler.
func (v verbs) handle(ctx context.Context, c *session.Call) (*session.Answer, error) {
	ctx = fs.WithCaller(ctx, fs.Credential(c.By))
	switch c.Kind {
	case "run":
		return v.run(ctx, c)
	case "pull":
		return v.pull(ctx, c)
	case "wait":
		return v.wait(ctx, c)
	case "exec":
		return v.exec(ctx, c)
	}
	return nil, errors.New("this file cannot be executed")
}

// wait ends when a container has, with its status, or when a pull has.
func (v verbs) wait(ctx context.Context, c *session.Call) (*session.Answer, error) {
	if len(c.Args) > 0 {
		return nil, errors.New("wait takes no arguments")
	}
	if isImage(c.Object) {
		if err := v.store.Wait(ctx, c.Object); err != nil {
			return &session.Answer{Sentence: err.Error(), Code: 1}, nil
		}
		return &session.Answer{}, nil
	}
	exit, err := v.engine.Wait(ctx, c.Object)
	if err != nil {
		return nil, err
	}
	return &session.Answer{Code: exit.Code}, nil
}

// isImage tells the two kinds of objects apart that a verb can be of: every
// name of an image has a colon, a container's ID has none.
func isImage(object string) bool { return strings.Contains(object, ":") }
