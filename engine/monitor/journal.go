package monitor

import "hull/engine/logs"

// journal is the log of one container's directory, shared by its runs: output of a run that has ended may still come
// when the next one has begun.
type journal struct {
	dir      string
	bounds   logs.Bounds
	writer   *logs.Writer // nil if it could not be opened
	segment  int64        // that its followers have been told of
	users    int
	reported bool // the container's user has heard that it cannot be written
}

func (m *message) bounds() logs.Bounds { return logs.Bounds{Max: m.LogMax, Files: m.LogFiles} }

func (s *server) openJournal(id, dir string, b logs.Bounds) *journal {
	j := s.journals[dir]
	if j == nil {
		j = &journal{dir: dir}
		s.journals[dir] = j
	}
	j.users++
	j.reported = false
	j.bounds = b
	if j.writer != nil {
		j.writer.Bound(b)
	} else {
		w, err := logs.Create(dir, b)
		if err != nil {
			s.trouble(j, id, err)
			return j
		}
		j.writer, j.segment = w, w.Segment().Number
	}
	if j.writer.Oldest() > 0 {
		s.trim(j.dir, b)
	}
	return j
}

func (s *server) closeJournal(j *journal) {
	if j.users--; j.users > 0 {
		return
	}
	delete(s.journals, j.dir)
	if j.writer != nil {
		_ = j.writer.Close()
	}
}

// most is how many unread segments a follower holds.
func (j *journal) most() int {
	if j.bounds.Files > 0 {
		return j.bounds.Files
	}
	return mostGiven
}

// bound sets other bounds of a container's log.
func (s *server) bound(id, dir string, b logs.Bounds) {
	if j := s.journals[dir]; j != nil {
		j.bounds = b
		if j.writer != nil {
			j.writer.Bound(b)
		}
		if c := s.containers[id]; c != nil {
			for _, t := range c.statuses {
				t.provide()
			}
			c.pace()
		}
	}
	s.trim(dir, b)
}

// moved hears that a log has grown, maybe in a new segment.
func (s *server) moved(j *journal) {
	n := j.writer.Segment().Number
	if n == j.segment {
		return
	}
	j.segment = n
	s.trim(j.dir, j.bounds)
	for _, c := range s.containers {
		if c.journal != j {
			continue
		}
		for _, t := range c.statuses {
			t.provide()
		}
		c.pace()
	}
}

// trim removes what is beyond a log's bounds. The disk may take its time for that: the loop goes on.
func (s *server) trim(dir string, b logs.Bounds) {
	if b.Files <= 0 {
		return
	}
	if _, busy := s.trims[dir]; busy {
		s.trims[dir] = &b
		return
	}
	s.trims[dir] = nil
	s.trimming.Go(func() {
		err := logs.Trim(dir, b)
		s.loop.post(func() { s.trimmed(dir, err) })
	})
}

// trimmed goes on with what has been asked for meanwhile.
func (s *server) trimmed(dir string, err error) {
	if err != nil {
		s.log.Warn("what is beyond the bounds of a log cannot be removed", "dir", dir, "err", err)
	}
	again := s.trims[dir]
	delete(s.trims, dir)
	if again != nil {
		s.trim(dir, *again)
	}
}
