package engine

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{
		"web": true, "Web-1.x_y": true, "9": true, "a": true, "": false, ".web": false, "-x": false, "_x": false,
		"a/b": false, "a b": false, "wéb": false, "..": false, strings.Repeat("a", 200): true,
		strings.Repeat("a", 201): false, "deadbeefcafe": false, testID: false, "deadbeefcaf": true, "DEADBEEFCAFE": true,
	} {
		if err := checkName("create", name); (err == nil) != want {
			t.Errorf("%.20q: %v", name, err)
		}
	}
	taken := 0
	name := makeName(func(string) bool { taken++; return taken < 20 })
	if err := checkName("create", name); err != nil || !strings.Contains(name, "_") {
		t.Errorf("%q: %v", name, err)
	}
	if id := newID(); !isHex(id, 64) {
		t.Errorf("%q is no ID", id)
	}
}
