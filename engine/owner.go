package engine

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"hull/engine/volume"
)

// Chown gives a container to somebody else, whose rights it acts with from then on, and with it the volumes that were
// made for it. NeedsRoot if it has what only a container that root owns may have, or runs with what the new owner may
// not.
func (e *Engine) Chown(ctx context.Context, id string, owner Owner) error {
	return e.ask(ctx, "chown", id, func(s *supervisor, answer func(error)) { answer(s.chown(owner)) })
}

func (s *supervisor) chown(owner Owner) error {
	switch {
	case owner == s.rec.Owner:
		return nil
	case s.st.State == Dead:
		return fail("chown", s.id, Invalid, "the container %s is dead: %s", s.rec.Name, s.st.Error)
	}
	if err := s.mayTake(owner); err != nil {
		return err
	}
	// Its volumes go first: if the daemon dies now, the container can still use them, and is given once more.
	for _, name := range s.used() {
		if v, ok := s.e.volumes.Find(name); ok && madeFor(v, s.id) {
			if err := s.e.volumes.Chown(s.e.ctx, name, owner.UID, owner.GID); err != nil {
				return asError("chown", err)
			}
		}
	}
	rec := *s.rec
	rec.Owner = owner
	if err := s.keep(&rec, s.set); err != nil {
		return err
	}
	s.e.crash(ownerWritten)
	s.publish()
	if s.run != nil {
		s.tellNames()
	}
	s.say(actUpdate, "owner", strconv.FormatUint(uint64(owner.UID), 10))
	return nil
}

// ChownVolume gives a volume to somebody else. Containers that run with it go on with it.
func (e *Engine) ChownVolume(ctx context.Context, name string, owner Owner) error {
	if err := e.volumes.Chown(ctx, name, owner.UID, owner.GID); err != nil {
		return asError("chown", err)
	}
	e.sayVolume(e.origin(ctx), actUpdate, name, owner.UID)
	return nil
}

// mayTake tells why somebody may not have the container: they get all that it has, a process that runs with what has been
// taken out of its settings since included.
func (s *supervisor) mayTake(owner Owner) error {
	if setting := exceeds(owner, s.set); setting != "" {
		return fail("chown", s.id, NeedsRoot,
			"the container %s cannot be given to user %d: the setting %s has a value that is for containers which root owns; change it first",
			s.rec.Name, owner.UID, setting)
	}
	if err := s.e.mayNetwork(owner, s.set); err != nil {
		return fail("chown", s.id, NeedsRoot, "the container %s cannot be given to user %d: %w", s.rec.Name, owner.UID, err)
	}
	for _, note := range s.notes() {
		if what := s.e.runsWith(owner, s.id, s.rec, note); what != "" {
			return fail("chown", s.id, NeedsRoot, "the container %s cannot be given to user %d while it runs, %s; stop it first",
				s.rec.Name, owner.UID, what)
		}
	}
	return nil
}

// notes are the run under way, and a start that may be one.
func (s *supervisor) notes() []*runNote {
	var notes []*runNote
	if s.st.State.Alive() {
		notes = append(notes, &s.st.Run)
	}
	if s.st.Attempt != nil {
		notes = append(notes, s.st.Attempt)
	}
	return notes
}

// runsWith says what a run has that an owner may not have; empty if there is nothing.
func (e *Engine) runsWith(owner Owner, id string, rec *record, note *runNote) string {
	if !maps.Equal(note.Settings, rec.Settings) {
		if set, err := parseSettings(note.Settings); err != nil || exceeds(owner, set) != "" || e.mayNetwork(owner, set) != nil {
			return "as what it was started with is for containers which root owns"
		}
	}
	if note.Process == nil || owner.Root() {
		return ""
	}
	for _, m := range note.Process.Mounts {
		switch m.Kind {
		case bindMount:
			return "as " + m.Source + " of the host was mounted in it with the rights of its owner"
		case volumeMount:
			v, ok := e.volumes.Find(m.Source)
			if ok && !madeFor(v, id) && mayUse(owner, v) != nil {
				return "as it has the volume " + v.Name + ", which is somebody else's"
			}
		case tmpfsMount:
		}
	}
	return ""
}

// madeFor tells whether a volume is a container's own, and goes where that goes.
func madeFor(v *volume.Volume, id string) bool { return v.Anonymous && v.MadeFor == id }

// nobody is an owner who has no rights of his own.
var nobody = Owner{UID: 65534, GID: 65534}

// reaches tells whether who acts in the container has rights of its owner's outside of hull: it has what only root may
// have, or files of the host.
func (s *supervisor) reaches() bool {
	if exceeds(nobody, s.set) != "" || bindsHost(s.set) || joinsAnother(s.set) {
		return true
	}
	return slices.ContainsFunc(s.notes(), func(note *runNote) bool {
		if note.Process != nil && slices.ContainsFunc(note.Process.Mounts, func(m mount) bool { return m.Kind == bindMount }) {
			return true
		}
		if maps.Equal(note.Settings, s.rec.Settings) {
			return false
		}
		set, err := parseSettings(note.Settings)
		return err != nil || exceeds(nobody, set) != "" || joinsAnother(set)
	})
}

// bindsHost tells whether settings mount files of the host.
func bindsHost(set values) bool {
	return slices.ContainsFunc(set.list("mounts"), func(item string) bool {
		m, err := parseMount(item)
		return err != nil || m.Kind == bindMount
	})
}

// exceeds names a setting that the owner of a container may not have; empty if there is none.
func exceeds(owner Owner, set values) string {
	if owner.Root() {
		return ""
	}
	for _, row := range table() {
		if v, ok := set[row.Name]; ok && row.Root != nil && row.Root(v) {
			return row.Name
		}
	}
	return ""
}

// MayGive tells why somebody may not give a container a value of a setting, "json" for all of them: NeedsRoot. Whoever is
// not the owner may not have it reach with the owner's rights for what they may not have by their own; and what is root's
// to give is so whoever owns the container.
func (e *Engine) MayGive(id string, by Owner, setting, value string) error {
	s, err := e.lookup("set", id)
	if err != nil || by.Root() {
		return err
	}
	c := s.snapshot.Load()
	raw := map[string]string{setting: value}
	if setting == AllSettings {
		if raw, err = ParseSettingsJSON([]byte(value)); err != nil {
			return err
		}
		raw = kept(c.Settings, raw)
	}
	changed := values{}
	for name, text := range raw {
		row, ok := FindSetting(name)
		if !ok || text == c.Settings[name] {
			continue
		}
		if v, err := row.Parse(text); err == nil && v != nil {
			changed[name] = v
		}
	}
	if name := exceeds(by, changed); name != "" {
		return fail("set", s.id, NeedsRoot, "this value of the setting %s is for root to set, and you are user %d", name, by.UID)
	}
	if err := e.mayNetwork(by, changed); err != nil {
		return err
	}
	if by.UID == c.UID {
		return nil
	}
	if bindsHost(changed) {
		return fail("set", s.id, NeedsRoot,
			"only its owner and root may give the container %s files of the host, which it has with the rights of user %d", c.Name, c.UID)
	}
	return e.mayLend(by, c, changed)
}

// mayLend tells why who does not own a container may not give it a volume: it would have it with its owner's rights. One
// that is not there yet could be anybody's by then. What the container has already is no new gift.
func (e *Engine) mayLend(by Owner, c *Container, changed values) error {
	before, err := parseSettings(c.Settings)
	if err != nil {
		return err
	}
	for _, item := range changed.list("mounts") {
		m, err := parseMount(item)
		if err != nil || m.Kind != volumeMount || m.Anonymous || slices.Contains(before.list("mounts"), item) {
			continue
		}
		if v, ok := e.volumes.Find(m.Source); !ok || !v.May(by.UID) {
			return fail("set", c.ID, NeedsRoot,
				"the container %s is user %d's, so you may give it volumes of your own, which are there, and no others, and %s is none", c.Name, c.UID, m.Source)
		}
	}
	return nil
}
