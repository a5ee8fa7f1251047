package fs

import (
	"context"
	"io"
	"strings"
	"time"
)

// The constructors of rows. tree.go reads as a table because of them.

func dir(name string, mode uint32, summary string, rows ...*row) *row {
	return &row{name: name, kind: directoryRow, mode: mode, group: true, summary: summary, rows: rows}
}

func (r *row) opens(open func(*Tree, *entry) place) *row {
	r.open = open
	return r
}

func (r *row) only(when func(*entry) bool) *row {
	r.when = when
	return r
}

func collection(name string, mode uint32, summary string, open func(*Tree, *entry) place, each *row, hidden ...*row) *row {
	return &row{name: name, kind: collectionRow, mode: mode, group: true, summary: summary, rows: append([]*row{each}, hidden...), open: open}
}

// unlisted is a text of a collection: listed, it would be a member to every loop over the names.
func unlisted(name, summary string, f func(context.Context, *Tree, *entry) ([]byte, error)) *row {
	r := text(name, 0o644, summary, f)
	r.hidden = true
	return r
}

// member is the directory of an object in a collection.
func member(name, summary string, open func(*Tree, *entry) place, rows ...*row) *row {
	return &row{name: name, kind: directoryRow, mode: 0o755, group: true, summary: summary, rows: rows, open: open}
}

func text(name string, mode uint32, summary string, f func(context.Context, *Tree, *entry) ([]byte, error)) *row {
	return &row{name: name, kind: textRow, mode: mode, summary: summary, text: f}
}

func growing(name string, mode uint32, summary string, f func(context.Context, *Tree, *entry) (Growing, error)) *row {
	return &row{name: name, kind: growingRow, mode: mode, summary: summary, growing: f}
}

func logs(stream, summary string) *row {
	return growing(stream, 0o640, summary, func(_ context.Context, t *Tree, e *entry) (Growing, error) {
		return t.Containers.Logs(e.obj.id, stream)
	})
}

func ctl(name, summary string, commands []command) *row {
	return &row{name: name, kind: ctlRow, mode: 0o600, group: true, summary: summary, commands: commands}
}

func setting(s Setting) *row {
	return &row{name: s.Name, kind: settingRow, mode: s.Mode, group: true, inside: true, summary: s.Summary, setting: s}
}

// alone keeps a row from the group.
func (r *row) alone() *row {
	r.group = false
	return r
}

// within marks a row by which one acts in a container.
func (r *row) within() *row {
	r.inside = true
	return r
}

// verb files may be read by all, because reading one is how it explains itself.
func verb(name, summary string) *row {
	return &row{name: name, kind: verbRow, mode: 0o744, group: true, summary: summary}
}

// input has a verb take what is written to it: it may be opened write-only.
func (r *row) input(take func(context.Context, *Tree, *entry, string) error) *row {
	r.take = take
	return r
}

// streams has a verb take all that is written to it as one stream: it may be opened write-only.
func (r *row) streams(f func(context.Context, *Tree, *entry, io.Reader) error) *row {
	r.stream = f
	return r
}

func link(name, summary string, target func(*Tree, *entry) string) *row {
	return &row{name: name, kind: linkRow, mode: 0o777, summary: summary, target: target}
}

// passthrough directories are root's alone: owners shown inside are the container's ids, and a host user with the
// same number must not get in by it.
func passthrough(name, summary string) *row {
	return &row{name: name, kind: passthroughRow, mode: 0o700, summary: summary}
}

func imageText(name, summary string, f func(*Image) string) *row {
	return text(name, 0o644, summary, func(_ context.Context, t *Tree, e *entry) ([]byte, error) {
		i, err := e.image()
		if err != nil {
			return nil, err
		}
		return []byte(f(i)), nil
	})
}

func layerText(name, summary string, f func(*Layer) string) *row {
	return text(name, 0o644, summary, func(_ context.Context, _ *Tree, e *entry) ([]byte, error) {
		l, err := e.layer()
		if err != nil {
			return nil, err
		}
		return []byte(f(l)), nil
	})
}

func containerText(name string, mode uint32, summary string, f func(*Container) string) *row {
	return text(name, mode, summary, func(_ context.Context, t *Tree, e *entry) ([]byte, error) {
		c, err := e.container()
		if err != nil {
			return nil, err
		}
		return []byte(f(c)), nil
	})
}

// line is one value as a file holds it: empty stays empty.
func line(s string) string {
	if s == "" || strings.HasSuffix(s, "\n") {
		return s
	}
	return s + "\n"
}

func lines(list []string) string { return line(strings.Join(list, "\n")) }

func stamp(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.RFC3339Nano) + "\n"
}

// addresses are those of one family that a container has.
func addresses(of func(Address) string) func(*Container) string {
	return func(c *Container) string {
		var list []string
		for _, a := range c.Addresses {
			if ip := of(a); ip != "" {
				list = append(list, ip)
			}
		}
		return lines(list)
	}
}
