package launch

import (
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
	"hull/engine/plan"
)

// kernel checks what a Spec says of devices and parameters.
func (s Spec) kernel() (plan.Kernel, error) {
	k := plan.Kernel{Devices: s.Devices, Sysctls: s.Sysctls, Writable: s.Privileged}
	if s.Privileged && s.Range.Size > 0 {
		return k, invalid("a privileged container has the host's users")
	}
	for _, d := range s.Devices {
		kind := d.Mode & unix.S_IFMT
		if path.Clean("/"+d.Path) != "/"+d.Path || d.Path == "" || strings.ContainsRune(d.Path, 0) || kind != unix.S_IFCHR && kind != unix.S_IFBLK {
			return k, invalid("%q is no device to be put into /dev", d.Path)
		}
	}
	for _, p := range s.Sysctls {
		name := strings.ReplaceAll(p.Name, ".", "/")
		if path.Clean("/"+name) != "/"+name || strings.ContainsRune(p.Name+p.Value, 0) {
			return k, invalid("%q is not the name of a parameter", p.Name)
		}
	}
	return k, nil
}

// deviceFiles makes what the stage of a container that cannot make device nodes
// itself needs to have some: a file system of the host's with the nodes, by
// their numbers. They belong to the container's ids, so that its root may use
// them; the host's own nodes would belong to nobody it knows.
func deviceFiles(devices []Device, ids IDRange) ([]*os.File, error) {
	if ids.Size == 0 || len(devices) == 0 {
		return nil, nil
	}
	fs, err := sys.OpenFileSystem("tmpfs")
	if err != nil {
		return nil, &stepError{op: "make devices", err: err}
	}
	defer fs.Close()
	dir, err := sys.CreateMount(fs)
	if err != nil {
		return nil, &stepError{op: "make devices", err: err}
	}
	for i, d := range devices {
		if err := makeNode(dir, strconv.Itoa(i), d, ids); err != nil {
			_ = dir.Close()
			return nil, &stepError{op: "make the device /dev/" + d.Path, err: err}
		}
	}
	return []*os.File{dir}, nil
}

func makeNode(dir *os.File, name string, d Device, ids IDRange) error {
	owner := func(id uint32) int {
		if id >= ids.Size {
			id = 0 // one that the container has not got
		}
		return ids.Host(id)
	}
	if err := sys.MakeDevice(dir, name, d.Mode, d.Major, d.Minor); err != nil {
		return err
	}
	return sys.OwnNode(dir, name, owner(d.UID), owner(d.GID))
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
