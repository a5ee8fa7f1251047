package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// browsing makes the rows of an image's rootfs. Their first contestant is the
// native mount.
func browsing() []row {
	var all []row
	for _, b := range []struct{ name, title, command, image string }{
		{"find", "find -ls over many small files", "find . -ls", imageOfFiles},
		{"grep", "grep -r over many small files", "grep -r unfindable . ; [ $? = 1 ]", imageOfFiles},
		{"tar", "tar c of many small files", "tar -c . | cat", imageOfFiles},
		{"data", "tar c of 6 layers' files", "tar -c . | cat", imageOfLayers},
	} {
		for _, cold := range []bool{true, false} {
			name, title := "browse-"+b.name, b.title+", from memory"
			if cold {
				name, title = name+"-cold", b.title+", from the disk"
			}
			all = append(all, row{name: name, title: title, rounds: 5, cold: cold, field: []contestant{
				&browser{image: b.image, command: b.command, native: true}, &browser{image: b.image, command: b.command},
			}})
		}
	}
	return all
}

// browser runs a command in the root of an image.
type browser struct {
	image, command string
	native         bool
	s              *setting
	root, base     string // base: what is to be removed
	mounted        bool
}

func (b *browser) name() string {
	if b.native {
		return "native overlay"
	}
	return "hull's rootfs"
}

func (b *browser) prepare(ctx context.Context, s *setting) error {
	if err := s.makeImage(b.image); err != nil {
		return err
	}
	b.s = s
	ref := s.registry.addr + "/" + b.image
	if err := s.pulled(ctx, ref); err != nil {
		return err
	}
	dir := s.tree() + "/images/" + ref
	var err error
	if b.native {
		err = b.mount()
	} else {
		b.root, err = filepath.EvalSymlinks(dir + "/rootfs")
	}
	if err != nil {
		return err
	}
	return b.once(ctx) // and so all is in memory
}

// mount puts the image's layers together without hull.
func (b *browser) mount() (err error) {
	if b.base, err = os.MkdirTemp(b.s.dir, "native-"); err != nil {
		return err
	}
	b.root = b.base + "/root"
	// Short names, because mount takes no more than a page of options; and one more
	// layer, because a single one is no overlay.
	lower := "empty"
	for _, dir := range []string{b.base + "/empty", b.root} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	for i, diff := range b.s.registry.find(b.image).diffs {
		if err := os.Symlink(b.s.dir+"/store/layers/"+hexOf(diff)+"/diff", b.base+"/"+strconv.Itoa(i)); err != nil {
			return err
		}
		lower = strconv.Itoa(i) + ":" + lower
	}
	mount := exec.Command("mount", "-t", "overlay", "overlay", "-o", "ro,lowerdir="+lower, b.root) //nolint:noctx // short
	mount.Dir = b.base
	_, err = output(mount)
	b.mounted = err == nil
	return err
}

func (b *browser) once(ctx context.Context) error {
	sh := exec.CommandContext(ctx, "sh", "-c", b.command)
	sh.Dir = b.root
	if err := sh.Run(); err != nil {
		return fmt.Errorf("%s in %s: %w", strings.Fields(b.command)[0], b.root, err)
	}
	return nil
}

func (b *browser) close() error {
	if b.base == "" {
		return nil
	}
	if b.mounted {
		if err := unix.Unmount(b.root, 0); err != nil {
			return err
		}
	}
	return os.RemoveAll(b.base)
}
