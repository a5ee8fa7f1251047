package fs

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"hull/fs/session"
)

// What the text rows of tree.go show, where a line in the table does not say it.

func imageSize(i *Image) string {
	if !i.Whole() {
		return ""
	}
	return strconv.FormatInt(i.Size, 10) + "\n"
}

func imageBytes(i *Image) string { return fmt.Sprintf("%d %d\n", i.Done, i.Total) }

// imageError is the last refused command, else what its last pull came to.
func imageError(ctx context.Context, t *Tree, e *entry) ([]byte, error) {
	i, err := e.image()
	if err != nil {
		return nil, err
	}
	by, _ := By(ctx)
	r := t.failures.object(e.obj.key())
	// A pull's failure, told behind everybody's back, is over when somebody has pulled since.
	over := (r.op == "pull" || r.op == "failed") && i.Status != "failed"
	if s := r.shown(by, e); s != "" && !over {
		return []byte(line(s)), nil
	}
	return []byte(line(sentence(i.Error))), nil
}

// containerError is the last refused command, or what its last run has come to since, which may
// quote its command.
func containerError(ctx context.Context, t *Tree, e *entry) ([]byte, error) {
	c, err := e.container()
	if err != nil {
		return nil, err
	}
	by, _ := By(ctx)
	r := t.failures.object(e.obj.key())
	later := c.Started.After(r.at) || c.Error != "" && c.ErrorAt.After(r.at)
	if s := r.shown(by, e); s != "" && !later {
		return []byte(line(s)), nil
	}
	if !t.tells(by, c) {
		return nil, nil
	}
	return []byte(line(sentence(c.Error))), nil
}

// document is one of an image's texts.
func document(pick func(*Documents) []byte) func(context.Context, *Tree, *entry) ([]byte, error) {
	return func(_ context.Context, t *Tree, e *entry) ([]byte, error) {
		i, err := e.image()
		if err != nil {
			return nil, err
		}
		d, err := t.Images.Documents(i.Reference)
		if err != nil || d == nil {
			return nil, err
		}
		return pick(d), nil
	}
}

func progress(_ context.Context, t *Tree, e *entry) (Growing, error) {
	i, err := e.image()
	if err != nil {
		return nil, err
	}
	return t.Images.Progress(i.Reference)
}

func finished(c *Container) string {
	if c.Running() || c.Status == "waiting" {
		return ""
	}
	return stamp(c.Ended)
}

func exitCode(c *Container) string {
	if c.Ended.IsZero() || c.Running() {
		return ""
	}
	return strconv.Itoa(c.Exit) + "\n"
}

func pending(_ context.Context, t *Tree, e *entry) ([]byte, error) {
	s, err := t.Containers.Pending(e.obj.id)
	return []byte(line(s)), err
}

func changes(_ context.Context, t *Tree, e *entry) ([]byte, error) {
	return t.Containers.Changes(e.obj.id)
}

func stats(_ context.Context, t *Tree, e *entry) ([]byte, error) {
	return t.Containers.Stats(e.obj.id)
}

func processes(_ context.Context, t *Tree, e *entry) ([]byte, error) {
	return t.Containers.Processes(e.obj.id)
}

func inspect(_ context.Context, t *Tree, e *entry) ([]byte, error) {
	return t.Containers.Inspect(e.obj.id)
}

func info(_ context.Context, t *Tree, _ *entry) ([]byte, error) {
	return []byte(line(t.Host.Info())), nil
}

func df(ctx context.Context, t *Tree, _ *entry) ([]byte, error) {
	return []byte(line(t.Host.Disk(ctx))), nil
}

func version(_ context.Context, t *Tree, _ *entry) ([]byte, error) {
	return []byte(line(t.Host.Version())), nil
}

// events shows root and the group everything, and others what is theirs and what they have asked for.
func events(ctx context.Context, t *Tree, e *entry) (Growing, error) {
	if t.Journal == nil {
		return nil, nil
	}
	if by, _ := By(ctx); !private(by, e) {
		return t.Journal.NewView(by.UID)
	}
	return t.Journal.NewReader()
}

// verb is what an opened verb file is to fs/session.
func (e *entry) verb() session.Verb {
	kind := e.row.name
	if strings.ToUpper(kind) == kind { // a row for many names, as in exec/
		kind = e.row.parent.name
	}
	object := e.obj.id
	if e.obj.kind == imageObject {
		object = e.asNamed()
	}
	return session.Verb{Kind: kind, Object: object, Name: e.name}
}

// script is what reading a verb file shows and the kernel finds when it executes it.
func (t *Tree) script(e *entry) []byte {
	what := e.name + ": " + e.row.summary
	if e.obj.kind != noObject {
		what += " (" + e.label() + ")"
	}
	return session.Script(t.Binary, what+"\nExecute it as a command; reading it does nothing.")
}
