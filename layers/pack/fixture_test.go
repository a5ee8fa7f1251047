package pack

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hull/layers/internal/sys"
	"hull/tests/need"
)

// needRoot skips where the test cannot be run, and fails where it has to be.
func needRoot(t testing.TB) {
	t.Helper()
	need.Root(t, "it makes devices, owners and attributes of overlay")
}

// must ends the test at the first failure.
func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// stamp is the time that settle gives everything.
var stamp = unix.Timespec{Sec: 1_600_000_000, Nsec: 123_000_000}

// settle gives everything below dir one time, so that what is packed is known.
func settle(t testing.TB, dir string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		times := []unix.Timespec{stamp, stamp}
		return errors.Join(err, unix.UtimesNanoAt(unix.AT_FDCWD, path, times, unix.AT_SYMLINK_NOFOLLOW))
	}))
}

func root(t testing.TB, dir string) *os.File {
	t.Helper()
	f, err := sys.OpenRoot(dir)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

type packing func(context.Context, io.Writer, *os.File, Options) (Result, error)

// packed packs a directory that has to be good.
func packed(t testing.TB, pack packing, dir string, o Options) ([]byte, Result) {
	t.Helper()
	var b bytes.Buffer
	r, err := pack(t.Context(), &b, root(t, dir), o)
	must(t, err)
	sum := sha256.Sum256(b.Bytes())
	if want := "sha256:" + hex.EncodeToString(sum[:]); r.DiffID != want {
		t.Errorf("diff ID %s, want %s", r.DiffID, want)
	}
	if r.Size != int64(b.Len()) {
		t.Errorf("size %d, want %d", r.Size, b.Len())
	}
	return b.Bytes(), r
}

// lines describes a tar, an entry a line.
func lines(t testing.TB, stream []byte) []string {
	t.Helper()
	var list []string
	r := tar.NewReader(bytes.NewReader(stream))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list
		}
		must(t, err)
		body, err := io.ReadAll(r)
		must(t, err)
		line := fmt.Sprintf("%c %s %04o %d:%d", h.Typeflag, h.Name, h.Mode, h.Uid, h.Gid)
		if s := h.ModTime.UnixNano(); s != 0 {
			line += fmt.Sprintf(" %d.%03d", h.ModTime.Unix(), h.ModTime.Nanosecond()/1e6)
		}
		if h.Linkname != "" {
			line += " -> " + h.Linkname
		}
		if h.Devmajor != 0 || h.Devminor != 0 {
			line += fmt.Sprintf(" %d,%d", h.Devmajor, h.Devminor)
		}
		switch {
		case h.Size > 40:
			line += fmt.Sprintf(" %d", h.Size)
		case h.Size > 0:
			line += fmt.Sprintf(" %q", body)
		}
		var records []string
		for k, v := range h.PAXRecords {
			switch k {
			case "mtime", "path", "linkpath", "size", "uid", "gid":
			default:
				records = append(records, fmt.Sprintf("%s=%q", k, v))
			}
		}
		sort.Strings(records)
		if !h.AccessTime.IsZero() || !h.ChangeTime.IsZero() || h.Uname+h.Gname != "" {
			t.Errorf("%s: it tells %v %v %q %q", h.Name, h.AccessTime, h.ChangeTime, h.Uname, h.Gname)
		}
		list = append(list, strings.Join(append([]string{line}, records...), " "))
	}
}

func compare(t testing.TB, got, want []string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("packed to\n%s\nwant\n%s", g, w)
	}
}

// kindOf is the kind of an error, which has to be an *Error.
func kindOf(t testing.TB, err error) Kind {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%T is not an *Error: %v", err, err)
	}
	return e.Kind
}
