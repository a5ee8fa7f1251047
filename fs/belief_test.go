package fs_test

import (
	"log/slog"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"hull/fs"
	"hull/fs/fstest"
	"hull/fs/journal"
)

// TestBelief is what the kernel may take for granted of what it has looked up: of names that come and go, nothing.
func TestBelief(t *testing.T) {
	tree := unmounted(t)
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

// TestBeliefInListings is what the kernel is told with a listing: for a moment what the containers are, and of everything
// else no more than the names.
func TestBeliefInListings(t *testing.T) {
	raw := unmounted(t).Filesystem()
	var all fuse.EntryOut
	if status := raw.Lookup(nil, &fuse.InHeader{NodeId: fuse.FUSE_ROOT_ID}, "containers", &all); !status.Ok() {
		t.Fatal(status)
	}
	web := told(t, raw, all.NodeId)["web"]
	if web.NodeId == 0 || web.EntryTimeout() <= 0 || web.AttrTimeout() <= 0 || web.EntryTimeout() > time.Second || web.AttrTimeout() > time.Second {
		t.Errorf("a listing of containers tells of one: %+v", web)
	}
	for _, dir := range []uint64{fuse.FUSE_ROOT_ID, web.NodeId} {
		entries := told(t, raw, dir)
		if len(entries) < 10 {
			t.Errorf("a listing of node %d has %d entries", dir, len(entries))
		}
		for name, out := range entries {
			if out.NodeId != 0 {
				t.Errorf("a listing tells of %s", name)
			}
		}
	}
}

// told are the entries of a directory with what a listing tells of them.
func told(t *testing.T, raw fuse.RawFileSystem, dir uint64) map[string]fuse.EntryOut {
	t.Helper()
	at := fuse.InHeader{NodeId: dir}
	var open fuse.OpenOut
	if status := raw.OpenDir(nil, &fuse.OpenIn{InHeader: at}, &open); !status.Ok() {
		t.Fatal(status)
	}
	defer raw.ReleaseDir(&fuse.ReleaseIn{InHeader: at, Fh: open.Fh})
	room := make([]byte, 64<<10)
	if status := raw.ReadDirPlus(nil, &fuse.ReadIn{InHeader: at, Fh: open.Fh, Size: uint32(len(room))}, fuse.NewDirEntryList(room, 0)); !status.Ok() {
		t.Fatal(status)
	}
	entries := map[string]fuse.EntryOut{}
	list, outs, err := fuse.ParseDirLookupEntries(room)
	for err != nil && len(room) > 0 { // what was not written is entries without a name, and perhaps a part of one
		room = room[:len(room)-1]
		list, outs, err = fuse.ParseDirLookupEntries(room)
	}
	for i, e := range list {
		if e.Name != "" && e.Name != "." && e.Name != ".." {
			entries[e.Name] = outs[i]
		}
	}
	return entries
}

// unmounted is a tree without a mount, with a container web.
func unmounted(t *testing.T) *fs.Tree {
	t.Helper()
	f := fstest.New("alpine:3.20")
	j, err := journal.Open(t.TempDir(), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	tree, err := fs.New(t.Context(), fs.Options{
		Images: f.Images(), Containers: f.Containers(), Registries: f.Registries(), Layers: f.Layers(), Volumes: f.Volumes(), Networks: f.Networks(),
		Roots: f.Roots(), Host: f, Journal: j, Binary: "/usr/bin/hull", Group: -1, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tree.Close() })
	if _, err := f.Containers().Create(t.Context(), fs.NewContainer{Name: "web", Image: "alpine:3.20"}); err != nil {
		t.Fatal(err)
	}
	return tree
}

// TestVerbNodes: who executes a verb and then opens it, as its helper does, meets one file. Nobody else meets that, and
// nobody at all once it is open for writing: the kernel would not execute it (ETXTBSY).
func TestVerbNodes(t *testing.T) {
	raw := unmounted(t).Filesystem()
	at := uint64(fuse.FUSE_ROOT_ID)
	find := func(pid uint32, name string) uint64 {
		t.Helper()
		var out fuse.EntryOut
		h := fuse.InHeader{NodeId: at, Caller: fuse.Caller{Pid: pid}}
		if status := raw.Lookup(nil, &h, name, &out); !status.Ok() {
			t.Fatalf("look up %s: %v", name, status)
		}
		return out.NodeId
	}
	for _, name := range []string{"containers", "web", "exec"} {
		at = find(1, name)
	}
	first := find(100, "sh")
	if again := find(100, "sh"); again != first {
		t.Error("the same thread meets another file")
	}
	if other := find(101, "sh"); other == first {
		t.Error("another thread meets the same file")
	}
	if other := find(100, "true"); other == first {
		t.Error("two verbs are one file")
	}
	if a, b := find(0, "sh"), find(0, "sh"); a == b {
		t.Error("who cannot be told from others meets the same file")
	}
	if again := find(100, "sh"); again != first {
		t.Error("the same thread meets another file after others have looked")
	}
	var out fuse.OpenOut
	// That no session can be had here does not matter.
	raw.Open(nil, &fuse.OpenIn{InHeader: fuse.InHeader{NodeId: first}, Flags: syscall.O_RDWR | syscall.O_NONBLOCK}, &out)
	if again := find(100, "sh"); again == first {
		t.Error("a file that was opened for writing is met again")
	}
	// What is remembered has an end.
	first = find(100, "sh")
	for pid := range uint32(100) {
		find(1000+pid, "sh")
	}
	if again := find(100, "sh"); again == first {
		t.Error("a hundred look-ups later it is remembered still")
	}
}
