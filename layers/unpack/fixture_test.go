package unpack

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hull/layers/internal/sys"
	"hull/tests/need"
)

// when is the time of entries that do not say another.
var when = time.Unix(1_600_000_000, 123_000_000)

// entry makes headers: entry("f etc/passwd 0644 0:0", "content").
//
// The first word is the type (d, f, l symlink, h hard link, c, b, p), then the
// path, then mode, owner and target, each only where it is not the usual one.
type option func(*tar.Header)

func at(t time.Time) option     { return func(h *tar.Header) { h.ModTime = t } }
func mode(m int64) option       { return func(h *tar.Header) { h.Mode = m } }
func owner(uid, gid int) option { return func(h *tar.Header) { h.Uid, h.Gid = uid, gid } }
func numbers(major, minor int64) option {
	return func(h *tar.Header) { h.Devmajor, h.Devminor = major, minor }
}

func xattrOf(name, value string) option {
	return func(h *tar.Header) {
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords[paxXattr+name] = value
	}
}

type entry struct {
	header tar.Header
	body   string
}

func make1(kind byte, name, rest string, perm int64, options []option) entry {
	e := entry{header: tar.Header{Typeflag: kind, Name: name, Mode: perm, ModTime: when, Format: tar.FormatPAX}}
	if kind == tar.TypeReg {
		e.body = rest
		e.header.Size = int64(len(rest))
	} else {
		e.header.Linkname = rest
	}
	for _, o := range options {
		o(&e.header)
	}
	return e
}

func folder(name string, o ...option) entry { return make1(tar.TypeDir, name+"/", "", 0o755, o) }
func file(name, body string, o ...option) entry {
	return make1(tar.TypeReg, name, body, 0o644, o)
}

func link(name, target string, o ...option) entry {
	return make1(tar.TypeSymlink, name, target, 0o777, o)
}

func hard(name, target string, o ...option) entry { return make1(tar.TypeLink, name, target, 0o644, o) }
func char(name string, o ...option) entry         { return make1(tar.TypeChar, name, "", 0o600, o) }
func fifo(name string, o ...option) entry         { return make1(tar.TypeFifo, name, "", 0o600, o) }

// archive writes a layer.
func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if err := w.WriteHeader(&e.header); err != nil {
			t.Fatalf("%q: %v", e.header.Name, err)
		}
		if _, err := w.Write([]byte(e.body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// needRoot skips where the test cannot be run, and fails where it has to be.
func needRoot(t testing.TB) {
	t.Helper()
	need.Root(t, "it makes devices and sets owners")
}

// staging is an empty directory to unpack to.
func staging(t testing.TB) *os.File {
	t.Helper()
	f, err := sys.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// unpacked unpacks a layer that has to be good.
func unpacked(t testing.TB, o Options, layer []byte) (*os.File, Result) {
	t.Helper()
	dir := staging(t)
	res, err := Layer(context.Background(), bytes.NewReader(layer), dir, o)
	if err != nil {
		t.Fatalf("Layer: %v", err)
	}
	sum := sha256.Sum256(layer)
	if want := "sha256:" + hex.EncodeToString(sum[:]); res.DiffID != want {
		t.Errorf("diff ID %s, want %s", res.DiffID, want)
	}
	return dir, res
}

// tree describes a tree, a line for each file: "type path mode owner …".
func tree(t testing.TB, root *os.File) []string {
	t.Helper()
	var lines []string
	names := map[uint64]string{}
	err := filepath.WalkDir(root.Name(), func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		lines = append(lines, describe(t, root.Name(), path, names))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(lines)
	return lines
}

func describe(t testing.TB, root, path string, names map[uint64]string) string {
	t.Helper()
	rel, _ := filepath.Rel(root, path)
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	kind, more := "?", ""
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		kind = "d"
	case unix.S_IFREG:
		kind = "f"
		if first, ok := names[st.Ino]; ok {
			more = " = " + first
		} else {
			names[st.Ino] = rel
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(b)
			more = fmt.Sprintf(" %d %x", len(b), sum[:4])
			if len(b) < 40 {
				more = fmt.Sprintf(" %q", b)
			}
		}
	case unix.S_IFLNK:
		kind = "l"
		target, _ := os.Readlink(path)
		more = " -> " + target
	case unix.S_IFCHR:
		kind = fmt.Sprintf("c %d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
		if st.Rdev == 0 {
			return "gone " + rel
		}
	case unix.S_IFBLK:
		kind = fmt.Sprintf("b %d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	case unix.S_IFIFO:
		kind = "p"
	}
	line := fmt.Sprintf("%s %s %04o %d:%d %d.%03d%s", kind, rel, st.Mode&0o7777, st.Uid, st.Gid,
		st.Mtim.Sec, st.Mtim.Nsec/1e6, more)
	for _, name := range xattrsOf(t, path) {
		var buf [256]byte
		n, err := unix.Lgetxattr(path, name, buf[:])
		if err != nil {
			t.Fatal(err)
		}
		line += fmt.Sprintf(" %s=%q", name, buf[:n])
	}
	return line
}

func xattrsOf(t testing.TB, path string) []string {
	t.Helper()
	var buf [1024]byte
	n, err := unix.Llistxattr(path, buf[:])
	if err != nil && !errors.Is(err, unix.ENOTSUP) {
		t.Fatal(err)
	}
	var names []string
	for name := range strings.SplitSeq(string(buf[:max(n, 0)]), "\x00") {
		if name != "" && name != "security.selinux" {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

// want compares lines, without the root's own.
func want(t testing.TB, root *os.File, lines ...string) {
	t.Helper()
	var got []string
	for _, l := range tree(t, root) {
		if !strings.HasPrefix(l, "d . ") {
			got = append(got, l)
		}
	}
	sort.Strings(lines)
	if g, w := strings.Join(got, "\n"), strings.Join(lines, "\n"); g != w {
		t.Errorf("unpacked to\n%s\nwant\n%s", g, w)
	}
}
