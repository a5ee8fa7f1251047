package engine

import (
	"context"
	"errors"
	"maps"
	"strings"
)

// checkSettings parses raw values and checks that the owner may have them, in place of those before; an image's name must
// be one to the store too.
func (e *Engine) checkSettings(owner Owner, raw map[string]string, before values) (values, error) {
	set, err := parseSettings(raw)
	if err != nil {
		return nil, err
	}
	if name := set.text("image"); name != "" {
		if _, err := e.o.Roots.Parse(name); err != nil {
			return nil, &Error{Op: "set", Kind: Invalid, Err: err}
		}
	}
	if word := set.text("platform"); word != "" {
		if err := e.o.Roots.Platform(word); err != nil {
			return nil, &Error{Op: "set", Kind: Invalid, Err: err}
		}
	}
	if err := errorsJoin(errorsJoin(set.consistent(), set.possible(before)), set.checkMounts()); err != nil {
		return nil, err
	}
	if err := mayHave(owner, set); err != nil {
		return nil, err
	}
	if err := e.mayNetwork(owner, set); err != nil {
		return nil, err
	}
	return set, e.mayMount(owner, set)
}

// mayHave checks settings against the container's owner, whose rights it acts with.
func mayHave(owner Owner, set values) error {
	if setting := exceeds(owner, set); setting != "" {
		return fail("set", "", NeedsRoot, "this value of the setting %s is for containers that root owns, and this is user %d's", setting, owner.UID)
	}
	return nil
}

// Get answers a setting exactly as it was written, empty if it was not. AllSettings stands for all of them.
func (e *Engine) Get(id, setting string) (string, error) {
	s, err := e.lookup("get", id)
	if err != nil {
		return "", err
	}
	if setting == AllSettings {
		return string(s.snapshot.Load().SettingsJSON()), nil
	}
	if _, ok := FindSetting(setting); !ok {
		return "", fail("get", s.id, NotFound, "there is no setting %q", clip(setting))
	}
	return s.snapshot.Load().Settings[setting], nil
}

// Set gives a setting a value; an empty one resets it. A bad one leaves the old value. AllSettings stands for all of them,
// and must not be empty.
func (e *Engine) Set(ctx context.Context, id, setting, value string) error {
	if setting == AllSettings {
		return e.setDocument(ctx, id, value)
	}
	return e.ask(ctx, "set", id, func(s *supervisor, answer func(error)) {
		row, ok := FindSetting(setting)
		if !ok {
			answer(fail("set", s.id, NotFound, "there is no setting %q", clip(setting)))
			return
		}
		if _, err := row.Parse(value); err != nil {
			answer(err)
			return
		}
		raw := maps.Clone(s.rec.Settings)
		if delete(raw, setting); value != "" {
			raw[setting] = value
		}
		answer(s.change(raw))
	})
}

// change gives the container other settings.
func (s *supervisor) change(raw map[string]string) error {
	if maps.Equal(raw, s.rec.Settings) {
		return nil
	}
	if s.st.State == Dead {
		return fail("set", s.id, Invalid, "the container %s is dead: %s", s.rec.Name, s.st.Error)
	}
	set, err := s.e.checkSettings(s.rec.Owner, raw, s.set)
	if err != nil {
		return err
	}
	for _, row := range table() {
		if row.Once && s.onceOnly() && !row.same(raw[row.Name], s.rec.Settings[row.Name]) {
			return fail("set", s.id, Busy,
				"the setting %s of a container that has been started cannot change before echo recreate > ctl, which takes its files away and gives it the image's", row.Name)
		}
	}
	rec := *s.rec
	rec.Settings = raw
	before, was := s.rec.Image, s.rec.Settings
	rec.Stopped = (s.st.Stopped || s.rec.Stopped) && !set.restart().none() // it may have been stopped when it had no policy
	if raw["image"] != was["image"] || raw["platform"] != was["platform"] {
		if rec.Image, err = s.imageNow(set); err != nil {
			return err
		}
	}
	var stray []string
	if s.run == nil { // else they are in use
		stray = s.strayPlaces(set.networking())
		rec.Endpoints = without(rec.Endpoints, stray)
	}
	bounds := s.set.bounds()
	undo, err := s.applyLimits(set)
	if err == nil {
		if err = s.keep(&rec, set); err != nil {
			undo()
		}
	}
	if err != nil {
		s.swapHold(rec.Image, before)
		return err
	}
	s.swapHold(before, rec.Image)
	s.release(stray)
	s.watchOOM()
	if s.set.bounds() != bounds {
		s.boundLog()
	}
	if rec.Image != before {
		s.view.forget() // it shows the other image's files
	}
	s.e.crash(settingWritten)
	s.policyChanged()
	s.publish()
	s.say(actUpdate, "settings", changed(was, raw))
	return nil
}

// changed are the names of the settings that are not as before.
func changed(was, is map[string]string) string {
	var names []string
	for _, row := range table() {
		if was[row.Name] != is[row.Name] {
			names = append(names, row.Name)
		}
	}
	return strings.Join(names, ",")
}

// onceOnly tells whether it is too late for the settings that are fixed by the first start.
func (s *supervisor) onceOnly() bool { return s.rec.Started || s.st.State == Waiting }

// imageNow finds and holds an image if it is there now; nil if it has to be looked for at the start.
func (s *supervisor) imageNow(set values) (*Image, error) {
	if set.text("image") == "" {
		return nil, nil
	}
	image, err := s.e.image(set)
	if err != nil {
		if errors.Is(err, ErrPulling) || KindOf(err) == NotFound {
			return nil, nil
		}
		return nil, err
	}
	return image, s.e.o.Roots.Hold(image.ID, s.id)
}

// swapHold releases an image that another (or none) takes the place of.
func (s *supervisor) swapHold(from, to *Image) {
	if from != nil && (to == nil || from.ID != to.ID) {
		s.e.o.Roots.Release(from.ID, s.id)
	}
}

// rename is Rename.
func (s *supervisor) rename(name string) error {
	old := s.rec.Name
	if name == old {
		return nil
	}
	if err := checkName("rename", name); err != nil {
		return err
	}
	if s.st.State == Dead {
		return fail("rename", s.id, Invalid, "the container %s is dead: %s", old, s.st.Error)
	}
	if !s.e.index.reserve(name) {
		return fail("rename", s.id, Exists, "there is a container %s already", name)
	}
	rec := *s.rec
	rec.Name = name
	if err := s.keep(&rec, s.set); err != nil {
		s.e.index.unreserve(name)
		return err
	}
	s.e.crash(renameWritten)
	s.publish()
	s.e.index.move(s, old, name)
	if s.run != nil {
		s.tellNames()
	}
	s.say(actRename, "oldName", old)
	return nil
}
