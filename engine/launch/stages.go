package launch

import (
	"errors"
	"slices"
	"sync"

	"hull/engine/child"
	"hull/engine/plan"
)

// stages are the programs of stages made so far: most containers' are the same,
// and a stage is long.
type stages struct {
	mu   sync.Mutex
	made []stageProgram

	mounted []uint64           // mounts of cgroups, by number
	shown   []plan.CgroupMount // what a container is shown of them
}

type stageProgram struct {
	of      plan.Container
	program *child.Program
}

// mostStages is how many are kept.
const mostStages = 8

// program gives the program of a stage.
func (s *stages) program(c plan.Container) *child.Program {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.made, func(m stageProgram) bool { return m.of.Same(c) })
	if i >= 0 {
		return s.made[i].program
	}
	p := plan.Compile(plan.Stage(c))
	if len(s.made) < mostStages {
		p.Keep()
		s.made = append(s.made, stageProgram{of: c, program: p})
	}
	return p
}

func (s *stages) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	for _, m := range s.made {
		err = errors.Join(err, m.program.Close())
	}
	s.made = nil
	return err
}
