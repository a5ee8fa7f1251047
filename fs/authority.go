package fs

import (
	"strings"
	"syscall"

	"hull/fs/session"
)

// May tells whether a credential may do something with what is at a path of the tree: "containers" to make a
// container, "images/redis:7/run". It is the question the kernel and the tree ask of each open, for those who serve
// sessions: the directories on the way count, too.
func (t *Tree) May(by Credential, path string, op Operation) error {
	e, err := t.follow(path, func(d *entry) error { return may(by, d, Search) })
	if err != nil {
		return err
	}
	return may(by, e, op)
}

// VerbPath is where in the tree the file of a verb stands, for May. Every name of an image has a colon, a container's ID
// has none.
func VerbPath(v session.Verb) string {
	switch {
	case v.Object == "":
		return v.Name
	case v.Kind == "login" || v.Kind == "search" || v.Kind == "tags":
		return "registries/" + v.Object + "/" + v.Name
	case strings.Contains(v.Object, ":"):
		return "images/" + v.Object + "/" + v.Name
	case v.Kind == "exec":
		return "containers/" + v.Object + "/exec/" + v.Name
	}
	return "containers/" + v.Object + "/" + v.Name
}

// Owner is the uid that what is at a path belongs to; root's if nothing is there.
func (t *Tree) Owner(path string) uint32 {
	e, err := t.resolve(path)
	if err != nil {
		return 0
	}
	return e.owner()
}

// Failed gives the failure of a session's call its three faces and returns its errno. path is what it was about:
// "run", "containers/web", "images/redis:7"; it need not exist.
func (t *Tree) Failed(by Credential, op, path string, err error) syscall.Errno {
	if err == nil {
		return 0
	}
	var o object
	if e, err := t.resolve(path); err == nil {
		o = e.obj
	}
	return t.record(op, o, path, by, true, err)
}

// Succeeded empties the error of the object at a path.
func (t *Tree) Succeeded(path string) {
	if e, err := t.resolve(path); err == nil && e.obj.kind != noObject {
		t.succeeded(e)
	}
}

// resolve follows a path from the root.
func (t *Tree) resolve(path string) (*entry, error) {
	return t.follow(path, func(*entry) error { return nil })
}

// follow follows a path from the root through directories that let it pass.
func (t *Tree) follow(path string, pass func(directory *entry) error) (*entry, error) {
	e := &entry{t: t, row: t.table, key: "/"}
	for _, name := range strings.Split(strings.Trim(path, "/"), "/") {
		if name == "" {
			continue
		}
		if err := pass(e); err != nil {
			return nil, err
		}
		var next *entry
		var err error
		if e.row.kind.directory() && e.row.kind != passthroughRow {
			next, err = e.place().find(t.ctx, name)
		}
		if err != nil || next == nil {
			return nil, absent("look up", strings.TrimPrefix(e.path(), "/"), name, err)
		}
		e = next
	}
	return e, nil
}
