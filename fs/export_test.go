package fs

import (
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
)

// Trim trims now.
func (t *Tree) Trim() syscall.Errno { return t.trim() }

// Nodes counts the nodes that go-fuse holds.
func (t *Tree) Nodes() int {
	n := 0
	var walk func(d *fusefs.Inode)
	walk = func(d *fusefs.Inode) {
		for _, c := range d.Children() {
			n++
			walk(c)
		}
	}
	walk(&t.top.Load().Inode)
	return n
}

// Filesystem is the tree as the kernel meets it, without a mount.
func (t *Tree) Filesystem() fuse.RawFileSystem { return t.filesystem() }

// Columns aligns rows.
func Columns(head []string, rows [][]string) string {
	c := newColumns(head...)
	for _, r := range rows {
		c.add(r...)
	}
	return string(c.text())
}

// QuietNow takes it that nobody has looked anything up for a while.
func (t *Tree) QuietNow() {
	t.trimmer.mu.Lock()
	t.trimmer.seen = t.trimmer.made.Load()
	t.trimmer.mu.Unlock()
	t.quiet()
}
