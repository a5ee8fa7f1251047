package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strconv"
	"strings"
)

// checkSettings parses raw values and checks that the owner may have them; an image's name must be one to the store too.
func (e *Engine) checkSettings(owner Owner, raw map[string]string) (values, error) {
	set, err := parseSettings(raw)
	if err != nil {
		return nil, err
	}
	if name := set.text("image"); name != "" {
		if _, err := e.o.Roots.Parse(name); err != nil {
			return nil, &Error{Op: "set", Kind: Invalid, Err: err}
		}
	}
	return set, mayHave(owner, set)
}

// mayHave checks settings against the container's owner, whose rights it acts with.
func mayHave(owner Owner, set values) error {
	if owner.Root() {
		return nil
	}
	for _, row := range table() {
		if v, ok := set[row.Name]; ok && row.Root != nil && row.Root(v) {
			return fail("set", "", NeedsRoot, "this value of the setting %s is for containers that root owns, and this is user %d's", row.Name, owner.UID)
		}
	}
	return nil
}

// Get answers a setting exactly as it was written, empty if it was not.
func (e *Engine) Get(id, setting string) (string, error) {
	s, err := e.lookup("get", id)
	if err != nil {
		return "", err
	}
	if _, ok := FindSetting(setting); !ok {
		return "", fail("get", s.id, NotFound, "there is no setting %q", clip(setting))
	}
	return s.snapshot.Load().Settings[setting], nil
}

// Set gives a setting a value; an empty one resets it. A bad one leaves the old value.
func (e *Engine) Set(ctx context.Context, id, setting, value string) error {
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

// SetAll replaces all settings, or none if one is bad.
func (e *Engine) SetAll(ctx context.Context, id string, settings map[string]string) error {
	raw := maps.Clone(settings)
	maps.DeleteFunc(raw, func(_, value string) bool { return value == "" })
	if raw == nil {
		raw = map[string]string{}
	}
	return e.ask(ctx, "set", id, func(s *supervisor, answer func(error)) { answer(s.change(raw)) })
}

// change gives the container other settings.
func (s *supervisor) change(raw map[string]string) error {
	if maps.Equal(raw, s.rec.Settings) {
		return nil
	}
	if s.st.State == Dead {
		return fail("set", s.id, Invalid, "the container %s is dead: %s", s.rec.Name, s.st.Error)
	}
	set, err := s.e.checkSettings(s.rec.Owner, raw)
	if err != nil {
		return err
	}
	for _, row := range table() {
		if row.Once && s.onceOnly() && strings.TrimSpace(raw[row.Name]) != strings.TrimSpace(s.rec.Settings[row.Name]) {
			return fail("set", s.id, Busy,
				"the setting %s of a container that has been started cannot change; make another container", row.Name)
		}
	}
	rec := *s.rec
	rec.Settings = raw
	before := s.rec.Image
	if raw["image"] != s.rec.Settings["image"] {
		if rec.Image, err = s.imageNow(set.text("image")); err != nil {
			return err
		}
	}
	if err := s.keep(&rec, set); err != nil {
		s.swapHold(rec.Image, before)
		return err
	}
	s.swapHold(before, rec.Image)
	if rec.Image != before {
		s.view.forget() // it shows the other image's files
	}
	s.e.crash(settingWritten)
	s.publish()
	s.say("update")
	return nil
}

// onceOnly tells whether it is too late for the settings that are fixed by the first start.
func (s *supervisor) onceOnly() bool { return s.rec.Started || s.st.State == Waiting }

// imageNow finds and holds an image if it is there now; nil if it has to be looked for at the start.
func (s *supervisor) imageNow(name string) (*Image, error) {
	if name == "" {
		return nil, nil
	}
	image, err := s.e.o.Roots.Image(s.e.ctx, name)
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
	s.say("rename", "oldName", old)
	return nil
}

// SettingsJSON answers the settings as one document, typed, those that are set.
func (c *Container) SettingsJSON() []byte {
	doc := map[string]any{}
	for _, row := range table() {
		if v, err := row.Parse(c.Settings[row.Name]); err == nil && v != nil {
			doc[row.JSON] = row.toJSON(v)
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return nil
	}
	return b.Bytes()
}

// ParseSettingsJSON reads such a document into raw values, for SetAll or New.
func ParseSettingsJSON(data []byte) (map[string]string, error) {
	doc := map[string]any{}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&doc); err != nil || d.More() {
		return nil, fail("set", "", Invalid, "the settings are not one JSON object")
	}
	raw := map[string]string{}
	for _, row := range table() {
		v, ok := doc[row.JSON]
		delete(doc, row.JSON)
		if !ok || v == nil {
			continue
		}
		text, err := row.fromJSON(v)
		if err != nil {
			return nil, row.invalid(err)
		}
		raw[row.Name] = asLines(text)
	}
	for name := range doc {
		return nil, fail("set", "", Invalid, "there is no setting %q", clip(name))
	}
	return raw, nil
}

// toJSON is a parsed value as it stands in a document.
func (s Setting) toJSON(v any) any {
	if text, ok := v.(string); ok && s.Type == Document && strings.HasPrefix(text, "{") {
		return json.RawMessage(text)
	}
	return v
}

// fromJSON writes a JSON value as the setting's file has it. Strings are taken for every type.
func (s Setting) fromJSON(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case bool:
		if s.Type == Bool {
			return strconv.FormatBool(v), nil
		}
	case json.Number:
		if s.Type == Number {
			return v.String(), nil
		}
	case map[string]any:
		if s.Type == Document {
			text, err := json.Marshal(v)
			return string(text), err
		}
	case []any:
		items := make([]string, 0, len(v))
		for _, item := range v {
			text, ok := item.(string)
			if !ok {
				return "", errors.New("its items must be strings")
			}
			items = append(items, text)
		}
		if s.Type == Words {
			return FormatWords(items), nil
		}
		if s.Type == Lines {
			return formatList(items), nil
		}
	}
	return "", errors.New("its JSON value has the wrong type for a " + string(s.Type))
}
