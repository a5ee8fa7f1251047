package fs

import "fmt"

// Operation is what somebody wants to do with an entry.
type Operation uint8

// The operations, and the permission bits they need.
const (
	Read    Operation = iota // r
	Write                    // w: a ctl, a setting
	Session                  // rwx: execute a verb file, or hold a session of it
	Change                   // wx: make, remove or rename something in a directory
)

var operations = [...]struct {
	bits uint32
	name string
}{
	Read:    {4, "read"},
	Write:   {2, "write"},
	Session: {7, "execute"},
	Change:  {3, "change"},
}

// may is the one place that decides what a credential may do: by the mode of the row, the owner of the object, and the
// group that has the controls. The kernel checks the same bits (default_permissions); sessions, which go over a socket,
// have only this.
func may(c Credential, e *entry, op Operation) error {
	if c.Root() {
		return nil
	}
	m := e.mode()
	switch {
	case c.UID == e.owner():
		m >>= 6
	case e.t.Group >= 0 && c.In(uint32(e.t.Group)) || e.t.Group < 0 && c.In(0):
		m >>= 3
	}
	o := operations[op]
	if m&o.bits == o.bits {
		return nil
	}
	if i := e.private(); i != nil && op == Read {
		return fail(Denied, o.name, e.path(), fmt.Sprintf("You may not read %s: the image was pulled with a login, so only who pulled it, root and the group of this hull may.", e.path()))
	}
	return fail(Denied, o.name, e.path(), fmt.Sprintf("You may not %s %s: it belongs to root%s.", o.name, e.path(), e.t.groupHint()))
}

func (t *Tree) groupHint() string {
	if t.Group >= 0 {
		return " and the group this hull was mounted for"
	}
	return "; mount hull with --group to give a group the controls"
}
