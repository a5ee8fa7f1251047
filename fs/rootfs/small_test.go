package rootfs

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// image makes a tree that never changes, of files of the sizes of which some are small.
func image(t *testing.T) (l *lender, shown string, tree *Tree, files map[string][]byte) {
	t.Helper()
	needRoot(t)
	l = &lender{dir: t.TempDir(), readOnly: true}
	random := rand.NewChaCha8([32]byte{2})
	files = map[string][]byte{}
	check(t, os.Mkdir(filepath.Join(l.dir, "dir"), 0o755))
	for _, size := range []int{0, 1, 4095, 4097, 20000, maxSmall - 1, maxSmall, maxSmall + 1} {
		b := make([]byte, size)
		_, _ = random.Read(b)
		name := fmt.Sprint("dir/", size)
		files[name] = b
		check(t, os.WriteFile(filepath.Join(l.dir, name), b, 0o644))
	}
	at, trees := mount(t, map[string]*lender{"image": l})
	return l, filepath.Join(at, "image"), trees["image"], files
}

// TestSmallFilesAreTold reads files a first time and again: small ones come with the answer to the open.
func TestSmallFilesAreTold(t *testing.T) {
	l, shown, _, files := image(t)
	for range 2 {
		for name, want := range files {
			if got, err := os.ReadFile(filepath.Join(shown, name)); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
		}
	}
	for name, b := range files {
		if known := l.node(t, name).known.Load(); known != (len(b) <= maxSmall) {
			t.Errorf("%s was told: %v", name, known)
		}
	}
	sh(t, shown, "cp -r dir "+t.TempDir()+"/copy && cmp dir/20000 "+l.dir+"/dir/20000")
}

// TestWhatTheKernelForgot reads files and a directory that the kernel is thought to have, and has not.
func TestWhatTheKernelForgot(t *testing.T) {
	l, shown, tree, files := image(t)
	for name, want := range files {
		if _, err := os.Lstat(filepath.Join(shown, name)); err != nil {
			t.Fatal(err)
		}
		l.node(t, name).known.Store(true)
		if got, err := os.ReadFile(filepath.Join(shown, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	l.node(t, "dir").known.Store(true)
	list, err := os.ReadDir(filepath.Join(shown, "dir"))
	if err != nil || len(list) != len(files) {
		t.Errorf("a listing of %d files: %v, %v", len(files), list, err)
	}
	for _, e := range list {
		if _, ok := files["dir/"+e.Name()]; !ok {
			t.Errorf("an entry %q", e.Name())
		}
	}

	// One that is opened, and not yet here, when the tree is closed.
	check(t, os.WriteFile(filepath.Join(l.dir, "last"), []byte("x"), 0o644))
	if _, err := os.Lstat(filepath.Join(shown, "last")); err != nil {
		t.Fatal(err)
	}
	l.node(t, "last").known.Store(true)
	f, err := os.Open(filepath.Join(shown, "last"))
	check(t, err)
	defer f.Close()
	tree.Close()
	if _, err := f.Read(make([]byte, 1)); !errors.Is(err, syscall.ESTALE) {
		t.Errorf("reading what went: %v", err)
	}
}
