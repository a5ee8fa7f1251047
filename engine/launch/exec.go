package launch

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/child"
	"hull/engine/internal/sys"
	"hull/engine/plan"
)

// Exec makes a further process in a running container, up to the last step. It
// is made anew each time: a process that waited for it in the container's
// cgroups would count against its limits, and save 0.3 ms of joining those.
//
// The caller ends the Parked with Run or Abort, and then closes it.
func (l *Launcher) Exec(ctx context.Context, target Target, spec ExecSpec) (*Parked, error) {
	settings, err := spec.settings(target.Range)
	if err != nil {
		return nil, explain(ctx, err, nil, "")
	}
	born, joins, err := ways(target.Cgroups)
	if err != nil {
		return nil, explain(ctx, err, nil, "")
	}
	target.Cgroups = joins
	p, err := l.spawn(child.Options{Inside: target.Pidfd, Cgroup: born, OfParent: l.BornOfParent})
	if err != nil {
		if sys.ExitsWithin(target.Pidfd, dying) { // nothing is born in its pid namespace any more
			return nil, ended(err)
		}
		return nil, err
	}
	if err := p.enter(ctx, l.enters.program(target), target, settings, spec.Begun); err != nil {
		p.Abort()
		_ = p.Close()
		within := time.Duration(0)
		if errors.Is(err, child.ErrGone) || errors.Is(err, unix.ESRCH) { // killed with it, or it has no namespaces any more
			within = dying
		}
		if sys.ExitsWithin(target.Pidfd, within) {
			return nil, ended(err)
		}
		return nil, explain(ctx, err, spec.Args, spec.Dir)
	}
	return p, nil
}

// dying is how long a container whose first process is on its way out may take until that has ended. On the way the
// kernel's errors are not about that: ESRCH to who enters it, ENOMEM to who makes a process.
const dying = time.Second

// ended is the error of an exec whose container is no more.
func ended(err error) error {
	return &Error{Op: "exec", Kind: Gone, Text: "the container has ended", Err: err}
}

// enter does the work of Exec.
func (p *Parked) enter(ctx context.Context, first *child.Program, target Target, s settings, begun func(Begun) error) error {
	p.args, p.dir = s.args, s.dir
	if err := p.expose(); err != nil {
		return err
	}
	if err := p.stub.Send(ctx, first, append([]*os.File{target.Pidfd}, target.Cgroups...)...); err != nil {
		return err
	}
	root, err := p.stub.Await(ctx)
	if err != nil {
		return err
	}
	if root == nil {
		return errors.New("the stub showed no root")
	}
	defer root.Close()
	process, err := s.process(&tree{dir: root, ids: target.Range})
	if err != nil {
		return err
	}
	if err := p.raise(process.Limits); err != nil {
		return err
	}
	stdio, done, err := p.stdio(s, process, root)
	if err != nil {
		return err
	}
	defer done()
	if err := p.stub.Send(ctx, plan.Compile(plan.Run(process)), stdio[:]...); err != nil {
		return err
	}
	if begun != nil {
		if err := begun(p); err != nil {
			return err
		}
	}
	_, err = p.stub.Await(ctx)
	return err
}

// enters are the first programs of execs, made once: there are few, and each is
// long.
type enters struct {
	mu   sync.Mutex
	made map[entrance]*child.Program
}

// entrance is what such a program depends on.
type entrance struct {
	users   bool
	cgroups int
}

func (e *enters) program(t Target) *child.Program {
	key := entrance{users: t.Range.Size > 0, cgroups: len(t.Cgroups)}
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.made[key]
	if p == nil {
		p = plan.Compile(plan.Enter(key.users, key.cgroups))
		p.Keep()
		if e.made == nil {
			e.made = map[entrance]*child.Program{}
		}
		e.made[key] = p
	}
	return p
}

func (e *enters) close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var err error
	for _, p := range e.made {
		err = errors.Join(err, p.Close())
	}
	e.made = nil
	return err
}
