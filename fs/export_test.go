package fs

import "syscall"

// Trim trims now.
func (t *Tree) Trim() syscall.Errno { return t.trim() }

// Nodes counts the nodes that go-fuse holds.
func (t *Tree) Nodes() int {
	n := 0
	var walk func(d *directory)
	walk = func(d *directory) {
		for _, c := range d.Children() {
			n++
			if sub, ok := c.Operations().(*directory); ok {
				walk(sub)
			}
		}
	}
	walk(t.top.Load())
	return n
}
