package tests

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tree is everything of a directory, by path: what each file is, as one line of
// "key=value" fields.
type tree map[string]fields

type fields struct {
	kind, mode, owner, size, mtime, rdev, target, xattrs, content, linked string
}

func (f fields) String() string {
	if f == (fields{}) {
		return "not there"
	}
	var b strings.Builder
	for _, p := range [][2]string{
		{"", f.kind},
		{"mode=", f.mode},
		{"owner=", f.owner},
		{"size=", f.size},
		{"mtime=", f.mtime},
		{"rdev=", f.rdev},
		{"-> ", f.target},
		{"xattrs=", f.xattrs},
		{"sha256=", f.content},
		{"same file as ", f.linked},
	} {
		if p[1] != "" {
			b.WriteString(" " + p[0] + p[1])
		}
	}
	return b.String()[1:]
}

// treeOf reads a directory. The time and mode of its top are not the tree's
// business where no layer has an entry for it: the comparison says so.
func treeOf(t testing.TB, root string) tree {
	t.Helper()
	out := tree{}
	x := &attributes{}
	first := map[[2]uint64]string{} // by device and inode
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return fmt.Errorf("%q: %w", path, err)
		}
		f := fields{
			kind: kinds[st.Mode&unix.S_IFMT], mode: fmt.Sprintf("%04o", st.Mode&0o7777), owner: fmt.Sprintf("%d:%d", st.Uid, st.Gid),
			mtime: fmt.Sprintf("%d.%09d", st.Mtim.Sec, st.Mtim.Nsec),
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			f.size = fmt.Sprint(st.Size)
			f.content, err = sumOf(path)
		case unix.S_IFLNK:
			f.target, err = os.Readlink(path)
		case unix.S_IFCHR, unix.S_IFBLK:
			f.rdev = fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
		}
		if err == nil {
			f.xattrs, err = x.of(path)
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			key := [2]uint64{st.Dev, st.Ino}
			if f.linked = first[key]; f.linked == "" {
				first[key] = rel
			}
		}
		out[rel] = f
		return err
	})
	if err != nil {
		t.Fatalf("listing %s: %v", root, err)
	}
	return out
}

var kinds = map[uint32]string{
	unix.S_IFREG: "file", unix.S_IFDIR: "directory", unix.S_IFLNK: "link", unix.S_IFIFO: "fifo",
	unix.S_IFCHR: "character-device", unix.S_IFBLK: "block-device", unix.S_IFSOCK: "socket",
}

func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)[:8]), err
}

// attributes reads extended attributes: all but overlay's own, and hull's mark on a
// root that no layer had an entry for, which nobody but the host's root sees.
type attributes struct{ names, value [64 << 10]byte }

func (a *attributes) of(path string) (string, error) {
	n, err := unix.Llistxattr(path, a.names[:])
	if errors.Is(err, unix.ENOTSUP) || n == 0 {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var out []string
	for name := range strings.SplitSeq(string(a.names[:n-1]), "\x00") {
		if strings.HasPrefix(name, "trusted.overlay.") || strings.HasPrefix(name, "trusted.hull.") {
			continue
		}
		n, err := unix.Lgetxattr(path, name, a.value[:])
		if err != nil {
			return "", fmt.Errorf("%q of %q: %w", name, path, err)
		}
		out = append(out, fmt.Sprintf("%s:%x", name, a.value[:n]))
	}
	slices.Sort(out)
	return strings.Join(out, ","), nil
}

// begun is before anything is unpacked of the images to be compared.
var begun = time.Now()

// recent says whether the file's time is of the test's own run.
func (f *fields) recent() bool {
	sec, nsec, _ := strings.Cut(f.mtime, ".")
	s, err1 := strconv.ParseInt(sec, 10, 64)
	n, err2 := strconv.ParseInt(nsec, 10, 64)
	at := time.Unix(s, n) // by a clock of the kernel's that is a few milliseconds late
	return err1 == nil && err2 == nil && at.After(begun.Add(-50*time.Millisecond)) && at.Before(time.Now())
}

// exception says what is not compared of some files, and why.
type exception struct {
	why    string
	paths  string // separated by blanks
	forget func(f *fields)
}

// sameTree compares two trees entry by entry, but for the exceptions.
//
// A directory that no layer has an entry for has no time that anyone could agree on:
// hull gives it that of the layers below, or 1970, others the time of their own work.
// So where theirs is from after the test has begun, times of directories are not
// compared; hull's own never are, as undated holds.
func sameTree(t *testing.T, ours, theirs tree, exceptions ...exception) {
	t.Helper()
	if len(ours) < 2 {
		t.Error("there is nothing to compare")
	}
	paths := map[string]bool{}
	for p := range ours {
		paths[p] = true
	}
	for p := range theirs {
		paths[p] = true
	}
	differ := 0
	for _, p := range slices.Sorted(maps.Keys(paths)) {
		a, b := ours[p], theirs[p]
		if b.kind == "directory" && b.recent() {
			a.mtime, b.mtime = "", ""
		}
		for _, e := range exceptions {
			if slices.Contains(strings.Fields(e.paths), p) {
				e.forget(&a)
				e.forget(&b)
			}
		}
		if a == b {
			continue
		}
		if differ++; differ > 20 {
			continue
		}
		t.Errorf("%q differs:\n  hull: %s\n  them: %s", p, a, b)
	}
	if differ > 20 {
		t.Errorf("%d entries of %d differ", differ, len(paths))
	}
}

// undated holds that no file has the time of its unpacking.
func undated(t *testing.T, ours tree) {
	t.Helper()
	for p, f := range ours {
		if f.recent() {
			t.Errorf("%q has the time of its unpacking: %s", p, f)
		}
	}
}
