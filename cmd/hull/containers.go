package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"hull/engine"
	"hull/engine/logs"
	"hull/fs"
	"hull/layers"
)

// containers shows the engine to the tree.
type containers struct {
	ctx    context.Context //nolint:containedctx // the daemon's, for reads that nobody waits to call off
	engine *engine.Engine
	store  *layers.Store
	dir    string // the store's
}

// List is in the order of names.
func (c containers) List() []*fs.Container {
	list := c.engine.List()
	out := make([]*fs.Container, 0, len(list))
	for _, x := range list {
		out = append(out, shownContainer(x))
	}
	slices.SortFunc(out, func(a, b *fs.Container) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (c containers) Find(name string) (*fs.Container, bool) {
	x, ok := c.engine.Find(name)
	if !ok {
		return nil, false
	}
	return shownContainer(x), true
}

// shownContainer is what the tree shows of a moment of a container. It is made once, and kept with that moment.
func shownContainer(x *engine.Container) *fs.Container {
	return x.Memo(func() any { return showContainer(x) }).(*fs.Container)
}

func showContainer(x *engine.Container) *fs.Container {
	s := &fs.Container{
		ID: x.ID, Name: x.Name, Image: x.Image, ImageID: x.ImageID, Command: strings.Join(x.Command, " "),
		Status: x.State.String(), Error: x.Error, ErrorAt: x.ErrorAt, Owner: x.UID, Reaches: x.Reaches, Created: x.Created, Started: x.Started, Ended: x.Finished, OOM: x.OOM,
		Health: string(x.Health), Restarts: x.Restarts, Addresses: shownAddresses(x), Ports: shownPorts(x),
	}
	if x.PID != 0 {
		s.Process = strconv.Itoa(x.PID)
	}
	if x.Exit != nil {
		s.Exit = x.Exit.Code
	}
	return s
}

func (c containers) Create(ctx context.Context, n fs.NewContainer) (*fs.Container, error) {
	x, err := c.engine.Create(ctx, engine.New{
		Name: n.Name, Image: n.Image, Start: n.Start, Owner: engine.Owner{UID: n.Owner.UID, GID: n.Owner.GID},
	})
	if err != nil {
		return nil, fromEngine("containers/"+n.Name, err)
	}
	return shownContainer(x), nil
}

func (c containers) Start(ctx context.Context, id string) error {
	return c.failed(id, c.engine.Start(ctx, id))
}

func (c containers) Stop(ctx context.Context, id string, grace time.Duration) error {
	return c.failed(id, c.engine.Stop(ctx, id, seconds(grace)))
}

func (c containers) Restart(ctx context.Context, id string, grace time.Duration) error {
	return c.failed(id, c.engine.Restart(ctx, id, seconds(grace)))
}

// seconds rounds a grace up; below zero stands for the container's own.
func seconds(grace time.Duration) int {
	if grace < 0 {
		return -1
	}
	return int(math.Ceil(grace.Seconds()))
}

func (c containers) Kill(ctx context.Context, id, signal string) error {
	return c.failed(id, c.engine.Kill(ctx, id, signal))
}

func (c containers) Pause(ctx context.Context, id string) error {
	return c.failed(id, c.engine.Pause(ctx, id))
}

func (c containers) Unpause(ctx context.Context, id string) error {
	return c.failed(id, c.engine.Unpause(ctx, id))
}

func (c containers) Recreate(ctx context.Context, id string) error {
	return c.failed(id, c.engine.Recreate(ctx, id))
}

func (c containers) Rename(ctx context.Context, id, name string) error {
	return c.failed(id, c.engine.Rename(ctx, id, name))
}

func (c containers) Remove(ctx context.Context, id string, force bool) error {
	return c.failed(id, c.engine.Remove(ctx, id, force))
}

func (c containers) Wait(ctx context.Context, id string) error {
	_, err := c.engine.Wait(ctx, id)
	return c.failed(id, err)
}

func (c containers) Settings() []fs.Setting {
	rows := engine.Settings()
	out := make([]fs.Setting, 0, len(rows))
	for _, r := range rows {
		out = append(out, fs.Setting{Name: r.Name, Mode: 0o640, Summary: r.Summary, Live: r.Live})
	}
	return out
}

func (c containers) Get(id, setting string) (string, error) {
	v, err := c.engine.Get(id, setting)
	return v, c.failed(id, err)
}

func (c containers) Set(ctx context.Context, id, setting, value string) error {
	if err := c.mayGive(ctx, id, setting, value); err != nil {
		return err
	}
	return c.failed(id, c.engine.Set(ctx, id, setting, value))
}

func (c containers) Reset(ctx context.Context, id, setting string) error {
	return c.failed(id, c.engine.Set(ctx, id, setting, ""))
}

func (c containers) Pending(id string) (string, error) {
	x, ok := c.engine.Find(id)
	if !ok {
		return "", c.gone(id)
	}
	var b strings.Builder
	for _, s := range x.Pending {
		b.WriteString(s + "\n")
	}
	return b.String(), nil
}

func (c containers) Commands(id string) ([]string, error) {
	// Plain reads never wait: the listing walks a directory or two of a mounted file system.
	l, err := c.engine.Commands(c.ctx, id)
	return l, c.failed(id, err)
}

func (c containers) Command(id, name string) (bool, error) {
	l, err := c.Commands(id)
	if err != nil {
		return false, err
	}
	i := sort.SearchStrings(l, name)
	return i < len(l) && l[i] == name, nil
}

func (c containers) Logs(id, stream string) (fs.Growing, error) {
	f, err := c.engine.Logs(id)
	if err != nil {
		return nil, c.failed(id, err)
	}
	return openLog(f.Dir, stream)
}

func (c containers) Changes(id string) ([]byte, error) {
	changes, err := c.engine.Changes(c.ctx, id)
	if err != nil {
		return nil, c.failed(id, err)
	}
	var b strings.Builder
	for _, x := range changes {
		fmt.Fprintf(&b, "%c %s\n", x.Kind, printable(x.Path))
	}
	return []byte(b.String()), nil
}

func (c containers) Inspect(id string) ([]byte, error) {
	b, err := c.engine.Inspect(id)
	return b, c.failed(id, err)
}

func (c containers) failed(id string, err error) error {
	if err == nil {
		return nil
	}
	name := id
	if x, ok := c.engine.Find(id); ok {
		name = x.Name
	}
	return fromEngine("containers/"+name, err)
}

func (c containers) gone(id string) error {
	return &fs.Error{Object: "containers/" + id, Kind: fs.Removed, Sentence: "The container was removed."}
}

// stream is one stream of a log, opened by itself.
type stream struct {
	*logs.View
	log *logs.Log
}

func (s stream) Close() error { return s.log.Close() }

// openLog opens what a container has written: both streams in order, or one.
func openLog(dir, which string) (fs.Growing, error) {
	l, err := logs.Open(dir)
	if err != nil {
		return nil, &fs.Error{Op: "read", Kind: fs.System, Sentence: "The log cannot be opened: " + err.Error(), Err: err}
	}
	switch which {
	case "stdout":
		return stream{l.Only(logs.Stdout), l}, nil
	case "stderr":
		return stream{l.Only(logs.Stderr), l}, nil
	}
	return stream{l.Both(), l}, nil
}

// ReadAt reads from the stream.
func (s stream) ReadAt(b []byte, off int64) (int, error) {
	n, err := s.View.ReadAt(b, off)
	if errors.Is(err, logs.ErrDropped) {
		err = &fs.Error{Op: "read", Kind: fs.Removed, Sentence: "What is read here was dropped, for the log is kept within its bounds: open it again.", Err: err}
	}
	return n, err
}

// Size is the stream's length now; one that cannot be read has none.
func (s stream) Size() int64 {
	n, err := s.View.Size()
	if err != nil {
		return 0
	}
	return n
}
