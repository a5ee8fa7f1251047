package main

import (
	"context"
	"errors"
	"strings"

	"hull/engine"
	"hull/fs"
	"hull/fs/session"
)

// verbs does what executed verb files ask.
type verbs struct{ *daemon }

// handle is the session server's Handler. A failure gets its three faces: the
// helper's exit status stands for the errno.
func (v verbs) handle(ctx context.Context, c *session.Call) (*session.Answer, error) {
	by := fs.Credential(c.By)
	ctx = fs.WithCaller(ctx, by)
	path := fs.VerbPath(c.Verb)
	err := v.tree.May(by, path, fs.Session)
	if err == nil {
		var a *session.Answer
		if a, err = v.do(ctx, c); err == nil {
			return a, nil
		}
		err = fromVerb(path, err)
	}
	// A caller who left is told nothing, and nothing has failed; of a descriptor the opening has, and says so.
	if ctx.Err() == nil && !c.Descriptor {
		_ = v.tree.Failed(by, c.Kind, path, err)
	}
	return &session.Answer{Sentence: fs.Sentence(err), Code: exitCode(c, err), Err: err}, nil
}

func (v verbs) do(ctx context.Context, c *session.Call) (*session.Answer, error) {
	switch c.Kind {
	case "run":
		return v.run(ctx, c)
	case "pull":
		return v.pull(ctx, c)
	case "wait":
		return v.wait(ctx, c)
	case "exec":
		return v.exec(ctx, c)
	case "enter":
		return v.enter(ctx, c)
	case "attach":
		return v.attach(ctx, c)
	case "follow":
		return v.follow(ctx, c)
	case "save":
		return v.save(ctx, c)
	case "load":
		return v.load(ctx, c)
	case "export":
		return v.export(ctx, c)
	case "prune":
		return v.prune(ctx, c)
	case "login":
		return v.login(ctx, c)
	case "search":
		return v.search(ctx, c)
	case "tags":
		return v.tags(ctx, c)
	}
	return nil, errors.New("this file cannot be executed")
}

// exitCode is what the helper exits with: Docker's statuses, or 1 where no
// command was to be run.
func exitCode(c *session.Call, err error) int {
	switch {
	case c.Kind == "pull", c.Kind == "save", c.Kind == "load", c.Kind == "export", c.Kind == "prune", c.Kind == "follow", ofRegistry(c.Kind):
		return 1
	case c.Kind == "wait" && isImage(c.Object):
		return 1
	}
	return engine.KindOf(err).ExitCode()
}

// wait ends when a container has, with its status, or when a pull has.
func (v verbs) wait(ctx context.Context, c *session.Call) (*session.Answer, error) {
	if len(c.Args) > 0 {
		return nil, errors.New("wait takes no arguments")
	}
	if isImage(c.Object) {
		return &session.Answer{}, v.store.Wait(ctx, c.Object)
	}
	exit, err := v.engine.Wait(ctx, c.Object)
	return &session.Answer{Code: exit.Code}, err
}

// ofRegistry tells whether a verb is a registry's.
func ofRegistry(kind string) bool { return kind == "login" || kind == "search" || kind == "tags" }

// isImage tells the two other kinds of objects apart that a verb can be of: every
// name of an image has a colon, a container's ID has none.
func isImage(object string) bool { return strings.Contains(object, ":") }
