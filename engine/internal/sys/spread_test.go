package sys

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Where the file system knows the flag it is set, and the others stay.
func TestSpread(t *testing.T) {
	path := t.TempDir()
	dir, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	read := func() int {
		flags, err := unix.IoctlGetInt(int(dir.Fd()), unix.FS_IOC_GETFLAGS)
		if err != nil {
			t.Skip("the file system has no flags:", err)
		}
		return flags
	}
	before := read()
	for range 2 {
		if err := Spread(path); err != nil {
			t.Skip("the file system does not know this flag:", err)
		}
		if got := read(); got != before|topDir {
			t.Fatalf("flags %x, want %x", got, before|topDir)
		}
	}
	if err := Spread(path + "/nosuch"); !os.IsNotExist(err) {
		t.Errorf("what is not there: %v", err)
	}
}
