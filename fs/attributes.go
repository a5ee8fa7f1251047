package fs

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/hanwen/go-fuse/v2/fuse"

	"hull/fs/journal"
)

// setattr answers chmod, chown and touch. Modes and owners are kept; times may be set and are not kept, as with a
// device's file. An editor's scratch file takes anything and keeps nothing: it is what it is renamed onto that counts.
func (e *entry) setattr(ctx context.Context, in *fuse.SetAttrIn) error {
	if e.row.kind == scratchRow {
		return nil
	}
	by, _ := By(ctx)
	uid, u := in.GetUID()
	gid, g := in.GetGID()
	m, c := in.GetMode()
	u, g, c = u && uid != e.owner(), g && gid != e.group(), c && m&0o7777 != e.mode()
	switch {
	case u && !by.Root():
		return fail(Forbidden, "chown", e.path(), fmt.Sprintf("Only root may give %s to another user.", e.path()))
	case (g || c) && !e.yours(by):
		return fail(Forbidden, "chmod", e.path(), fmt.Sprintf("Only the owner of %s and root may change who may use it.", e.path()))
	case g && !by.Root() && !by.In(gid):
		return fail(Forbidden, "chown", e.path(), fmt.Sprintf("You are not in the group %d, so you cannot give %s to it.", gid, e.path()))
	case c && m&0o7000 != 0:
		return fail(Forbidden, "chmod", e.path(), fmt.Sprintf("The set-user-ID, set-group-ID and sticky bits mean nothing in the tree: %s cannot have them.", e.path()))
	}
	if u {
		if err := e.chown(ctx, uid); err != nil {
			return err
		}
	}
	if !g && !c {
		if u {
			e.accessChanged(by, &uid, nil, nil)
		}
		return nil
	}
	err := e.t.access.set(e.accessKey(), func(p *permissions) {
		if g {
			p.GID = &gid
		}
		if c {
			m &= 0o777
			p.Mode = &m
		}
	})
	if err == nil {
		e.accessChanged(by, pick(u, &uid), pick(g, &gid), pick(c, &m))
	}
	return err
}

func pick(is bool, v *uint32) *uint32 {
	if is {
		return v
	}
	return nil
}

// accessChanged tells that others may do something now, or may not. nil is what has not changed.
func (e *entry) accessChanged(by Credential, owner, group, mode *uint32) {
	if e.obj.kind == containerObject && e.rel == "" {
		e.t.calledBack(e.obj.id, strings.TrimPrefix(e.label(), "containers/"))
	}
	ev := journal.Event{
		Type: "access", Action: "chown", Object: e.path(), UID: &by.UID, Cause: "request", Owner: e.owner(), Extra: map[string]string{},
	}
	if mode != nil {
		ev.Action, ev.Extra["mode"] = "chmod", fmt.Sprintf("%04o", *mode)
	}
	if owner != nil {
		ev.Extra["owner"] = strconv.FormatUint(uint64(*owner), 10)
	}
	if group != nil {
		ev.Extra["group"] = strconv.FormatUint(uint64(*group), 10)
	}
	e.t.event(ev)
}

// yours tells whether somebody may say who else may use the entry: root and its owner. Whose login an image was pulled
// with may read it, and that is all.
func (e *entry) yours(by Credential) bool {
	return by.Root() || by.UID == e.given() && by.UID == e.owner()
}

// chown gives the entry to a user. With a container's, volume's or network's directory it gives that.
func (e *entry) chown(ctx context.Context, uid uint32) error {
	k := e.accessKey()
	if k.Path != "" || e.obj.kind == noObject {
		own := e.inherited()
		return e.t.access.set(k, func(p *permissions) {
			if p.UID = &uid; uid == own {
				p.UID = nil
			}
		})
	}
	return e.t.within(ctx, "chown", e.path(), func(ctx context.Context) error { return e.give(ctx, k, uid) })
}

// give gives the entry's object to a user.
func (e *entry) give(ctx context.Context, k accessKey, uid uint32) error {
	var err error
	switch e.obj.kind {
	case containerObject:
		err = e.t.Containers.Chown(ctx, e.obj.id, uid)
	case volumeObject:
		err = e.t.Volumes.Chown(ctx, e.obj.id, uid)
	case networkObject:
		err = e.t.Networks.Chown(ctx, e.obj.id, uid)
	case noObject, imageObject, registryObject, layerObject:
		err = e.t.access.set(k, func(p *permissions) { p.UID = &uid })
	}
	if err != nil {
		return err
	}
	return e.t.access.given(k.Object, uid)
}

// accessKey is what the entry is called in what chown and chmod have set.
func (e *entry) accessKey() accessKey { return accessKey{e.obj.key(), e.rel} }

// top is that of the entry's object's directory.
func (e *entry) top() accessKey { return accessKey{e.obj.key(), ""} }

// permitted is what chown and chmod have set of the entry, permittedTop what they have of its object's directory. Mostly it is
// nothing at all, and then no key is made to find that out: ls -l asks five times of each container.
func (e *entry) permitted() permissions {
	if !e.t.access.any.Load() {
		return permissions{}
	}
	return e.t.access.get(e.accessKey())
}

func (e *entry) permittedTop() permissions {
	if !e.t.access.any.Load() {
		return permissions{}
	}
	return e.t.access.get(e.top())
}

// owner is the uid the entry belongs to.
func (e *entry) owner() uint32 {
	if e.row.kind == passthroughRow {
		return 0 // owners shown inside are the container's ids, and nobody else's business
	}
	if p := e.permitted(); p.UID != nil {
		return *p.UID
	}
	if given := e.inherited(); given != 0 {
		return given
	}
	if i := e.private(); i != nil && e.row.kind.shows() {
		return i.Reader
	}
	return 0
}

// given is the uid that the entry was given to, or its object.
func (e *entry) given() uint32 {
	if p := e.permitted(); p.UID != nil {
		return *p.UID
	}
	return e.inherited()
}

// inherited is the uid that the entry's object belongs to.
func (e *entry) inherited() uint32 {
	switch e.obj.kind {
	case containerObject:
		if c, ok := e.t.Containers.Find(e.obj.id); ok {
			return c.Owner
		}
	case volumeObject:
		if v, err := e.volume(); err == nil {
			return v.Owner
		}
	case networkObject:
		if n, err := e.network(); err == nil {
			return n.Owner
		}
	case imageObject, registryObject, layerObject:
		if p := e.permittedTop(); p.UID != nil {
			return *p.UID
		}
	case noObject:
	}
	return 0
}

// group is the gid the entry belongs to: the one that it or its object was given, else the one that has the controls.
func (e *entry) group() uint32 {
	if e.row.kind != passthroughRow {
		if p := e.permitted(); p.GID != nil {
			return *p.GID
		}
		if e.obj.kind != noObject {
			if p := e.permittedTop(); p.GID != nil {
				return *p.GID
			}
		}
	}
	return uint32(max(0, e.t.Group))
}

// reaches tells that the entry's container reaches beyond itself with its owner's rights: who may act inside it has them.
func (e *entry) reaches() bool {
	if e.obj.kind != containerObject {
		return false
	}
	c, err := e.container()
	return err != nil || c.Reaches
}

// mode is the permission bits: those that were set, else the row's, with the group's. Of an image that was pulled with a
// login, all that shows something is its puller's, to read and no more; others see its name. Of a container that acts on
// the host with its owner's rights, the group has not what would give it these.
func (e *entry) mode() uint32 {
	if p := e.permitted(); p.Mode != nil && e.row.kind != passthroughRow {
		return *p.Mode
	}
	m := e.row.mode
	if e.row.group && e.t.Group >= 0 && !(e.row.inside && e.reaches()) {
		m |= m & 0o700 >> 3
	}
	if i := e.private(); i != nil && e.row.kind != linkRow {
		m &^= 0o007
		if e.row.kind.shows() && i.Reader != 0 {
			m &^= 0o200
		}
	}
	return m
}
