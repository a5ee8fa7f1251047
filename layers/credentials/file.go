package credentials

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// maxFile is what is read of a config.json, in bytes.
const maxFile = 4 << 20

// load reads a file. One that is missing or empty has nothing in it.
func load(path string) (*config, error) {
	c := &config{path: path, all: &object{}}
	// Should it be a pipe, nobody need be at its other end.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, c.broken("read", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, c.broken("read", err)
	}
	if !info.Mode().IsRegular() {
		return nil, faultf(Malformed, "%s is not a file", path)
	}
	body, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, c.broken("read", err)
	}
	if len(body) > maxFile {
		return nil, faultf(Malformed, "%s is too large", path)
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return c, nil
	}
	if json.Unmarshal(body, c.all) != nil {
		return nil, faultf(Malformed, "%s is not well-formed JSON; mend that file", path)
	}
	return c, nil
}

// save writes the file anew beside the old one and puts it in its place, so that
// nobody ever reads half of it. If its name is a link, what that leads to is
// replaced and the link stays.
func (c *config) save() error {
	var body bytes.Buffer
	if err := json.Indent(&body, c.all.bytes(), "", "\t"); err != nil {
		return c.broken("write", err)
	}
	target, err := follow(c.path)
	if err != nil {
		return c.broken("write", err)
	}
	dir := filepath.Dir(target)
	// Mode 0600 from the first moment.
	f, err := os.CreateTemp(dir, "."+filepath.Base(target)+"-*")
	if err != nil {
		return c.broken("write", err)
	}
	_, err = f.Write(body.Bytes())
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), target)
	}
	if err != nil {
		os.Remove(f.Name())
		return c.broken("write", err)
	}
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync() // for a crash; that it is written is certain
		d.Close()
	}
	return nil
}

// follow finds what a name leads to, also if that is not there yet.
func follow(path string) (string, error) {
	for range 40 {
		link, err := os.Readlink(path)
		switch {
		case errors.Is(err, unix.EINVAL), errors.Is(err, os.ErrNotExist):
			return path, nil
		case err != nil:
			return "", err
		case !filepath.IsAbs(link):
			// Not cleaned lexically: a directory on the way may be a link, too.
			link = filepath.Dir(path) + "/" + link
		}
		path = link
	}
	return "", unix.ELOOP
}

// makeDir makes the directory of the file.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return (&config{path: dir}).broken("make", err)
	}
	return nil
}

// lock keeps other hulls from changing files in a directory at the same time.
// Docker knows no lock; where there can be none, there is none.
func lock(dir string) (unlock func()) {
	d, err := os.Open(dir)
	if err != nil {
		return func() {}
	}
	for {
		err := unix.Flock(int(d.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return func() { d.Close() }
}

// broken is a fault of the file's.
func (c *config) broken(what string, err error) error {
	kind := System
	switch {
	case errors.Is(err, os.ErrPermission), errors.Is(err, unix.EROFS):
		kind = Denied
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		kind = Space
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP), errors.Is(err, unix.EISDIR), errors.Is(err, os.ErrNotExist):
		kind = Malformed
	}
	if p, ok := errors.AsType[*os.PathError](err); ok {
		err = p.Err
	}
	return faultf(kind, "the user cannot %s %s: %v", what, c.path, err)
}
