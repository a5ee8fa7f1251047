package sys

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Where the file system knows the flag it is set, and the others stay; where it does not, it says so.
func TestSpread(t *testing.T) {
	path := t.TempDir()
	dir, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	before, none := unix.IoctlGetInt(int(dir.Fd()), unix.FS_IOC_GETFLAGS)
	for range 2 {
		want := before | topDir
		if err := Spread(path); err != nil {
			if !errors.Is(err, unix.ENOTTY) && !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EINVAL) {
				t.Errorf("it is not that the file system does not know it: %v", err)
			}
			want = before
		}
		got, err := unix.IoctlGetInt(int(dir.Fd()), unix.FS_IOC_GETFLAGS)
		if !errors.Is(err, none) || none == nil && got != want {
			t.Fatalf("flags %x, %v; want %x, %v", got, err, want, none)
		}
	}
	if err := Spread(path + "/nosuch"); !os.IsNotExist(err) {
		t.Errorf("what is not there: %v", err)
	}
}
