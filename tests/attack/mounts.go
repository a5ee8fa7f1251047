package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mounts are attempts to see or change other file systems.
func mounts() map[string]attempt {
	mount := func(source, target, kind string, flags uintptr, data string) attempt {
		return func() error { return unix.Mount(source, target, kind, flags, data) }
	}
	m := map[string]attempt{
		"mount-tmpfs":         mount("none", "/tmp", "tmpfs", 0, ""),
		"mount-proc":          mount("proc", "/tmp", "proc", 0, ""),
		"mount-sysfs":         mount("sysfs", "/tmp", "sysfs", 0, ""),
		"mount-devpts":        mount("devpts", "/tmp", "devpts", 0, "newinstance"),
		"mount-cgroup":        mount("cgroup", "/tmp", "cgroup", 0, "memory"),
		"mount-cgroup2":       mount("none", "/tmp", "cgroup2", 0, ""),
		"mount-overlay":       mount("none", "/tmp", "overlay", 0, "lowerdir=/etc:/root"),
		"mount-bind":          mount("/etc", "/tmp", "", unix.MS_BIND, ""),
		"mount-move":          mount("/proc", "/tmp", "", unix.MS_MOVE, ""),
		"mount-shared":        mount("", "/", "", unix.MS_SHARED|unix.MS_REC, ""),
		"remount-proc-sys":    mount("", "/proc/sys", "", unix.MS_REMOUNT|unix.MS_BIND, ""),
		"remount-sys":         mount("", "/sys", "", unix.MS_REMOUNT|unix.MS_BIND, ""),
		"remount-root-dev":    mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND, ""),
		"umount-proc-sys":     func() error { return unix.Unmount("/proc/sys", unix.MNT_DETACH) },
		"umount-masked-kcore": func() error { return unix.Unmount("/proc/kcore", unix.MNT_DETACH) },
		"umount-proc":         func() error { return unix.Unmount("/proc", unix.MNT_DETACH) },
		"pivot-root":          func() error { return unix.PivotRoot("/", "/tmp") },
		"fsopen":              func() error { return closing(unix.Fsopen("tmpfs", 0)) },
		"fspick":              func() error { return closing(unix.Fspick(unix.AT_FDCWD, "/proc", 0)) },
		"open-tree":           func() error { return closing(unix.OpenTree(unix.AT_FDCWD, "/proc", unix.OPEN_TREE_CLONE)) },
		"move-mount":          func() error { return unix.MoveMount(unix.AT_FDCWD, "/proc", unix.AT_FDCWD, "/tmp", 0) },
		"mount-setattr": func() error {
			return unix.MountSetattr(unix.AT_FDCWD, "/proc/sys", 0, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY})
		},
		"swapon":   func() error { return raw(unix.SYS_SWAPON, str("/tmp"), 0) },
		"quotactl": func() error { return raw(unix.SYS_QUOTACTL, 0x80000100, str("/"), 0, 0) },
		"chroot-climb": func() error { // chroot itself is allowed; it must not lead out
			if err := os.MkdirAll("/tmp/cage", 0o755); err != nil {
				return err
			}
			top, err := os.Open("/")
			if err != nil {
				return err
			}
			defer top.Close()
			home, err := inode("/")
			if err != nil {
				return err
			}
			if err := unix.Chroot("/tmp/cage"); err != nil {
				return err
			}
			defer func() { _ = top.Chdir(); _ = unix.Chroot(".") }()
			if err := top.Chdir(); err != nil {
				return err
			}
			for range 64 {
				if err := unix.Chdir(".."); err != nil {
					return err
				}
			}
			return same(home, ".")
		},
		"climb": func() error {
			home, err := inode("/")
			if err != nil {
				return err
			}
			defer func() { _ = unix.Chdir("/") }()
			for range 64 {
				if err := unix.Chdir(".."); err != nil {
					return err
				}
			}
			return same(home, ".")
		},
		"integrity": integrity,
		"root-of-1": func() error { // through the magic link of process 1
			home, err := inode("/")
			if err != nil {
				return err
			}
			return same(home, "/proc/1/root/../../..")
		},
	}
	return m
}

// integrity is done if what the kernel shows is not protected as it must be,
// wherever it is: who swaps names while the container starts may have it moved,
// as far as .kept.
func integrity() error {
	found := 0
	for _, at := range []string{"", ".kept"} {
		for path, kind := range map[string]uint64{"/proc": unix.PROC_SUPER_MAGIC, "/sys": unix.SYSFS_MAGIC, "/dev": unix.TMPFS_MAGIC} {
			top, err := unix.Open(path+at, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			if err != nil {
				continue
			}
			why := ""
			if kindIn(top, ".") == kind { // from here on it may be moved
				found++
				why = unprotected(path, top)
			}
			_ = unix.Close(top)
			if why != "" {
				fmt.Println(path + at + why)
				return nil
			}
		}
	}
	return fmt.Errorf("%d file systems of the kernel are as they must be", found)
}

// unprotected tells what is wrong with one of the kernel's file systems, by a
// descriptor of its top.
func unprotected(path string, top int) string {
	for _, name := range map[string][]string{"/proc": {"sys", "bus", "fs", "irq"}, "/sys": {".", "fs/cgroup"}}[path] {
		if st, err := statfsIn(top, name); err == nil && st.Flags&unix.ST_RDONLY == 0 {
			return ": " + name + " is not read-only"
		}
	}
	for _, name := range map[string][]string{"/proc": {"kcore", "keys", "timer_list", "interrupts"}}[path] {
		var st unix.Stat_t
		if err := unix.Fstatat(top, name, &st, 0); err == nil && (st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(1, 3)) {
			return ": " + name + " is not hidden"
		}
	}
	for _, name := range map[string][]string{"/proc": {"acpi", "scsi"}, "/sys": {"firmware"}}[path] {
		fd, err := unix.Openat(top, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		dir := os.NewFile(uintptr(fd), name)
		entries, err := dir.ReadDir(-1)
		_ = dir.Close()
		if err != nil || len(entries) > 0 {
			return ": " + name + " is not hidden"
		}
	}
	if path == "/dev" && (kindIn(top, "pts") != 0x1cd1 || kindIn(top, "shm") != unix.TMPFS_MAGIC) {
		return " has other things in it than it must have"
	}
	return ""
}

func statfsIn(dir int, name string) (st unix.Statfs_t, err error) {
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return st, err
	}
	defer func() { _ = unix.Close(fd) }()
	err = unix.Fstatfs(fd, &st)
	return st, err
}

func kindIn(dir int, name string) uint64 {
	st, err := statfsIn(dir, name)
	if err != nil {
		return 0
	}
	return uint64(st.Type)
}

// errInside says that one is where one was.
var errInside = errors.New("it leads back to the container's root")

// same is an error if a path leads to that inode.
func same(want [2]uint64, path string) error {
	got, err := inode(path)
	if err == nil && got == want {
		err = errInside
	}
	return err
}

func inode(path string) ([2]uint64, error) {
	var st unix.Stat_t
	err := unix.Stat(path, &st)
	return [2]uint64{st.Dev, st.Ino}, err
}

func closing(fd int, err error) error {
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}
