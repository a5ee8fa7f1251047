package launch

import (
	"context"
	"errors"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"hull/engine/child"
	"hull/engine/internal/sys"
	"hull/engine/plan"
)

// Staged is the first process of a container that has its namespaces, users and
// cgroups and all that comes from the kernel, and nothing that makes it one
// container and no other. It belongs to one goroutine at a time, and ends by
// itself when this process dies.
type Staged struct {
	p      *Parked
	ids    IDRange
	recipe plan.Recipe
	reaper func() (*os.File, error) // gives the launcher's
	built  bool                     // the stub has said so
	up     bool                     // a Spec.Plug has been called
	plug   chan error               // what became of it; nil without, or when it has been taken
}

// Stage makes such a process. Of the Spec it takes what the stage is made of
// (see plan.Recipe), the Range, the Cgroups and what it says of the network; nobody else may have those. The
// caller ends it with Park or Abort.
func (l *Launcher) Stage(ctx context.Context, spec Spec) (*Staged, error) {
	recipe, err := spec.recipe()
	if err == nil {
		err = checkRange(spec.Range)
	}
	if err != nil {
		return nil, explain(ctx, err, nil, "")
	}
	s, err := l.stage(ctx, spec, recipe)
	if err != nil {
		return nil, err
	}
	if err := s.finish(ctx); err != nil {
		s.Abort()
		return nil, explain(ctx, err, nil, "")
	}
	return s, nil
}

// Serves tells whether the process can become the container of a Spec.
func (s *Staged) Serves(spec Spec) bool {
	spec.Range = s.ids
	recipe, err := spec.recipe()
	return err == nil && s.recipe.Same(recipe)
}

// Alive tells whether the process is there still: somebody may have killed it.
func (s *Staged) Alive() bool { return !sys.Exited(s.p.Pidfd()) }

// Died waits for the process's death. It is false if ctx ends before, or if
// that cannot be waited for. Unlike all else of a Staged it may be called, and
// go on, whatever other goroutines do with it.
func (s *Staged) Died(ctx context.Context) bool {
	return sys.AwaitExit(ctx, s.p.stub.PID)
}

// Park makes the process a container up to the last step, as Launcher.Park
// does. The Spec's Range and Cgroups are not looked at: the process has its own, and
// so is its Plug if Stage was given one. Whatever becomes of it, the Staged is used up.
func (s *Staged) Park(ctx context.Context, spec Spec) (*Parked, error) {
	spec.Range = s.ids
	settings, err := spec.settings()
	if err == nil && !s.recipe.Same(settings.recipe) {
		err = errors.New("the process was made for another kind of container")
	}
	if err == nil && !s.up {
		s.bringUp(ctx, spec.Plug)
	}
	if err != nil {
		s.Abort()
		return nil, explain(ctx, err, nil, "")
	}
	return s.park(ctx, spec, settings)
}

func (s *Staged) park(ctx context.Context, spec Spec, set settings) (*Parked, error) {
	if err := s.become(ctx, spec, set); err != nil {
		s.Abort()
		return nil, explain(ctx, err, spec.Args, spec.Dir)
	}
	return s.p, nil
}

// Abort ends a process that no Park was given.
func (s *Staged) Abort() {
	_ = s.plugged()
	s.p.Abort()
	_ = s.p.Close()
}

// stage makes the process and has it build its stage, which finish waits for.
func (l *Launcher) stage(ctx context.Context, spec Spec, recipe plan.Recipe) (*Staged, error) {
	born, joins, err := ways(spec.Cgroups)
	if err != nil {
		return nil, explain(ctx, err, nil, "")
	}
	p, err := l.spawn(child.Options{Namespaces: namespaces(spec.Range, spec.Network), Network: spec.Of, Cgroup: born, OfParent: l.BornOfParent})
	if err != nil {
		return nil, err
	}
	s := &Staged{p: p, ids: spec.Range, recipe: recipe, reaper: l.spawner.Reaper}
	if err := s.begin(ctx, l, spec, joins); err != nil {
		s.Abort()
		return nil, explain(ctx, err, nil, "")
	}
	return s, nil
}

func (s *Staged) begin(ctx context.Context, l *Launcher, spec Spec, joins []*os.File) error {
	if s.ids.Size > 0 {
		if err := s.p.mapUsers(idMap(s.ids), idMap(s.ids)); err != nil {
			return err
		}
	}
	if err := s.p.expose(); err != nil {
		return err
	}
	if spec.Network == plan.OwnNetwork {
		if err := s.p.openNetwork(); err != nil {
			return err
		}
		s.bringUp(ctx, spec.Plug)
	}
	mounts, err := l.stages.hierarchies(spec.Cgroups)
	if err != nil {
		return err
	}
	c := plan.Container{Recipe: s.recipe, Cgroups: len(joins), CgroupMounts: mounts}
	given, err := deviceFiles(s.recipe.Devices, s.ids)
	if err != nil {
		return err
	}
	defer func() { closeAll(given) }()
	if s.recipe.BringsSys() {
		view, err := sysOf(spec.Of)
		if err != nil {
			return err
		}
		given = append(given, view)
	}
	return s.p.stub.Send(ctx, l.stages.program(c), append(slices.Clone(joins), given...)...)
}

// finish waits until the stage is built.
func (s *Staged) finish(ctx context.Context) error {
	if !s.built {
		if _, err := s.p.stub.Await(ctx); err != nil {
			return err
		}
		s.built = true
	}
	return s.plugged()
}

// become makes the process the container of a Spec, up to the last step.
func (s *Staged) become(ctx context.Context, spec Spec, set settings) (err error) {
	p := s.p
	p.args, p.dir = set.args, set.dir
	// The stub may be building its stage while the root is mounted.
	if p.root, err = spec.Root(p.users); err != nil {
		return &stepError{op: "mount the root", err: err}
	}
	if err := s.finish(ctx); err != nil {
		return err
	}
	root := plan.Root{Hostname: spec.Hostname, ReadOnly: spec.ReadOnly, Devices: spec.Privileged}
	tree := &tree{dir: p.root, ids: s.ids}
	if spec.Mounts != nil {
		if tree, err = p.fill(ctx, spec); err != nil {
			return err
		}
		defer tree.dir.Close()
		root.Filled = true
	}
	process, err := set.process(tree)
	if err != nil {
		return err
	}
	if err := p.raise(process.Limits); err != nil {
		return err
	}
	process.MakeDir = true
	if root.Files, err = tree.files(spec.Files); err != nil {
		return err
	}
	stage := tree.dir // in which /dev has its place
	if !root.Filled {
		// The stage is the root still: nothing of the image is there.
		stage, err = os.OpenFile(p.proc("root"), unix.O_PATH|unix.O_DIRECTORY, 0)
		if errors.Is(err, os.ErrNotExist) {
			return child.ErrGone
		}
		if err != nil {
			return &stepError{op: "open the stage", err: err}
		}
		defer stage.Close()
	}
	stdio, done, err := p.stdio(set, process, stage)
	if err != nil {
		return err
	}
	defer done()
	files := append([]*os.File{p.root}, stdio[:]...)
	if spec.Init {
		reaper, err := s.reaper()
		if err != nil {
			return &stepError{op: "make an init", err: err}
		}
		files = append(files, reaper)
	}
	if err := p.stub.Send(ctx, plan.Compile(plan.Start(root, process)), files...); err != nil {
		return err
	}
	if spec.Begun != nil {
		if err := spec.Begun(p); err != nil {
			return err
		}
	}
	_, err = p.stub.Await(ctx)
	return err
}
