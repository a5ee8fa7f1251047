package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"reflect"
	"strconv"
	"strings"
)

// AllSettings stands in Get and Set for all settings at once, as one JSON object.
const AllSettings = "json"

// setDocument replaces all settings by those of a document, or none if one is bad. What the document does not name is
// reset; what it leaves as it is keeps the form in which it was written, comments and units included.
func (e *Engine) setDocument(ctx context.Context, id, text string) error {
	raw, err := ParseSettingsJSON([]byte(text))
	if err != nil {
		return err
	}
	maps.DeleteFunc(raw, func(_, value string) bool { return value == "" })
	return e.ask(ctx, "set", id, func(s *supervisor, answer func(error)) {
		answer(s.change(kept(s.rec.Settings, raw)))
	})
}

// kept gives the settings of which the value stays the same their old form.
func kept(old, raw map[string]string) map[string]string {
	all := maps.Clone(raw)
	for _, row := range table() {
		if before, ok := old[row.Name]; ok && row.same(before, raw[row.Name]) {
			all[row.Name] = before
		}
	}
	return all
}

// same tells whether two raw values, which parse, mean the same.
func (s Setting) same(a, b string) bool {
	if a == b {
		return true
	}
	x, errX := s.Parse(a)
	y, errY := s.Parse(b)
	return errX == nil && errY == nil && reflect.DeepEqual(x, y)
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

// ParseSettingsJSON reads such a document into raw values, for New.
func ParseSettingsJSON(data []byte) (map[string]string, error) {
	var doc map[string]any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	err := d.Decode(&doc)
	if _, end := d.Token(); err != nil || doc == nil || !errors.Is(end, io.EOF) {
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
		switch s.Type {
		case Number, Decimal, Size:
			return v.String(), nil
		case Reference, Text, Bool, Words, Lines, Document:
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
