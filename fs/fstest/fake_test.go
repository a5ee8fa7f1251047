package fstest

import (
	"testing"

	"hull/fs"
)

func TestFake(t *testing.T) {
	f := New("redis:7")
	b := Backend{
		Images: f.Images(), Containers: f.Containers(), Reference: "redis:7", Missing: "nosuch:1", Other: "other:1",
		BadSetting: [2]string{"tty", "perhaps\n"}, Setting: [2]string{"env", "A=1\nB=2\n"},
	}
	Images(t, b)
	Containers(t, b)
	Networks(t, f.Networks(), fs.Credential{UID: 1001})
}
