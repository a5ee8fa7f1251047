package fs_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"hull/fs"
	"hull/fs/fstest"
	"hull/fs/journal"
)

// TestBelief is what the kernel may take for granted of what it has looked up: of names that come and go, nothing.
func TestBelief(t *testing.T) {
	f := fstest.New("alpine:3.20")
	j, err := journal.Open(t.TempDir(), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	tree, err := fs.New(t.Context(), fs.Options{
		Images: f.Images(), Containers: f.Containers(), Registries: f.Registries(), Layers: f.Layers(), Volumes: f.Volumes(),
		Roots: f.Roots(), Host: f, Journal: j, Binary: "/usr/bin/hull", Group: -1, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tree.Close() })
	if _, err := f.Containers().Create(t.Context(), fs.NewContainer{Name: "web", Image: "alpine:3.20"}); err != nil {
		t.Fatal(err)
	}
	raw := tree.Filesystem()
	at := uint64(fuse.FUSE_ROOT_ID)
	for _, c := range []struct {
		name   string
		lasts  bool
		parent bool // what follows is in there
	}{
		{"containers.txt", false, false},
		{"run", false, false},
		{"containers", true, true},
		{"web", false, true},
		{"status", false, false},
		{"config", true, false},
		{"exec", true, true},
		{"sh", false, false},
	} {
		var out fuse.EntryOut
		h := fuse.InHeader{NodeId: at}
		if status := raw.Lookup(nil, &h, c.name, &out); !status.Ok() {
			t.Fatalf("look up %s: %v", c.name, status)
		}
		if got := out.EntryTimeout() > 0; got != c.lasts {
			t.Errorf("%s lasts %v: %v, want %v", c.name, out.EntryTimeout(), got, c.lasts)
		}
		if out.AttrTimeout() > time.Second {
			t.Errorf("the attributes of %s are believed for %v: chmod and chown must show", c.name, out.AttrTimeout())
		}
		if c.parent {
			at = out.NodeId
		}
	}
}
