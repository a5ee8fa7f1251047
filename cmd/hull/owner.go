package main

import (
	"context"
	"os/user"
	"strconv"

	"hull/engine"
	"hull/fs"
)

// Chown gives a container to a user, with whose group, as the system's files have it, it acts as well.
func (c containers) Chown(ctx context.Context, id string, uid uint32) error {
	return c.failed(id, c.engine.Chown(ctx, id, engine.Owner{UID: uid, GID: groupOf(uid)}))
}

// nobodysGroup is the group of users that the system does not know: their number as a group's could be another's.
const nobodysGroup = 65534

// groupOf is a user's own group.
func groupOf(uid uint32) uint32 {
	if uid == 0 {
		return 0
	}
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return nobodysGroup
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nobodysGroup
	}
	return uint32(gid)
}

// Chown gives a volume to a user.
func (v volumes) Chown(ctx context.Context, name string, uid uint32) error {
	return fromEngine("volumes/"+name, v.engine.ChownVolume(ctx, name, engine.Owner{UID: uid, GID: groupOf(uid)}))
}

// mayGive tells why who asks may not give a container a setting: who has the controls of somebody's container would have
// that owner's rights by it.
func (c containers) mayGive(ctx context.Context, id, setting, value string) error {
	by, asked := fs.By(ctx)
	if !asked || by.Root() {
		return nil
	}
	return c.failed(id, c.engine.MayGive(id, engine.Owner{UID: by.UID, GID: by.GID}, setting, value))
}
