package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A container may leave a tree deeper than any path, with names that are anything; the deletion needs neither paths
// nor recursion.
func TestDeleteTree(t *testing.T) {
	top := filepath.Join(t.TempDir(), "x")
	if err := os.Mkdir(top, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".up-1", "a\nb", "link", "full"} {
		switch name {
		case "link":
			if err := os.Symlink("/", filepath.Join(top, name)); err != nil {
				t.Fatal(err)
			}
		default:
			if err := os.MkdirAll(filepath.Join(top, name, "sub", "sub"), 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range 3000 { // more than one listing
		if err := os.WriteFile(filepath.Join(top, "full", strconv.Itoa(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := unix.Open(top, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 3000 {
		name := strings.Repeat("d", 100)
		if err := unix.Mkdirat(dir, name, 0o700); err != nil {
			t.Fatal(err)
		}
		down, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(dir)
		dir = down
	}
	unix.Close(dir)
	if err := deleteTree(t.Context(), top); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(top); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	if err := deleteTree(t.Context(), top); err != nil {
		t.Errorf("what is gone is no error: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := os.MkdirAll(filepath.Join(top, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	_ = deleteTree(ctx, top) // may stop at once; the next one ends it
	if err := deleteTree(t.Context(), top); err != nil {
		t.Error(err)
	}
}
