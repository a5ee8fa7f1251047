package rootfs

import (
	"context"
	"errors"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"golang.org/x/sys/unix"
)

// Readlink shows a symbolic link's target, rewritten so that following it stays in the tree.
func (n *node) Readlink(ctx context.Context) ([]byte, syscall.Errno) {
	s, errno := n.reach(ctx)
	if errno != 0 {
		return nil, errno
	}
	defer s.leave()
	if n.parent == nil {
		return nil, syscall.EINVAL
	}
	target, errno := shownTarget(s.held, s.fd, "", n.parent)
	return []byte(target), errno
}

// shownSize is the length of a link's shown target, which is its size.
func shownSize(h *held, fd int, name string, parent *node) (uint64, syscall.Errno) {
	target, errno := shownTarget(h, fd, name, parent)
	if errno == syscall.ENAMETOOLONG {
		return unix.PathMax, 0 // it can be listed and removed, though not read
	}
	return uint64(len(target)), errno
}

// shownTarget reads the link name in fd, or fd itself if name is empty, as seen from parent.
func shownTarget(h *held, fd int, name string, parent *node) (string, syscall.Errno) {
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, name, b)
	if err != nil {
		return "", fusefs.ToErrno(err)
	}
	dir, ok := parent.names()
	if !ok {
		return "", syscall.ESTALE
	}
	target := rewrite(string(b[:n]), dir, h.resolve)
	if len(target) >= unix.PathMax {
		return "", syscall.ENAMETOOLONG
	}
	return target, 0
}

// rewrite gives a target that means, in the kernel's own tree of names, what target means to a process whose root
// directory is the tree's top. dir are the names from the top to the link's directory.
//
// What it gives is either of the form `../` at most len(dir) times, then names without any `..` after them, or nothing
// else. A name in it may be a link again, but what that shows is of the same form. So whoever follows never leaves the
// tree, whatever changes meanwhile.
//
// Where target has a `..` after a name, the name may be a link, and `..` is then the parent of where it leads: resolve
// finds it. It gives the names from the top to the directory that a path inside leads to; false if it leads nowhere.
func rewrite(target string, dir []string, resolve func(inside string) ([]string, bool)) string {
	parts := strings.Split(target, "/")
	absolute := strings.HasPrefix(target, "/")
	last := -1 // the last `..` that follows a name
	climbs, named := 0, false
	for i, p := range parts {
		switch p {
		case "", ".":
		case "..":
			if named || absolute {
				last = i
			} else {
				climbs++
			}
		default:
			named = true
		}
	}
	if !absolute && last < 0 && climbs <= len(dir) {
		return target
	}
	at := dir
	if absolute {
		at = nil
	}
	if last >= 0 {
		before := append([]string{""}, at...)
		for _, p := range parts[:last+1] {
			if p != "" && p != "." {
				before = append(before, p)
			}
		}
		real, ok := resolve(strings.Join(before, "/"))
		if !ok {
			real = clean(nil, before)
		}
		at, parts = real, parts[last+1:]
	}
	to := clean(at, parts)
	shown := strings.Repeat("../", len(dir)) + strings.Join(to, "/")
	if len(to) == 0 {
		shown = strings.TrimSuffix(shown, "/")
	}
	if shown == "" {
		return "."
	}
	if strings.HasSuffix(target, "/") && len(to) > 0 {
		shown += "/"
	}
	return shown
}

// clean walks parts from at without looking at any file; `..` of the top is the top.
func clean(at, parts []string) []string {
	to := append([]string(nil), at...)
	for _, p := range parts {
		switch p {
		case "", ".":
		case "..":
			if len(to) > 0 {
				to = to[:len(to)-1]
			}
		default:
			to = append(to, p)
		}
	}
	return to
}

// resolve follows a path as a process whose root is the tree's top would.
func (h *held) resolve(inside string) ([]string, bool) {
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	for range 64 {
		fd, err := unix.Openat2(h.fd, inside, &how)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, false
		}
		defer unix.Close(fd)
		top, err1 := os.Readlink(reopened(h.fd))
		found, err2 := os.Readlink(reopened(fd))
		if err1 != nil || err2 != nil || !path.IsAbs(top) || !path.IsAbs(found) {
			return nil, false
		}
		if found == top {
			return nil, true
		}
		rest, ok := strings.CutPrefix(found, strings.TrimSuffix(top, "/")+"/")
		if !ok {
			return nil, false
		}
		return strings.Split(rest, "/"), true
	}
	return nil, false
}

// reopened is the path by which what an O_PATH descriptor stands for is used.
func reopened(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }
