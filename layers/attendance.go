package layers

import (
	"context"
	"slices"
)

// Attendance is somebody's staying with pulls. Its zero value is of none.
type Attendance struct{ pulls []*pull } // guarded by the store's mu

// Leave ends the pulls that were asked for with an Attendance and that nobody else
// has asked for, and returns when they have ended. What has arrived is kept for
// the next attempt.
func (s *Store) Leave(a *Attendance) {
	var ended []*pull
	s.mu.Lock()
	for _, p := range a.pulls {
		p.attended--
		if p.attended == 0 && !p.wished && !p.over {
			p.cancel(context.Canceled)
			ended = append(ended, p)
		}
	}
	a.pulls = nil
	s.mu.Unlock()
	for _, p := range ended {
		<-p.ended
	}
}

// attend takes down who asks for a pull. The caller holds mu.
func (p *pull) attend(a *Attendance) {
	switch {
	case a == nil:
		p.wished = true
	case !slices.Contains(a.pulls, p):
		p.attended++
		a.pulls = append(a.pulls, p)
	}
}
