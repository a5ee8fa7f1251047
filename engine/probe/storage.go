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
	layered := Feature{Name: "overlays in " + parent, Needed: true, Kernel: "6.5"}
	container := Feature{Name: "a container", Needed: true, Kernel: "6.5"}
	fail := func(err error) []Feature {
		idMapped.Err, layered.Err, container.Err = err, err, err
		return []Feature{idMapped, layered, container}
	}
	dir, err := os.MkdirTemp(parent, ".hull-probe-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
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
		layered.Err = errors.New("there are no id-mapped mounts to make them of")
	} else {
		defer lower.Close()
		layered.Err = overlay(lower, dir)
	}
	container.Err = p.container(ctx, filepath.Join(dir, "root"))
	return []Feature{idMapped, layered, container}
}

// overlay mounts one whose lower layer is id-mapped, and lets it go.
func overlay(lower *os.File, dir string) error {
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
	if err := unix.FsconfigSetFd(int(o.Fd()), "lowerdir+", int(lower.Fd())); err != nil {
		return os.NewSyscallError("fsconfig lowerdir+", err)
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
