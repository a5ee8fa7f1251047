// Package need skips tests where the machine lacks what they need. Where it must lack nothing, as in CI, which sets
// HULL_TEST_PRIVILEGED to 1, they fail.
package need

import (
	"os"
	"testing"
)

// Everything tells that the machine must lack nothing.
func Everything() bool { return os.Getenv("HULL_TEST_PRIVILEGED") == "1" }

// Lacking skips a test for want of something.
func Lacking(t testing.TB, what string) {
	t.Helper()
	if Everything() {
		t.Fatalf("needs %s, and HULL_TEST_PRIVILEGED says that it must run", what)
	}
	t.Skip("needs " + what)
}

// Root skips a test without root's rights; what is what it does with them.
func Root(t testing.TB, what string) {
	t.Helper()
	if os.Geteuid() != 0 {
		Lacking(t, "root: "+what)
	}
}

// Mount skips a test that cannot mount a FUSE file system.
func Mount(t testing.TB) {
	t.Helper()
	Root(t, "it mounts")
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		Lacking(t, "/dev/fuse: "+err.Error())
	}
	f.Close()
}
