package engine

import (
	"context"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Changes lists what the container's file system has that its image's has not, as docker diff does, sorted by path.
func (e *Engine) Changes(ctx context.Context, id string) ([]Change, error) {
	s, err := e.lookup("changes", id)
	if err != nil {
		return nil, err
	}
	c := s.snapshot.Load()
	if c.ImageID == "" || c.Started.IsZero() {
		return nil, nil // nothing has written
	}
	upper, err := os.Open(filepath.Join(s.dir, diskDir, "upper"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fail("changes", c.ID, kindOfErrno(err), "the container's own files cannot be read: %w", err)
	}
	defer upper.Close()
	image, err := e.o.Roots.Mount(ctx, c.ImageID, nil, nil, 0, true)
	if err != nil {
		return nil, s.mark("changes", err)
	}
	defer image.Close()
	d := &difference{ctx: ctx, upper: int(upper.Fd()), image: int(image.Fd()), todo: []string{"."}}
	if err := d.walk(); err != nil {
		return nil, fail("changes", c.ID, kindOfErrno(err), "the container's changes cannot be listed: %w", err)
	}
	slices.SortFunc(d.found, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return withoutPlaces(d.found), nil
}

// places are what a start makes in an image that lacks them, to mount on. Like docker diff's own they are nobody's
// change, and neither is a directory that has changed by nothing else.
var places = []string{"/dev", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/proc", "/sys"}

// Places are what a start makes in an image that lacks them, to mount on: empty files and directories that no image
// made of the container needs.
func Places() []string { return slices.Clone(places) }

func withoutPlaces(found []Change) []Change {
	found = slices.DeleteFunc(found, func(c Change) bool { return c.Kind == 'A' && slices.Contains(places, c.Path) })
	if i := slices.Index(found, Change{Kind: 'C', Path: "/etc"}); i >= 0 && (i+1 == len(found) || !strings.HasPrefix(found[i+1].Path, "/etc/")) {
		found = slices.Delete(found, i, i+1)
	}
	return found
}

// maxChanges bounds the list: a container may have made any number of files.
const maxChanges = 1 << 20

// difference walks over the upper directory of an overlay. It goes by whole paths below two descriptors, so depth costs
// no descriptors; what lies deeper than a path can say is not looked into.
type difference struct {
	ctx          context.Context //nolint:containedctx // of the one call that the walk is
	upper, image int
	todo         []string // directories of upper
	found        []Change
}

func (d *difference) walk() error {
	for len(d.todo) > 0 {
		if err := d.ctx.Err(); err != nil {
			return err
		}
		dir := d.todo[len(d.todo)-1]
		d.todo = d.todo[:len(d.todo)-1]
		if err := d.directory(dir); err != nil {
			return err
		}
	}
	return nil
}

// below opens something below a directory; no link is followed on the way, nor at its end.
func below(dir int, name string, flags uint64) (int, error) {
	return unix.Openat2(dir, name, &unix.OpenHow{
		Flags: flags | unix.O_CLOEXEC | unix.O_NOFOLLOW, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
}

// vanished tells whether an error means that what was listed is not there (any more), or lies too deep to be named.
func vanished(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) ||
		errors.Is(err, unix.ENAMETOOLONG)
}

func (d *difference) directory(name string) error {
	fd, err := below(d.upper, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if vanished(err) {
		return nil
	}
	if err != nil {
		return err
	}
	dir := os.NewFile(uintptr(fd), name)
	defer dir.Close()
	here := map[string]bool{}
	opaque := isOpaque(fd)
	for {
		names, err := dir.Readdirnames(1024)
		for _, entry := range names {
			if opaque {
				here[entry] = true
			}
			if err := d.entry(fd, name, entry); err != nil {
				return err
			}
		}
		if err == nil && len(names) > 0 {
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		break
	}
	if opaque {
		return d.hidden(name, here)
	}
	return nil
}

func (d *difference) entry(dir int, parent, name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		if vanished(err) {
			return nil
		}
		return err
	}
	at := path.Join(parent, name)
	was := d.inImage(at)
	switch {
	case st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0: // a whiteout
		if was {
			return d.add('D', at)
		}
		return nil
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		d.todo = append(d.todo, at)
	}
	if was {
		return d.add('C', at)
	}
	return d.add('A', at)
}

func (d *difference) inImage(name string) bool {
	fd, err := below(d.image, name, unix.O_PATH)
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
}

// isOpaque tells whether a directory hides what the image has in its place.
func isOpaque(fd int) bool {
	var value [8]byte
	n, err := unix.Fgetxattr(fd, "trusted.overlay.opaque", value[:])
	return err == nil && n == 1 && value[0] == 'y'
}

// hidden adds what the image has in the place of an opaque directory.
func (d *difference) hidden(name string, here map[string]bool) error {
	fd, err := below(d.image, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if vanished(err) {
		return nil
	}
	if err != nil {
		return err
	}
	dir := os.NewFile(uintptr(fd), name)
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, entry := range names {
		if !here[entry] {
			if err := d.add('D', path.Join(name, entry)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *difference) add(kind byte, name string) error {
	if len(d.found) == maxChanges {
		return errors.New("there are more than a million")
	}
	d.found = append(d.found, Change{Kind: kind, Path: "/" + name})
	return nil
}
