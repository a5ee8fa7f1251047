package fs

import (
	"fmt"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// setattr answers chmod, chown and touch. Times may be set and are not kept, as with a device's file; so may a mode or
// an owner that it has already, which is what cp -p and install mostly ask for. An editor's scratch file takes any.
func (e *entry) setattr(in *fuse.SetAttrIn) error {
	if e.row.kind == scratchRow {
		return nil
	}
	if m, ok := in.GetMode(); ok && m&0o7777 != e.mode() {
		return fail(Forbidden, "chmod", e.path(), fmt.Sprintf("Cannot change the mode of %s: the tree gives it %04o.", e.path(), e.mode()))
	}
	var a fuse.Attr
	e.attrSized(&a, 0)
	uid, u := in.GetUID()
	gid, g := in.GetGID()
	if u && uid != a.Uid || g && gid != a.Gid {
		return fail(Forbidden, "chown", e.path(), fmt.Sprintf("Cannot change the owner of %s: it is %d, group %d.", e.path(), a.Uid, a.Gid))
	}
	return nil
}
