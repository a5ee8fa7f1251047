package pack

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// meddler changes the tree at the first byte that is written, which is after the
// walk has listed the root and before it looks at most of it.
type meddler struct {
	bytes.Buffer
	meddle func() error
	err    error
}

func (m *meddler) Write(b []byte) (int, error) {
	if m.meddle != nil {
		m.err = m.meddle()
		m.meddle = nil
	}
	return m.Buffer.Write(b)
}

// TestMeddling packs a tree that changes under the walk. The first file is larger
// than all buffers, so that the meddling comes before the others are looked at.
func TestMeddling(t *testing.T) {
	for _, c := range []struct {
		name   string
		meddle func(dir, outside string) error
		want   []string // entries after the first file
	}{
		{"a directory becomes a link", func(d, out string) error {
			return errors.Join(os.RemoveAll(d+"/d"), os.Symlink(out, d+"/d"))
		}, []string{"d", "f", "p"}},
		{"a file becomes a link", func(d, out string) error {
			return errors.Join(os.Remove(d+"/f"), os.Symlink(out+"/secret", d+"/f"))
		}, []string{"d/", "d/x", "f", "p"}},
		{"a file becomes a fifo", func(d, _ string) error {
			return errors.Join(os.Remove(d+"/f"), unix.Mkfifo(d+"/f", 0o600))
		}, []string{"d/", "d/x", "f", "p"}},
		{"all vanishes", func(d, _ string) error {
			return errors.Join(os.RemoveAll(d+"/d"), os.Remove(d+"/f"), os.Remove(d+"/p"))
		}, nil},
		{"a file grows", func(d, _ string) error { return os.WriteFile(d+"/a", make([]byte, 3<<20), 0o600) }, []string{"d/", "d/x", "f", "p"}},
		{"a file shrinks", func(d, _ string) error { return os.Truncate(d+"/a", 600<<10) }, []string{"d/", "d/x", "f", "p"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, outside := t.TempDir(), t.TempDir()
			const size = 2 << 20
			must(t, os.WriteFile(dir+"/a", bytes.Repeat([]byte("x"), size), 0o600), os.Mkdir(dir+"/d", 0o700),
				os.WriteFile(dir+"/d/x", nil, 0o600), os.WriteFile(dir+"/f", []byte("f"), 0o600), unix.Mkfifo(dir+"/p", 0o600),
				os.WriteFile(outside+"/secret", []byte("not yours"), 0o600))
			m := &meddler{meddle: func() error { return c.meddle(dir, outside) }}
			_, err := Tree(t.Context(), m, root(t, dir), Options{})
			must(t, err, m.err)
			if bytes.Contains(m.Bytes(), []byte("not yours")) {
				t.Error("it holds what lies outside of the tree")
			}
			r := tar.NewReader(&m.Buffer)
			h, err := r.Next()
			must(t, err)
			if n, err := io.Copy(io.Discard, r); err != nil || n != size || h.Name != "a" {
				t.Errorf("%s has %d bytes, %v", h.Name, n, err)
			}
			var names []string
			for {
				h, err := r.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				must(t, err)
				names = append(names, h.Name)
				if h.Typeflag == tar.TypeReg && h.Name == "f" {
					if b, err := io.ReadAll(r); err != nil || string(b) != "f" {
						t.Errorf("f holds %q, %v", b, err)
					}
				}
			}
			compare(t, names, c.want)
		})
	}
}

// TestMounted: what is mounted in the tree is not the tree's.
func TestMounted(t *testing.T) {
	needRoot(t)
	dir, outside := t.TempDir(), t.TempDir()
	must(t, os.MkdirAll(dir+"/m", 0o750), os.WriteFile(outside+"/x", nil, 0o600))
	must(t, unix.Mount(outside, dir+"/m", "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unix.Unmount(dir+"/m", unix.MNT_DETACH)) })
	stream, _ := packed(t, Tree, dir, Options{})
	var names []string
	for r := tar.NewReader(bytes.NewReader(stream)); ; {
		h, err := r.Next()
		if err != nil {
			break
		}
		names = append(names, h.Name)
	}
	compare(t, names, []string{"m/"})
}
