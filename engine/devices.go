package engine

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"hull/engine/cgroup"
	"hull/engine/launch"
)

// maxDevices bounds what a directory of devices, or a list of them, may come to.
const maxDevices = 16384

// hostDevices are the devices that a container is given beside its own.
type hostDevices struct {
	nodes []launch.Device
	rules []cgroup.Device // what may be done with them
}

// devices looks at the host's devices that the settings name. Links lead to where they lead on the host: the setting is
// root's.
func (v values) devices() (hostDevices, error) {
	var found hostDevices
	for _, item := range v.list("devices") {
		d, err := parseDevice(item)
		if err == nil {
			err = found.add(d)
		}
		if err != nil {
			return found, fail("start", "", Invalid, "the device %s cannot be given to the container: %w", d.Host, err)
		}
	}
	if v.flag("privileged") {
		if err := found.addAll(); err != nil {
			return found, fail("start", "", System, "the host's devices cannot be listed: %w", err)
		}
	}
	return found, nil
}

// add adds a device, or all in a directory.
func (h *hostDevices) add(d device) error {
	real, err := filepath.EvalSymlinks(d.Host)
	if err != nil {
		return plainly(err)
	}
	before := len(h.nodes)
	err = filepath.WalkDir(real, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return plainly(err)
		}
		if e.Type()&fs.ModeDevice == 0 {
			return nil
		}
		return h.node(name, path.Join(d.Inside, strings.TrimPrefix(name, real)), d.Access)
	})
	if err == nil && len(h.nodes) == before {
		err = errors.New("it is no device, nor a directory of devices")
	}
	return err
}

// addAll adds what is in the host's /dev, less what a container has of its own.
func (h *hostDevices) addAll() error {
	own := strings.Fields("null zero full random urandom tty console ptmx")
	dirs := strings.Fields("pts shm mqueue fd")
	return filepath.WalkDir("/dev", func(name string, e fs.DirEntry, err error) error {
		below := strings.TrimPrefix(name, "/dev/")
		switch {
		case errors.Is(err, os.ErrNotExist):
			return nil // it has been unplugged
		case err != nil:
			return err
		case e.IsDir() && slices.Contains(dirs, below):
			return fs.SkipDir
		case e.Type()&fs.ModeDevice == 0, slices.Contains(own, below):
			return nil
		case slices.ContainsFunc(h.nodes, func(d launch.Device) bool { return d.Path == below }):
			return nil // the settings have put it there
		}
		err = h.node(name, name, "rwm")
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	})
}

// node adds one device.
func (h *hostDevices) node(host, inside, access string) error {
	var st unix.Stat_t
	if err := unix.Lstat(host, &st); err != nil {
		return &os.PathError{Op: "look at", Path: host, Err: err}
	}
	if len(h.nodes) == maxDevices {
		return errors.New("there are more devices than a container is given")
	}
	major, minor := unix.Major(st.Rdev), unix.Minor(st.Rdev)
	kind := byte('c')
	if st.Mode&unix.S_IFMT == unix.S_IFBLK {
		kind = 'b'
	}
	h.nodes = append(h.nodes, launch.Device{
		Path: strings.TrimPrefix(inside, "/dev/"), Mode: st.Mode, Major: major, Minor: minor, UID: st.Uid, GID: st.Gid,
	})
	h.rules = append(h.rules, cgroup.Device{Type: kind, Major: int64(major), Minor: int64(minor), Access: access})
	return nil
}

// plainly leaves out of an error what the sentence around it says already.
func plainly(err error) error {
	if p, ok := errors.AsType[*os.PathError](err); ok {
		return p.Err
	}
	return err
}
