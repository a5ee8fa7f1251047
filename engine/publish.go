package engine

import (
	"slices"
	"time"
)

// publish makes the snapshot that readers see from now on.
func (s *supervisor) publish() {
	c := &Container{
		ID: s.id, Name: s.rec.Name, Owner: s.rec.Owner, Image: s.imageName(),
		State: s.st.State, Restarts: s.st.Restarts.Count, NextStart: s.st.Restarts.Due, Created: s.rec.Created, Started: s.st.Run.Started, Finished: s.st.Finished,
		Exit: s.st.Exit, OOM: s.st.OOMKills > 0, Error: s.st.Error,
		Command: s.set.command(s.imageOrNone()), Labels: s.set.labels(s.rec.Image),
		TTY: s.set.flag("tty"), Stdin: s.set.flag("stdin"), Settings: s.rec.Settings, limits: s.set.limits(), stop: s.set.stop(s.rec.Image), logs: s.set.bounds(), process: s.st.Run.Process,
		group: s.groupName(), Endpoints: s.places(),
	}
	c.Reaches = s.reaches()
	c.network = s.set.networking()
	if s.rec.Image != nil {
		c.ImageID, c.Platform = s.rec.Image.ID, s.rec.Image.Platform
		c.Exposed = slices.Concat(s.set.list("expose"), s.rec.Image.Ports)
		c.path = searchPath(s.set.env(s.rec.Image, ""))
	}
	if s.st.State.Alive() && s.st.Run.Process != nil {
		c.PID, c.Ports = s.st.Run.PID, s.st.Run.Ports
		note := s.st.Run
		c.run = &note
		c.Command, c.TTY, c.Stdin = s.st.Run.Process.Args, s.st.Run.Process.TTY, s.st.Run.Process.Stdin
		c.path = searchPath(s.st.Run.Process.Env)
		c.Pending = pending(s.st.Run.Settings, s.rec.Settings)
	}
	if before := s.snapshot.Load(); before != nil && before.Error == c.Error {
		c.ErrorAt = before.ErrorAt
	} else {
		c.ErrorAt = time.Now()
	}
	c.Health = NoHealth
	if s.examination != nil && s.st.State.Alive() {
		c.Health, c.Looks = s.st.Health.Health, slices.Clone(s.examination.last)
	}
	for _, x := range s.sessions {
		if x.shown && !x.Look {
			c.Sessions = append(c.Sessions, x.Session)
		}
	}
	s.snapshot.Store(c)
	if !s.gone {
		s.e.volumes.Use(s.id, s.rec.Owner.UID, s.used())
		s.view.wants(s.fingerprint(s.shownMounts()))
	}
}

// pending lists the settings that will not be in force before the next start.
func pending(running, now map[string]string) []string {
	var names []string
	for _, row := range table() {
		if !row.Live && !row.same(running[row.Name], now[row.Name]) {
			names = append(names, row.Name)
		}
	}
	return slices.Clip(names)
}

// imageName is the image as its user named it.
func (s *supervisor) imageName() string {
	if name := s.set.text("image"); name != "" {
		return name
	}
	if s.rec.Image != nil {
		return s.rec.Image.Reference
	}
	return ""
}

func (s *supervisor) imageOrNone() *Image {
	if s.rec.Image != nil {
		return s.rec.Image
	}
	return &Image{}
}
