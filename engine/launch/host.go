package launch

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"os/user"
	"strconv"
	"strings"

	"hull/engine/child"
	"hull/engine/plan"
)

// HostPath is a path of the host, and as whom it is opened.
type HostPath struct {
	Path     string
	UID, GID uint32
}

// OpenHost opens a path of the host with a user's rights, to mount what is
// there. A process of its own does so: whatever file system the path leads to
// (hull's own, one of a server that is gone) can keep that one waiting, and
// ctx ends it.
func (l *Launcher) OpenHost(ctx context.Context, h HostPath) (*os.File, error) {
	groups := []uint32{h.GID}
	if h.UID != 0 {
		groups = append(groups, hostGroups(h.UID)...)
	}
	p, err := l.spawn(child.Options{}) // our own child, whoever owns the others
	if err != nil {
		return nil, err
	}
	defer p.Close()
	defer p.Abort()
	err = p.stub.Send(ctx, plan.Compile(plan.OpenHost(h.Path, h.UID, h.GID, unique(groups))))
	var f *os.File
	if err == nil {
		f, err = p.stub.Await(ctx)
	}
	if err == nil && f == nil {
		err = fmt.Errorf("nothing was opened at %s", h.Path)
	}
	return f, explain(ctx, err, nil, "")
}

// hostGroups are the groups that the host's own files put a user into.
func hostGroups(uid uint32) []uint32 {
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return nil // a number without a name is in no group
	}
	ids, err := u.GroupIds()
	if err != nil {
		return nil
	}
	var groups []uint32
	for _, id := range ids {
		if n, err := strconv.ParseUint(id, 10, 32); err == nil {
			groups = append(groups, uint32(n))
		}
	}
	return groups
}

// OwnerUsers makes a user namespace for the mounts of a user's files in a
// container of that range: on disk they are the user's, in the container root's,
// and the user's subordinate ids are the container's other users'.
func (l *Launcher) OwnerUsers(ctx context.Context, r IDRange, uid, gid uint32) (*os.File, error) {
	name := ""
	if u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10)); err == nil {
		name = u.Username
	}
	return l.usersOf(ctx, ownerMap("/etc/subuid", r, uid, name, uid), ownerMap("/etc/subgid", r, uid, name, gid))
}

// ownerMap is the map of a user namespace: first the owner's id on disk, then
// the subordinate ids that a file gives to the user. The kernel takes 340 lines.
func ownerMap(file string, r IDRange, uid uint32, name string, id uint32) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d %d 1\n", id, r.First)
	next, left := uint64(r.First)+1, uint64(r.Size)-1
	content, _ := os.ReadFile(file) // without one there are none
	lines := bufio.NewScanner(bytes.NewReader(content))
	for n := 0; lines.Scan() && left > 0 && n < 100; {
		f := strings.Split(lines.Text(), ":")
		if len(f) != 3 || f[0] != strconv.FormatUint(uint64(uid), 10) && (name == "" || f[0] != name) {
			continue
		}
		start, err1 := strconv.ParseUint(f[1], 10, 32)
		count, err2 := strconv.ParseUint(f[2], 10, 32)
		if err1 != nil || err2 != nil || count == 0 || start+count > math.MaxUint32 || uint64(id) >= start && uint64(id) < start+count {
			continue
		}
		count = min(count, left)
		fmt.Fprintf(&b, "%d %d %d\n", start, next, count)
		next, left, n = next+count, left-count, n+1
	}
	return b.Bytes()
}
