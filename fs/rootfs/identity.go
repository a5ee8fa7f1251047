package rootfs

import (
	"hash/fnv"
	"sync"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"golang.org/x/sys/unix"
)

// place is what tells one file of a view from every other: where it lies. The mount counts, because a directory that is
// bound at two places must be two inodes here.
type place struct{ dev, mount, ino uint64 }

func placeOf(st *unix.Statx_t) place {
	return place{unix.Mkdev(st.Dev_major, st.Dev_minor), st.Mnt_id, st.Ino}
}

// from gives the place as seen from the view's top. Device and mount are numbered anew each time a tree is mounted;
// for what lies on the top's own mount they do not count, so that it stays the same when the view comes back.
func (p place) from(home place) place {
	return place{p.dev ^ home.dev, p.mount ^ home.mount, p.ino}
}

// stat fills in st for name in the directory fd, or for fd itself if name is empty, without following links.
func stat(fd int, name string, st *unix.Statx_t) error {
	flags := unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
	if name == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	return unix.Statx(fd, name, flags, unix.STATX_BASIC_STATS|unix.STATX_MNT_ID, st)
}

// seedOf makes the number that begins all inode numbers of a tree.
func seedOf(id string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	return mix(h.Sum64(), uint64(len(id)))
}

// mix makes one number of two (splitmix64's finish). 0, 1 and the highest have meanings to go-fuse.
func mix(a, b uint64) uint64 {
	x := a*0x9e3779b97f4a7c15 ^ b
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	if x <= 1 || x == ^uint64(0) {
		return 2
	}
	return x
}

// number gives the inode number of a file in a directory. A file is the same under all its names, so that hard links
// show. A directory and a symbolic link are others under another parent: see the package's comment.
func (p place) number(seed, parent uint64, kind uint32) uint64 {
	n := mix(mix(seed^p.dev, p.mount), p.ino)
	if kind == unix.S_IFDIR || kind == unix.S_IFLNK {
		n = mix(parent, n)
	}
	return n
}

// maxMoved bounds how many moves are remembered.
const maxMoved = 1 << 16

// identities remembers which directories and links were moved here, through the kernel's own tree: whatever comes to lie
// in the old place never gets the old inode. A directory keeps it in the new place, for those who stand in it; a link,
// which shows something else there, does not.
type identities struct {
	mu    sync.Mutex
	moved map[uint64]fusefs.StableAttr
	last  uint64
	floor uint64 // generation of those not in moved
}

// of gives the identity of what has the inode number n.
func (i *identities) of(n uint64, kind uint32) fusefs.StableAttr {
	i.mu.Lock()
	defer i.mu.Unlock()
	if a, ok := i.moved[n]; ok && a.Mode == kind {
		return a
	}
	return fusefs.StableAttr{Mode: kind, Ino: n, Gen: i.floor}
}

// move records that the inode a, whose number was was, lies where the number would be n from now on.
func (i *identities) move(was uint64, a fusefs.StableAttr, n uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.moved == nil || len(i.moved) >= maxMoved {
		// Forgetting a move must not give its inode to another file: all are new from here on.
		i.moved = map[uint64]fusefs.StableAttr{}
		i.last++
		i.floor = i.last
	}
	i.last++
	i.moved[was] = fusefs.StableAttr{Mode: a.Mode, Ino: was, Gen: i.last}
	if a.Mode == unix.S_IFDIR {
		i.moved[n] = a
	}
}
