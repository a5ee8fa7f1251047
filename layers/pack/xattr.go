package pack

import (
	"encoding/binary"
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"hull/layers/internal/sys"
)

const (
	paxXattr       = "SCHILY.xattr."
	overlayXattr   = "trusted.overlay."
	capabilityName = "security.capability"

	// maxXattrs is what is packed of one file: readers in Go refuse headers of more
	// than a MiB, and XFS lets a container set any number of 64 KiB each.
	maxXattrs = 900 << 10
)

// attributes are a file's extended attributes, as far as they matter.
type attributes struct {
	records map[string]string // PAX records of those that are packed
	opaque  bool              // a directory that hides what the layers below have in it
}

// attributes reads those of an open file or directory.
func (p *packer) attributes(fd sys.FD, path string) (a attributes, err error) {
	names, err := fd.Listxattr()
	if err != nil {
		return a, err
	}
	size := 0
	for _, name := range names {
		if p.layer && strings.HasPrefix(name, overlayXattr) {
			if err := a.overlay(fd, path, name); err != nil {
				return a, err
			}
			continue
		}
		if !allowed(name) {
			continue
		}
		value, ok, err := fd.Getxattr(name)
		if err != nil && !errors.Is(err, unix.EOVERFLOW) { // a capability of a namespace that is not ours
			return a, err
		}
		if !ok {
			continue
		}
		if name == capabilityName {
			value = p.capability(value)
		}
		if size += len(name) + len(value); size > maxXattrs {
			return a, tooLarge(path, "its attributes take more than %d KiB", maxXattrs>>10)
		}
		if a.records == nil {
			a.records = map[string]string{}
		}
		a.records[paxXattr+name] = string(value)
	}
	return a, nil
}

// allowed says whether an attribute is the container's own: those that unpacking a
// layer sets, too. A name with "=" cannot stand in a PAX record.
func allowed(name string) bool {
	if name == capabilityName {
		return true
	}
	return strings.HasPrefix(name, "user.") && len(name) > len("user.") &&
		!strings.HasPrefix(name, "user.overlay.") && !strings.Contains(name, "=")
}

// overlay reads overlay's notes on a file of an upper directory.
func (a *attributes) overlay(fd sys.FD, path, name string) error {
	switch name {
	case overlayXattr + "opaque":
		value, _, err := fd.Getxattr(name)
		a.opaque = string(value) == "y" // "x" is another matter: whiteouts that are files
		return err
	case overlayXattr + "redirect", overlayXattr + "metacopy":
		return unsupported(path, "a part of it is still in the layers below (%s)", name)
	}
	return nil
}

// The two forms of file capabilities: vfs_ns_cap_data is vfs_cap_data with the user
// id, at its end, that is root in the namespace where they count.
const (
	capabilityRevision = 0xff000000
	capability2        = 0x02000000
	capability3        = 0x03000000
	capability2Size    = 20
	capability3Size    = 24
)

// capability turns file capabilities that count for the container's root into the
// form that an image has them in. (Where the container's root is 0 on disk, the
// kernel has done so already.)
func (p *packer) capability(value []byte) []byte {
	if p.o.Base == 0 || len(value) != capability3Size {
		return value
	}
	magic := binary.LittleEndian.Uint32(value)
	if magic&capabilityRevision != capability3 || binary.LittleEndian.Uint32(value[capability2Size:]) != p.o.Base {
		return value
	}
	short := append([]byte(nil), value[:capability2Size]...)
	binary.LittleEndian.PutUint32(short, magic&^capabilityRevision|capability2)
	return short
}
