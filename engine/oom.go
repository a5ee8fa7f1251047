package engine

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// watchOOM has the supervisor hear of every process that the kernel ends in a container for want of memory, while its run
// goes on. Only a limit of its own is watched: what else runs out is the machine's memory, and the run's end tells of it.
func (s *supervisor) watchOOM() {
	r := s.run
	if r == nil || r.group == nil || r.oom != nil || s.set.number("memory", 0) == 0 {
		return
	}
	f, err := r.group.WatchOOM()
	if err != nil {
		s.e.o.Logger.Debug("it will not be seen before the end of a container whether its memory ran out", "container", s.id, "op", "watch", "err", err)
		return
	}
	if f == nil {
		return
	}
	r.oom = f
	s.e.spawn(func() { s.hearOOM(r, f) })
}

// hearOOM tells the supervisor when the count of kills has risen, until the run or the engine ends.
func (s *supervisor) hearOOM(r *run, f *os.File) {
	defer context.AfterFunc(s.e.ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })()
	buf := make([]byte, 16*unix.SizeofInotifyEvent)
	g, known := r.group, int64(0)
	for {
		if _, err := f.Read(buf); err != nil {
			return
		}
		kills := g.OOMKills()
		for pause := time.Millisecond; kills == known && pause < time.Second; pause *= 2 {
			select { // the kernel tells before it kills
			case <-s.e.ctx.Done():
				return
			case <-time.After(pause):
			}
			kills = g.OOMKills()
		}
		if known = kills; !s.later(origin{cause: Memory}, func() { s.oomKilled(r, kills) }) {
			return
		}
	}
}

// missedOOM hears of what happened while no daemon was there to hear it.
func (s *supervisor) missedOOM() {
	r, kills := s.run, s.run.group.OOMKills()
	if kills > s.st.OOMKills {
		s.later(origin{cause: Memory}, func() { s.oomKilled(r, kills) })
	}
}

// oomKilled notes that the kernel has ended something in the container.
func (s *supervisor) oomKilled(r *run, kills int64) {
	if s.run != r || kills <= s.st.OOMKills {
		return
	}
	s.st.OOMKills, s.st.Error = kills, "out of memory: the kernel ended a process in it, which "+s.wanted()
	s.save()
	s.say(actOOM)
}

// oomAtEnd counts what the kernel ended until the run did, and tells whether there is something new.
func (s *supervisor) oomAtEnd(x Exit) bool {
	kills := s.st.OOMKills
	if x.OOM {
		kills = max(kills, 1)
	}
	if x.OOM && s.run != nil && s.run.group != nil {
		kills = max(kills, s.run.group.OOMKills())
	}
	more := kills > s.st.OOMKills
	s.st.OOMKills = kills
	return more
}

// wanted is what led to the end of a process for want of memory.
func (s *supervisor) wanted() string {
	if limit := s.memoryLimit(); limit != "" {
		return "wanted more than the container's limit of " + limit + " (config/memory)"
	}
	return "wanted more memory than this machine or hull's own limit has"
}
