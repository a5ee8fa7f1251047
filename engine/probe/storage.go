package probe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
	"hull/engine/launch"
)

// testRange is of ids that no container is given.
var testRange = launch.IDRange{First: 2147352576, Size: 65536}

// storage tries what a store's file system must be able to do.
func (p *prober) storage(ctx context.Context, parent string) []Feature {
	idMapped := Feature{Name: "id-mapped mounts in " + parent, Needed: true, Kernel: "5.19"}
	layered := Feature{Name: "overlays in " + parent, Needed: true, Kernel: "5.19"}
	// Without this, layers are attached for the length of a call.
	detached := Feature{Name: "overlays of detached layers", Needed: false, Kernel: "6.15"}
	container := Feature{Name: "a container", Needed: true, Kernel: "5.19"}
	fail := func(err error) []Feature {
		idMapped.Err, layered.Err, detached.Err, container.Err = err, err, err, err
		return []Feature{idMapped, layered, detached, container}
	}
	sweep(parent)
	dir, done, err := workplace(parent)
	if err != nil { // which no kernel mends
		idMapped.Kernel, layered.Kernel, detached.Kernel, container.Kernel = "", "", "", ""
		return fail(err)
	}
	defer done()
	for _, d := range []string{"lower", "upper", "work", "root"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			return fail(err)
		}
	}
	users, err := p.launcher.Users(ctx, testRange)
	if err != nil {
		return fail(err)
	}
	defer users.Close()
	lower, err := sys.MappedTree(filepath.Join(dir, "lower"), users)
	if idMapped.Err = err; err != nil {
		detached.Err = errors.New("there are no id-mapped mounts to make them of")
	} else {
		defer lower.Close()
		detached.Err = overlay(dir, func(o int) error { return unix.FsconfigSetFd(o, "lowerdir+", int(lower.Fd())) })
	}
	layered.Err = overlay(dir, func(o int) error { return unix.FsconfigSetString(o, "lowerdir", filepath.Join(dir, "lower")) })
	container.Err = p.container(ctx, filepath.Join(dir, "root"))
	return []Feature{idMapped, layered, detached, container}
}

// overlay mounts one, with the lower layer as given, and lets it go.
func overlay(dir string, lower func(o int) error) error {
	o, err := sys.OpenFileSystem("overlay")
	if err != nil {
		return err
	}
	defer o.Close()
	for _, d := range []string{"upper", "work"} {
		if err := unix.FsconfigSetString(int(o.Fd()), d+"dir", filepath.Join(dir, d)); err != nil {
			return os.NewSyscallError("fsconfig "+d+"dir", err)
		}
	}
	if err := lower(int(o.Fd())); err != nil {
		return os.NewSyscallError("fsconfig lowerdir", err)
	}
	m, err := sys.CreateMount(o)
	if err != nil {
		return err
	}
	return m.Close()
}

// container builds one on an empty root: that there is no command in it is
// found out when all else is done.
func (p *prober) container(ctx context.Context, dir string) error {
	parked, err := p.launcher.Park(ctx, launch.Spec{
		Hostname: "probe", Args: []string{"/none"}, Range: testRange,
		Root: func(users *os.File) (*os.File, error) { return sys.MappedTree(dir, users) },
	})
	var e *launch.Error
	if errors.As(err, &e) && e.Kind == launch.NotFound {
		return nil
	}
	if err == nil {
		parked.Abort()
		_ = parked.Close()
		return fmt.Errorf("%s is not empty", dir)
	}
	return err
}

// mounts makes a file system that is mounted nowhere.
func mounts() error {
	fs, err := sys.OpenFileSystem("tmpfs")
	if err != nil {
		return err
	}
	defer fs.Close()
	m, err := sys.CreateMount(fs)
	if err != nil {
		return err
	}
	return m.Close()
}

const moveMountBeneath = 0x200 // MOVE_MOUNT_BENEATH

// beneath asks for a move of nothing: a kernel that does not know the flag
// complains about that first.
func beneath() error {
	err := unix.MoveMount(-1, "", -1, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH|moveMountBeneath)
	if errors.Is(err, unix.EBADF) {
		return nil
	}
	return os.NewSyscallError("move_mount", err)
}
