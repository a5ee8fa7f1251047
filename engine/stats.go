package engine

import "hull/engine/cgroup"

// Processes lists the processes of a container in the host's numbers; none if it does not run.
func (e *Engine) Processes(id string) (pids []int, err error) {
	err = e.measure("processes", id, func(g group) error {
		pids, err = g.Processes()
		return err
	})
	return pids, err
}

// Stats answers the counters of a container's cgroup; nil if it does not run.
func (e *Engine) Stats(id string) (stats *cgroup.Stat, err error) {
	err = e.measure("stats", id, func(g group) error {
		s, err := g.Stat()
		if err == nil {
			stats = &s
		}
		return err
	})
	return stats, err
}

// measure looks at a container's cgroup, beside its supervisor: it may go at any moment, which is no error.
func (e *Engine) measure(op, id string, look func(group) error) error {
	s, err := e.lookup(op, id)
	if err != nil {
		return err
	}
	alive := func() bool { return s.snapshot.Load().State.Alive() }
	if !alive() {
		return nil
	}
	g, err := e.parts.groups.Open(s.snapshot.Load().group)
	if err == nil {
		err = look(g)
	}
	if err != nil && alive() {
		return fail(op, s.id, kindOfErrno(err), "the container's cgroup cannot be read: %w", err)
	}
	return nil
}
