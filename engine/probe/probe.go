// Package probe finds out what this machine can do by doing it: a version
// number says little about a kernel that a distribution has changed, or about
// what a container that hull runs in may do.
package probe

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"hull/engine/child"
	"hull/engine/internal/sys"
	"hull/engine/launch"
)

// Feature is one thing this machine can or cannot do.
type Feature struct {
	Name   string // "user namespaces"
	Needed bool   // hull cannot run without it
	Kernel string // the first Linux that has it: "5.12"; empty if that is not what is missing
	Err    error  // nil: it works
}

// Probe tries every feature. dirs are the directories whose file systems must
// be able to hold containers (the store); without any, that is the temporary
// directory's. Everything it makes is gone when it returns.
func Probe(ctx context.Context, dirs ...string) []Feature {
	if len(dirs) == 0 {
		dirs = []string{os.TempDir()}
	}
	p := &prober{launcher: &launch.Launcher{}, spawner: &child.Spawner{}}
	defer p.close()
	features := []Feature{
		{"sealed programs in memory", true, "3.17", p.memory()},
		{"clone3 with pidfds", true, "5.5", p.spawn(0)},
	}
	for _, n := range []struct {
		name   string
		flag   uint64
		kernel string
	}{{"user", 0, "3.8"}, {"mount", unix.CLONE_NEWNS, "2.4"}, {"pid", unix.CLONE_NEWPID, "2.6.24"}, {"network", unix.CLONE_NEWNET, "2.6.29"}, {"ipc", unix.CLONE_NEWIPC, "2.6.19"}, {"uts", unix.CLONE_NEWUTS, "2.6.19"}, {"cgroup", unix.CLONE_NEWCGROUP, "4.6"}} {
		features = append(features, Feature{n.name + " namespaces", true, n.kernel, p.spawn(n.flag | unix.CLONE_NEWUSER)})
	}
	features = append(
		features,
		Feature{"entering a container by its pidfd", true, "5.8", p.enter()},
		Feature{"openat2", true, "5.6", openat2()},
		Feature{"close_range", true, "5.11", closeRange()},
		Feature{"mounts by descriptor", true, "5.2", mounts()},
		Feature{"replacing a dead mount from beneath", false, "6.5", beneath()},
		Feature{"seccomp filters", true, "4.14", seccompFilters()},
		Feature{"exit codes by pidfd", false, "6.13", exitCodes()},
		Feature{"FUSE", true, "2.6.14", fuse()},
		Feature{"FUSE passthrough", false, "6.9", passthrough()},
	)
	features = append(features, p.networks()...)
	features = append(features, Feature{Name: firewallFeature, Err: firewall()})
	features = append(features, controllers()...)
	for _, d := range dirs {
		features = append(features, p.storage(ctx, d)...)
	}
	return features
}

type prober struct {
	launcher *launch.Launcher
	spawner  *child.Spawner
}

func (p *prober) close() {
	_ = p.launcher.Close()
	_ = p.spawner.Close()
}

func (p *prober) memory() error {
	f, err := sys.Program("probe", []byte("#"))
	if err != nil {
		return err
	}
	return f.Close()
}

// spawn makes a process with the given namespaces, and ends it.
func (p *prober) spawn(flags uint64) error {
	stub, err := p.spawner.Spawn(child.Options{Namespaces: flags})
	return p.end(stub, err)
}

// end buries a process, whether it came to life or not.
func (p *prober) end(stub *child.Stub, err error) error {
	if dead, ok := errors.AsType[*child.Stillborn](err); ok {
		_ = sys.Wait(dead.Pidfd)
		_ = dead.Pidfd.Close()
	}
	if err != nil {
		return err
	}
	_ = stub.Kill()
	err = errors.Join(sys.Wait(stub.Pidfd), stub.Pidfd.Close(), stub.Close())
	return err
}

// enter makes a process inside another's pid namespace.
func (p *prober) enter() error {
	outer, err := p.spawner.Spawn(child.Options{Namespaces: unix.CLONE_NEWUSER | unix.CLONE_NEWPID})
	if err != nil {
		return p.end(outer, err)
	}
	inner, err := p.spawner.Spawn(child.Options{Inside: outer.Pidfd})
	return errors.Join(p.end(inner, err), p.end(outer, nil))
}

func openat2() error {
	root, err := os.OpenFile("/", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer root.Close()
	f, err := sys.OpenIn(root, "../..", unix.O_PATH, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// closeRange marks descriptors that nobody has.
func closeRange() error {
	return os.NewSyscallError("close_range", unix.CloseRange(1<<30, ^uint(0)>>32, unix.CLOSE_RANGE_CLOEXEC))
}

func seccompFilters() error {
	action := uint32(0x00050000) // SECCOMP_RET_ERRNO
	return sys.SeccompAction(action)
}

// exitCodes asks for this process's own information.
func exitCodes() error {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	defer unix.Close(fd)
	return sys.PidfdInfo(fd)
}
