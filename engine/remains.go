package engine

import "os"

// remains are what a run leaves to the kernel and nobody waits for. To take them away is a large part of what a run costs, and the
// larger the more containers run: the kernel goes through all file systems there are for a cgroup, and through all ports of its
// bridge for a link. So it is done when all is quiet; and many network namespaces at once, which costs less than one by one.
//
// A daemon that dies leaves nothing for good: the namespaces go with its descriptors, and the next one sweeps the cgroups.
type remains struct {
	of    *supervisor // whose goroutine may have ended
	group group       // nil if there is none
	netns *os.File    // keeps the namespace; nil if the run had none of its own, or after a restart of the daemon
}

// leaveRemains has what a run leaves taken away. A cgroup that has the container's own name goes at once: so has the next run's.
func (s *supervisor) leaveRemains(r *run) {
	left := remains{of: s, group: r.group, netns: r.netns}
	r.group, r.netns = nil, nil
	if left.group != nil && s.groupName() == s.id {
		s.removeGroup(left.group)
		left.group = nil
	}
	if left.group == nil && left.netns == nil {
		return
	}
	if !s.e.remains.put(left) {
		closeAll(left.netns) // the engine ends, and sweeps
	}
}

// clearRemains takes away what runs have left when all is quiet, and the rest when the engine ends.
func (e *Engine) clearRemains() {
	for e.ctx.Err() == nil {
		select {
		case <-e.ctx.Done():
		case <-e.remains.ready:
			e.quiet.wait(e.ctx, nil)
		}
		var groups []remains
		for left, ok := e.remains.take(); ok; left, ok = e.remains.take() {
			closeAll(left.netns)
			if left.group != nil {
				groups = append(groups, left)
			}
		}
		remove := func() {
			for _, left := range groups {
				left.of.removeGroup(left.group)
			}
		}
		if len(groups) > 0 && !e.spawn(remove) { // beside what comes next: it waits for a group in which somebody has put a process
			remove()
		}
	}
	e.remains.close()
	for left, ok := e.remains.take(); ok; left, ok = e.remains.take() {
		closeAll(left.netns)
	}
}
