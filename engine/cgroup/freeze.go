package cgroup

import (
	"context"
	"errors"
	"path"
	"strings"
	"time"
)

// Pause freezes the group's processes and returns when they are frozen. If ctx ends first they go on.
func (g *Group) Pause(ctx context.Context) error {
	err := g.freeze(ctx, true)
	if err != nil && ctx.Err() != nil {
		err = errors.Join(err, g.freeze(context.WithoutCancel(ctx), false))
	}
	return err
}

// Unpause lets them go on.
func (g *Group) Unpause(ctx context.Context) error { return g.freeze(ctx, false) }

func (g *Group) freeze(ctx context.Context, freeze bool) error {
	if d := g.of("freezer"); d != nil {
		return g.await(ctx, func() (bool, error) { return d.freezeV1(freeze) })
	}
	d := g.v2()
	if d == nil {
		return fail("pause", g.id, Unsupported, "this host has no freezer cgroup, so that containers cannot be paused")
	}
	value, want := "0", int64(0)
	if freeze {
		value, want = "1", 1
	}
	if err := write(path.Join(d.path, "cgroup.freeze"), value); err != nil {
		return system("pause", g.id, err)
	}
	return g.await(ctx, func() (bool, error) {
		return key(keyed(path.Join(d.path, "cgroup.events")), "frozen") == want, nil
	})
}

// freezeV1 writes the state and asks whether it has come. A process that was born meanwhile keeps a group at FREEZING
// until the state is written again.
func (d *dir) freezeV1(freeze bool) (bool, error) {
	want := "THAWED"
	if freeze {
		want = "FROZEN"
	}
	file := path.Join(d.path, "freezer.state")
	if err := write(file, want); err != nil {
		return false, err
	}
	state, err := readFile(file)
	return strings.TrimSpace(state) == want, err
}

// await asks until the answer is yes: freezing takes some microseconds, more where a process sleeps in the kernel.
func (g *Group) await(ctx context.Context, done func() (bool, error)) error {
	for pause := 50 * time.Microsecond; ; pause = min(2*pause, 50*time.Millisecond) {
		ok, err := done()
		if err != nil {
			return system("pause", g.id, err)
		}
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}
