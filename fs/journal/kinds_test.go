package journal

import (
	"flag"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write EVENTS.md anew")

func TestDocument(t *testing.T) {
	const name = "../EVENTS.md"
	if *update {
		if err := os.WriteFile(name, Document(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != string(Document()) {
		t.Error("EVENTS.md is not what kinds.go says: make generate")
	}
}

// Every field of a line is described, in the order it has there.
func TestFields(t *testing.T) {
	var have, want []string
	for _, f := range Fields() {
		want = append(want, f.Name)
	}
	e := reflect.TypeFor[Event]()
	for i := range e.NumField() {
		name, _, _ := strings.Cut(e.Field(i).Tag.Get("json"), ",")
		have = append(have, name)
	}
	if !slices.Equal(have, want) {
		t.Errorf("a line has %q, described are %q", have, want)
	}
}
