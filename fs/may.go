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
	Search                   // x: get at what is in a directory
)

var operations = [...]struct {
	bits uint32
	name string
}{
	Read:    {4, "read"},
	Write:   {2, "write"},
	Session: {7, "execute"},
	Change:  {3, "change"},
	Search:  {1, "look into"},
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
	case c.In(e.group()):
		m >>= 3
	}
	o := operations[op]
	if m&o.bits == o.bits {
		return nil
	}
	if i := e.private(); i != nil && op == Read {
		return fail(Denied, o.name, e.path(), fmt.Sprintf("You may not read %s: the image was pulled with a login, so only who pulled it, root and the group of this hull may.", e.path()))
	}
	return fail(Denied, o.name, e.path(), fmt.Sprintf("You may not %s %s: it belongs to %s.", o.name, e.path(), e.belongs()))
}

// belongs says whose the entry is, and what would have to be done for others to use it.
func (e *entry) belongs() string {
	owner := "root"
	if uid := e.owner(); uid != 0 {
		owner = fmt.Sprintf("user %d", uid)
	}
	switch {
	case e.row.inside && e.t.Group >= 0 && e.reaches():
		return owner + ", and its container has rights of its owner's on this host, which the group of this hull does not get"
	case e.group() != 0:
		return fmt.Sprintf("%s and the group %d", owner, e.group())
	}
	return owner + "; chown gives it to somebody, and mounting hull with --group gives a group the controls"
}
