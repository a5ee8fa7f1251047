package unpack

import (
	"archive/tar"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hull/layers/internal/sys"
)

const (
	// opaqueXattr on a directory hides what the layers below have in it.
	opaqueXattr = "trusted.overlay.opaque"
	// originXattr, even empty, makes overlay filter whiteouts out of the listing
	// of a directory that no other layer has; see whiteout.
	originXattr = "trusted.overlay.origin"

	paxXattr = "SCHILY.xattr."

	// maxTime is the latest second that ext4 keeps (the year 2446); XFS ends in
	// 2486 and tmpfs never.
	maxTime = 1<<34 - 1<<31 - 1

	// maxID is the highest owner: 2³²-1 means "unchanged" to the kernel.
	maxID = 1<<32 - 2
)

var yes = []byte("y")

// attributes are what a file has beside its content.
type attributes struct {
	uid, gid uint32
	mode     uint32 // permissions with set-user-ID, set-group-ID and sticky
	times    [2]unix.Timespec
	xattrs   []xattr // of the allowed ones, sorted
}

type xattr struct {
	name  string
	value []byte
}

// attributesOf takes an entry's attributes from its header.
func attributesOf(h *tar.Header) (attributes, error) {
	if h.Uid < 0 || int64(h.Uid) > maxID || h.Gid < 0 || int64(h.Gid) > maxID {
		return attributes{}, corrupt(h.Name, "no file can have the owner %d:%d", h.Uid, h.Gid)
	}
	mtime := timespec(h.ModTime)
	a := attributes{uid: uint32(h.Uid), gid: uint32(h.Gid), mode: uint32(h.Mode & 0o7777)}
	a.times = [2]unix.Timespec{mtime, mtime}
	if !h.AccessTime.IsZero() {
		a.times[0] = timespec(h.AccessTime)
	}
	for key, value := range h.PAXRecords {
		name, ok := strings.CutPrefix(key, paxXattr)
		if !ok {
			continue
		}
		keep, err := allowed(name)
		if err != nil {
			return attributes{}, err
		}
		if keep {
			a.xattrs = append(a.xattrs, xattr{name, []byte(value)})
		}
	}
	sort.Slice(a.xattrs, func(i, j int) bool { return a.xattrs[i].name < a.xattrs[j].name })
	return a, nil
}

// timespec keeps a time within what file systems keep; before 1970 is 1970, as
// with Docker.
func timespec(t time.Time) unix.Timespec {
	sec := t.Unix()
	switch {
	case sec < 0:
		return unix.Timespec{}
	case sec > maxTime:
		return unix.Timespec{Sec: maxTime}
	}
	return unix.Timespec{Sec: sec, Nsec: int64(t.Nanosecond())}
}

// allowed says whether an image may set an attribute. Those of overlay would
// speak to the kernel in our name; others but the two kinds that belong to a
// container are left out, as the host's policy gives files those (labels, ACLs).
func allowed(name string) (bool, error) {
	switch {
	case strings.HasPrefix(name, "trusted.overlay."), strings.HasPrefix(name, "user.overlay."):
		return false, hostile("", "the attribute %q is overlay's own", name)
	case strings.IndexByte(name, 0) >= 0:
		return false, corrupt("", "the name of an attribute holds a NUL byte")
	}
	return name == "security.capability" || strings.HasPrefix(name, "user.") && len(name) > len("user."), nil
}

// set gives the open file its attributes, except times.
func (a *attributes) set(fd sys.FD, has made) error {
	if !has.owner {
		if err := fd.Fchown(a.uid, a.gid); err != nil {
			return err
		}
	}
	if !has.mode {
		if err := fd.Fchmod(a.mode); err != nil { // after: a change of owner clears set-user-ID
			return err
		}
	}
	for _, x := range a.xattrs { // after: a change of owner drops file capabilities
		if err := setXattr(fd, x); err != nil {
			return err
		}
	}
	return nil
}

// made is what a new file has from its making already.
type made struct{ owner, mode bool }

// complete gives a file that is written its attributes, the times last.
func (a *attributes) complete(fd sys.FD, has made) error {
	if err := a.set(fd, has); err != nil {
		return err
	}
	return fd.Futimes(&a.times)
}

func setXattr(fd sys.FD, x xattr) error {
	err := fd.Setxattr(x.name, x.value)
	switch {
	case err == nil:
		return nil
	case x.name == "security.capability" && errors.Is(err, unix.EINVAL):
		return corrupt("", "its file capabilities are malformed")
	case errors.Is(err, unix.E2BIG), errors.Is(err, unix.ERANGE):
		return tooLarge("", "the attribute %q has %d bytes", x.name, len(x.value))
	case errors.Is(err, unix.ENOSPC) && len(x.value) > 2048 && !full(fd):
		// ext4 says so of attributes that do not fit into one block.
		return &Error{Kind: System, Err: fmt.Errorf("the store's file system has no room for the %d bytes of attribute %q in one file", len(x.value), x.name)}
	}
	return fmt.Errorf("setting the attribute %q: %w", x.name, err)
}

// mark sets one of the attributes by which overlay and hull know directories.
func mark(fd sys.FD, name string, value []byte) error {
	err := fd.Setxattr(name, value)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPERM) {
		return fmt.Errorf("the store's file system does not keep the attribute %q, which overlay needs (ext4, xfs and btrfs do): %w", name, err)
	}
	return err
}

// full says whether the file system really has no room.
func full(fd sys.FD) bool {
	var st unix.Statfs_t
	return unix.Fstatfs(int(fd), &st) == nil && (st.Bfree < 16 || st.Files > 0 && st.Ffree == 0)
}

// clearXattrs removes what an earlier entry of the same name set.
func clearXattrs(fd sys.FD) error {
	names, err := fd.Listxattr()
	if err != nil {
		return err
	}
	for _, name := range names {
		if keep, err := allowed(name); err == nil && keep {
			if err := fd.Removexattr(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// attributesIn reads them from a file of a layer below.
func attributesIn(fd sys.FD) (attributes, error) {
	var st unix.Stat_t
	if err := fd.Stat(&st); err != nil {
		return attributes{}, err
	}
	a := attributesFrom(&st)
	names, err := fd.Listxattr()
	if err != nil {
		return a, err
	}
	for _, name := range names {
		if keep, err := allowed(name); err != nil || !keep {
			continue
		}
		value, ok, err := fd.Getxattr(name)
		if err != nil {
			return a, err
		}
		if ok {
			a.xattrs = append(a.xattrs, xattr{name, value})
		}
	}
	return a, nil
}

func attributesFrom(st *unix.Stat_t) attributes {
	return attributes{uid: st.Uid, gid: st.Gid, mode: st.Mode & 0o7777, times: [2]unix.Timespec{st.Atim, st.Mtim}}
}
