package fs

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// The commands of the root's ctl.

// kept tells whether there is somebody to look after the store.
func kept(e *entry) bool { return e.t.Upkeep != nil }

func checkStore(ctx context.Context, t *Tree, _ *entry, _ []string) error {
	return t.Upkeep.Check(ctx)
}

func repairStore(ctx context.Context, t *Tree, _ *entry, _ []string) error {
	return t.Upkeep.Repair(ctx)
}

func pullReference(ctx context.Context, t *Tree, e *entry, args []string) error {
	platform := ""
	if len(args) > 0 {
		word, given := strings.CutPrefix(args[0], "--platform=")
		switch {
		case given:
			platform, args = word, args[1:]
		case args[0] == "--platform" && len(args) > 1:
			platform, args = args[1], args[2:]
		}
	}
	ref, err := one(e, "pull", "a REFERENCE, and before that perhaps --platform PLATFORM,", args)
	if err == nil {
		ref, err = t.newName(ctx, ref)
	}
	if err != nil {
		return err
	}
	return t.Images.Pull(ctx, ref, platform, t.Budget)
}

// loadArchive is what is written to load.
func loadArchive(ctx context.Context, t *Tree, _ *entry, r io.Reader) error {
	by, _ := By(ctx)
	if err := t.May(by, "images", Change); err != nil {
		return err
	}
	return t.Images.Load(ctx, r)
}

func runContainer(ctx context.Context, t *Tree, e *entry, rest string) error {
	if rest == "" {
		return fail(Invalid, "run", e.path(), "run takes an IMAGE after it, and may take flags before that and a COMMAND behind.")
	}
	return t.Upkeep.Run(ctx, rest)
}

func pruneStore(ctx context.Context, t *Tree, e *entry, args []string) error {
	all := len(args) > 0 && args[0] == "-a"
	if all {
		args = args[1:]
	}
	what, err := one(e, "prune", "containers, images, networks, volumes or all", args)
	if err != nil {
		return err
	}
	by, _ := By(ctx)
	if err := t.MayPrune(by, what); err != nil {
		return err
	}
	return t.Upkeep.Prune(ctx, what, all)
}

// The commands of an image's ctl.

func tagImage(ctx context.Context, t *Tree, e *entry, args []string) error {
	ref, err := one(e, "tag", "a REFERENCE", args)
	if err == nil {
		ref, err = t.newName(ctx, ref)
	}
	if err != nil {
		return err
	}
	return t.Images.Tag(ctx, e.obj.id, ref, true)
}

func untagImage(ctx context.Context, t *Tree, e *entry, _ []string) error {
	return t.Images.Untag(ctx, e.obj.id)
}

// pullImage pulls for the platform that was asked for before, if none is asked for now.
func pullImage(ctx context.Context, t *Tree, e *entry, args []string) error {
	platform, err := optional(e, "pull", "a PLATFORM", args)
	if err != nil {
		return err
	}
	if platform == "" {
		i, err := e.image()
		if err != nil {
			return err
		}
		platform = i.For
	}
	return t.Images.Pull(ctx, e.obj.id, platform, t.Budget)
}

func pushImage(ctx context.Context, t *Tree, e *entry, args []string) error {
	ref, err := optional(e, "push", "a REFERENCE", args)
	if err != nil {
		return err
	}
	if ref == "" {
		return t.Images.Push(ctx, e.obj.id, e.obj.id)
	}
	if ref, err = t.newName(ctx, ref); err != nil {
		return err
	}
	return t.Images.Push(ctx, e.obj.id, ref)
}

func cancelPull(ctx context.Context, t *Tree, e *entry, _ []string) error {
	return t.Images.Cancel(ctx, e.obj.id)
}

// force reads the word that may follow remove.
func force(e *entry, args []string) (bool, error) {
	word, err := optional(e, "remove", "the word force", args)
	if err != nil || word == "" {
		return false, err
	}
	if word != "force" {
		return false, fail(Invalid, "remove", e.path(), fmt.Sprintf("Only the word force may follow remove, not %q.", word))
	}
	return true, nil
}

func removeImage(ctx context.Context, t *Tree, e *entry, args []string) error {
	f, err := force(e, args)
	if err != nil {
		return err
	}
	return t.Images.Remove(ctx, e.obj.id, f)
}

// The commands of a container's ctl.

func startContainer(ctx context.Context, t *Tree, e *entry, _ []string) error {
	if err := t.mayStart(ctx, e); err != nil {
		return err
	}
	return t.Containers.Start(ctx, e.obj.id)
}

// grace reads the seconds that may follow stop and restart; -1 is the container's own.
func grace(e *entry, name string, args []string) (time.Duration, error) {
	word, err := optional(e, name, "a number of seconds", args)
	if err != nil || word == "" {
		return -1, err
	}
	n, err := strconv.ParseUint(word, 10, 31)
	if err != nil {
		return 0, fail(Invalid, name, e.path(), fmt.Sprintf("%s takes a number of seconds, not %q.", name, word))
	}
	return time.Duration(n) * time.Second, nil
}

func stopContainer(ctx context.Context, t *Tree, e *entry, args []string) error {
	d, err := grace(e, "stop", args)
	if err != nil {
		return err
	}
	return t.Containers.Stop(ctx, e.obj.id, d)
}

func restartContainer(ctx context.Context, t *Tree, e *entry, args []string) error {
	d, err := grace(e, "restart", args)
	if err != nil {
		return err
	}
	if err := t.mayStart(ctx, e); err != nil {
		return err
	}
	return t.Containers.Restart(ctx, e.obj.id, d)
}

func killContainer(ctx context.Context, t *Tree, e *entry, args []string) error {
	signal, err := optional(e, "kill", "a SIGNAL", args)
	if err != nil {
		return err
	}
	return t.Containers.Kill(ctx, e.obj.id, signal)
}

func pauseContainer(ctx context.Context, t *Tree, e *entry, _ []string) error {
	return t.Containers.Pause(ctx, e.obj.id)
}

func unpauseContainer(ctx context.Context, t *Tree, e *entry, _ []string) error {
	return t.Containers.Unpause(ctx, e.obj.id)
}

func recreateContainer(ctx context.Context, t *Tree, e *entry, _ []string) error {
	c, err := e.container()
	if err == nil {
		err = t.mayMake(ctx, c)
	}
	if err != nil {
		return err
	}
	return t.Containers.Recreate(ctx, e.obj.id)
}

func renameContainer(ctx context.Context, t *Tree, e *entry, args []string) error {
	name, err := one(e, "rename", "a NAME", args)
	if err == nil {
		err = checkName(name)
	}
	if err != nil {
		return err
	}
	before := strings.TrimPrefix(e.label(), "containers/")
	if err := t.Containers.Rename(ctx, e.obj.id, name); err != nil {
		return err
	}
	t.renamed(e.obj.id, before)
	return nil
}

func commitContainer(ctx context.Context, t *Tree, e *entry, args []string) error {
	ref, err := one(e, "commit", "a REFERENCE", args)
	if err == nil {
		ref, err = t.newName(ctx, ref)
	}
	if err != nil {
		return err
	}
	return t.Containers.Commit(ctx, e.obj.id, ref)
}

func removeContainer(ctx context.Context, t *Tree, e *entry, args []string) error {
	f, err := force(e, args)
	if err != nil {
		return err
	}
	return t.Containers.Remove(ctx, e.obj.id, f)
}
