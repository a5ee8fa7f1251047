package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// What containers cost while nobody does anything with them.

// gauge measures something other than time.
type gauge interface{ reading() reading }

type reading struct {
	value float64
	unit  string
	note  string
}

// costing makes the rows.
func costing() []row {
	return []row{
		{
			name: "memory-rest", title: "memory of all that runs while no container does", rounds: 1,
			field: []contestant{&atRest{crowd: &hullCrowd{}}, &atRest{crowd: &dockerCrowd{fresh: true}}},
		},
		{
			name: "memory-beside", title: "memory beside each running container", rounds: 1,
			field: []contestant{&beside{crowd: &hullCrowd{}}, &beside{crowd: &podmanCrowd{}}, &beside{crowd: &dockerCrowd{}}},
		},
		{
			name: "idle", title: "context switches of all but the containers, while they sleep", rounds: 1,
			field: []contestant{&idle{crowd: &hullCrowd{}}, &idle{crowd: &dockerCrowd{}}},
		},
		{
			name: "list", title: "many stopped containers, listed", rounds: 20,
			field: []contestant{&hullList{command: "cat containers.txt"}, &hullList{command: "ls -l containers"}, &dockerList{}},
		},
		{
			name: "many-memory", title: "memory that remains taken after find has gone through very many stopped containers", rounds: 1,
			field: []contestant{&walked{hullList: hullList{command: "find containers", many: true}}},
		},
		{
			name: "many", title: "the same ones, listed", rounds: 3,
			field: []contestant{
				&hullList{command: "cat containers.txt", many: true}, &hullList{command: "ls -l containers", many: true},
				&hullList{command: "find containers", many: true},
			},
		},
	}
}

// settled waits until a crowd's engine has done what it does after a change: until it makes no context switch for a
// second, and no longer than a third of the time that memory has to be given back, for some never rest.
func settled(ctx context.Context, c crowd) ([]process, error) {
	_, size := c.count()
	within := size.rest / 3
	own, err := c.own()
	for until := time.Now().Add(within); err == nil && time.Now().Before(until); {
		before := activityOf(own)
		select {
		case <-time.After(min(time.Second, within)):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if activityOf(own) == before {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	return c.own() // there may be more by now
}

// atRest is an engine that has nothing to do.
type atRest struct {
	crowd
	taken int64
	count int
}

func (a *atRest) once(ctx context.Context) error {
	own, err := settled(ctx, a.crowd)
	if err == nil {
		a.taken, err = proportional(own)
	}
	a.count = len(own)
	return err
}

func (a *atRest) reading() reading {
	return reading{float64(a.taken) / 1e6, "MB", fmt.Sprintf("%d processes", a.count)}
}

// beside is what an engine takes more with each container: of memory that is not the container's.
type beside struct {
	crowd
	more int64
}

func (b *beside) once(ctx context.Context) error {
	before, err := b.taken(ctx)
	if err != nil {
		return err
	}
	n, _ := b.count()
	if err := b.run(ctx, n); err != nil {
		return err
	}
	after, err := b.taken(ctx)
	b.more = (after - before) / int64(n)
	return err
}

func (b *beside) taken(ctx context.Context) (int64, error) {
	own, err := settled(ctx, b.crowd)
	if err != nil {
		return 0, err
	}
	return proportional(own)
}

func (b *beside) reading() reading {
	n, _ := b.count()
	return reading{float64(b.more) / 1e6, "MB", fmt.Sprintf("of %d", n)}
}

// idle is an engine whose containers sleep.
type idle struct {
	crowd
	made    activity
	watched time.Duration
}

func (i *idle) once(ctx context.Context) error {
	n, size := i.count()
	if err := i.run(ctx, n); err != nil {
		return err
	}
	own, err := settled(ctx, i.crowd)
	if err != nil {
		return err
	}
	// What it does once when all is quiet, as to give memory back that the starts have taken, is not what it does all the time.
	if err := pause(ctx, size.rest); err != nil {
		return err
	}
	before, began := activityOf(own), time.Now()
	if err := pause(ctx, size.watch); err != nil {
		return err
	}
	after := activityOf(own)
	i.made, i.watched = activity{after.switches - before.switches, after.ran - before.ran}, time.Since(began)
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (i *idle) reading() reading {
	n, _ := i.count()
	return reading{
		float64(i.made.switches) / i.watched.Seconds(), "a second",
		fmt.Sprintf("processors %.3f ms a second, with %d containers", ms(i.made.ran)/i.watched.Seconds(), n),
	}
}

// run in a shell, whose output nobody wants.
func silently(ctx context.Context, dir, command string) error {
	c := exec.CommandContext(ctx, "sh", "-c", command+" >/dev/null")
	c.Dir = dir
	var said strings.Builder
	c.Stderr = &said
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", command, err, tail([]byte(said.String())))
	}
	return nil
}
