package naming

import "testing"

func TestPlain(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "Web_1.x-y": true, "0": true, "9a": true,
		"": false, ".a": false, "-a": false, "_a": false, "a b": false, "a/b": false, "a\x00": false, "ä": false, "a\n": false,
	} {
		if Plain(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}
