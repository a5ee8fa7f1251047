package pack

import (
	"archive/tar"
	"time"

	"golang.org/x/sys/unix"

	"hull/layers/internal/sys"
)

// nobody is the owner of what is outside of a container's range of ids.
const nobody = 65534

// header writes an entry's header. set fills in what is special about it.
func (p *packer) header(name string, kind byte, st *unix.Stat_t, xattrs map[string]string, set func(*tar.Header)) error {
	if p.entries++; p.entries > p.o.Limits.Entries {
		return tooLarge("", "there are more than %d files", p.o.Limits.Entries)
	}
	h := &tar.Header{
		Typeflag: kind, Name: name, Mode: int64(st.Mode & 0o7777),
		Uid: p.owner(st.Uid), Gid: p.owner(st.Gid),
		ModTime: time.Unix(st.Mtim.Sec, st.Mtim.Nsec), PAXRecords: xattrs,
		Format: tar.FormatPAX, // the one that keeps any name, owner, size and attribute
	}
	set(h)
	return p.tar.WriteHeader(h)
}

func (p *packer) owner(id uint32) int {
	switch {
	case p.o.Base == 0:
		return int(id)
	case id >= p.o.Base && id-p.o.Base < p.o.Size:
		return int(id - p.o.Base)
	}
	return nobody
}

// directoryEntry writes the entry of an open directory; the root's path is "".
func (p *packer) directoryEntry(fd sys.FD, path string) error {
	var st unix.Stat_t
	if err := fd.Stat(&st); err != nil {
		return err
	}
	a, err := p.attributes(fd, path)
	if err != nil {
		return err
	}
	prefix := path + "/"
	if path == "" {
		prefix = "./"
	}
	if err := p.header(prefix, tar.TypeDir, &st, a.records, func(*tar.Header) {}); err != nil {
		return err
	}
	if !a.opaque {
		return nil
	}
	if path == "" {
		prefix = ""
	}
	return p.hide(prefix + opaqueName)
}

// whiteout writes that a file of the layers below is gone.
func (p *packer) whiteout(path, name string) error {
	if !p.layer {
		return nil
	}
	return p.hide(path[:len(path)-len(name)] + whiteoutPrefix + name)
}

// hide writes an entry that is only its name. Overlay shares one inode among its
// whiteouts, so that owner and time of it say nothing.
func (p *packer) hide(name string) error {
	return p.header(name, tar.TypeReg, &unix.Stat_t{Mode: 0o600}, nil, func(*tar.Header) {})
}

// special writes what has no content: symbolic links, devices, fifos.
func (p *packer) special(path, target string) error {
	st := p.stat
	if done, err := p.linked(path, &st); done || err != nil {
		return err
	}
	kinds := map[uint32]byte{
		unix.S_IFLNK: tar.TypeSymlink, unix.S_IFCHR: tar.TypeChar,
		unix.S_IFBLK: tar.TypeBlock, unix.S_IFIFO: tar.TypeFifo,
	}
	kind := kinds[st.Mode&unix.S_IFMT]
	return p.header(path, kind, &st, nil, func(h *tar.Header) {
		h.Linkname = target
		if kind == tar.TypeChar || kind == tar.TypeBlock {
			h.Devmajor, h.Devminor = int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
		}
	})
}

// regular writes a file and its content.
func (p *packer) regular(dir sys.FD, path, name string) error {
	// O_NONBLOCK, in case it has become a fifo, and O_NOCTTY for a terminal.
	fd, err := dir.Open(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer fd.Close()
	var st unix.Stat_t
	if err := fd.Stat(&st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return errChanged
	}
	if done, err := p.linked(path, &st); done || err != nil {
		return err
	}
	a, err := p.attributes(fd, path)
	if err != nil {
		return err
	}
	p.bytes += st.Size
	if p.bytes > p.o.Limits.Bytes { // before a sparse file's zeros are written
		return tooLarge(path, "it would take more than %d bytes", p.o.Limits.Bytes)
	}
	err = p.header(path, tar.TypeReg, &st, a.records, func(h *tar.Header) { h.Size = st.Size })
	if err != nil {
		return err
	}
	return failed(path, p.copy(fd, &st)) // whatever it is, half an entry has been written
}

// linked writes a hard link if the file has been packed under another name, and
// remembers it if more names are to come.
func (p *packer) linked(path string, st *unix.Stat_t) (done bool, err error) {
	if st.Nlink < 2 {
		return false, nil
	}
	key := inode{st.Dev, st.Ino}
	first, ok := p.links[key]
	if !ok {
		p.links[key] = &link{path, st.Nlink - 1}
		return false, p.note(len(path) + linkCost)
	}
	if first.left--; first.left == 0 {
		delete(p.links, key)
		p.noted -= len(first.path) + linkCost
	}
	return true, p.header(path, tar.TypeLink, st, nil, func(h *tar.Header) { h.Linkname = first.path })
}

// linkCost is what the table of links keeps for a file beside its path.
const linkCost = 96
