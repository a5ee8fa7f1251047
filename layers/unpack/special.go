package unpack

import (
	"archive/tar"

	"golang.org/x/sys/unix"
)

// symlink makes a symbolic link. Its target is only text.
func (u *unpacker) symlink(d *dir, base, target string, a attributes) error {
	switch {
	case target == "":
		return corrupt("", "a symbolic link without a target")
	case len(target) > maxPath:
		return tooLarge("", "the target of a symbolic link has %d bytes", len(target))
	}
	if err := u.room(int64(len(target))); err != nil { // the size that stat(2) gives it, and Docker counts
		return err
	}
	if err := u.creating(d, base, func() error { return d.fd.Symlink(target, base) }); err != nil {
		return err
	}
	if err := d.fd.Chown(base, a.uid, a.gid); err != nil {
		return err
	}
	return d.fd.Utimes(base, &a.times)
}

// node makes a device node or a fifo.
func (u *unpacker) node(d *dir, base string, h *tar.Header, a attributes) error {
	mode, dev := uint32(unix.S_IFIFO), uint64(0)
	if h.Typeflag != tar.TypeFifo {
		// 12 and 20 bits are what the kernel keeps of a device's number.
		if h.Devmajor < 0 || h.Devmajor >= 1<<12 || h.Devminor < 0 || h.Devminor >= 1<<20 {
			return corrupt("", "a device cannot have the number %d:%d", h.Devmajor, h.Devminor)
		}
		mode, dev = unix.S_IFBLK, unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor))
		if h.Typeflag == tar.TypeChar {
			mode = unix.S_IFCHR
			if dev == 0 {
				return hostile("", "the device 0:0 is overlay's own mark for a removed file")
			}
		}
	}
	return u.makeNode(d, base, mode, dev, a)
}

func (u *unpacker) makeNode(d *dir, base string, mode uint32, dev uint64, a attributes) error {
	err := u.creating(d, base, func() error { return d.fd.Mknod(base, mode|0o600, dev) })
	if err == nil {
		err = d.fd.Chown(base, a.uid, a.gid)
	}
	if err == nil {
		err = d.fd.Chmod(base, a.mode)
	}
	if err != nil {
		return err
	}
	return d.fd.Utimes(base, &a.times)
}
