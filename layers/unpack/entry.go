package unpack

import (
	"archive/tar"
	"context"
	"errors"
	"io"

	"golang.org/x/sys/unix"

	"hull/layers/internal/sys"
)

// maxSteps is how many components of paths are walked for a layer: some minutes of
// work. Honest layers need a few for each entry.
const maxSteps = 64 << 20

// unpacker is the state of one layer being unpacked.
type unpacker struct {
	ctx    context.Context //nolint:containedctx // an unpacker lives for one call of Layer
	o      Options
	in     *ahead
	small  *finisher
	tar    *tar.Reader
	dirs   *dirs
	below  *below
	buf    []byte // what is on its way from the stream to a file
	read   int64  // bytes the tar reader has taken
	result Result

	rootSeen bool        // the layer has an entry for its root
	times    notes       // of directories with an entry
	implied  notes       // of directories made without one; no times
	steps    int         // components of paths walked
	replaced bool        // a directory was removed: times may speak of what is gone
	trusted  bool        // files are root's and have the mode they are made with
	grouped  bool        // not all directories are root's group's: files may take theirs
	stat     unix.Stat_t // for passing calls: one allocation instead of one a file
}

func newUnpacker(ctx context.Context, root sys.FD, o Options) *unpacker {
	u := &unpacker{ctx: ctx, o: o, small: startFinisher(), dirs: newDirs(root, o.Limits.Depth), buf: make([]byte, chunkSize)}
	u.times.in, u.implied.in = root, root
	u.dirs.implied, u.dirs.step = u.makeImplied, u.step
	u.below = &below{u: u}
	return u
}

func (u *unpacker) close() {
	u.times.close()
	u.implied.close()
	_ = u.small.end() // its failure is run's
	u.dirs.close()
	u.below.close()
}

// Read lets the unpacker be the tar reader's source.
func (u *unpacker) Read(b []byte) (int, error) {
	n, err := u.in.Read(u.ctx, b)
	u.read += int64(n)
	return n, err
}

// run unpacks the whole stream.
func (u *unpacker) run() error {
	if err := u.begin(); err != nil {
		return err
	}
	u.tar = tar.NewReader(u)
	for {
		h, err := u.tar.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) { // that one is ours to judge
			return u.tarError("", err)
		}
		if u.ctx.Err() != nil {
			return stopped(u.ctx)
		}
		if u.result.Entries++; u.result.Entries > u.o.Limits.Entries {
			return tooLarge(h.Name, "it has more than %d entries", u.o.Limits.Entries)
		}
		if err := u.entry(h); err != nil {
			return failed(h.Name, err)
		}
	}
	if err := u.in.failure(); err != nil {
		return err
	}
	if u.in.done != nil && u.read%512 != 0 { // which archive/tar takes for an end inside a PAX header
		return u.tarError("", io.ErrUnexpectedEOF)
	}
	if err := u.in.drain(u.ctx); err != nil {
		return err
	}
	if err := u.small.end(); err != nil {
		return err
	}
	u.in.dropBuffers() // finish may wait for other layers
	u.buf = nil
	return u.finish()
}

// begin takes from the staging directory what it may hand on to its content.
func (u *unpacker) begin() error {
	root := u.dirs.root.fd
	for _, acl := range []string{"system.posix_acl_default", "system.posix_acl_access"} {
		if err := root.Removexattr(acl); err != nil {
			return err
		}
	}
	if err := root.Fchmod(0o700); err != nil {
		return err
	}
	u.trusted = u.trial()
	return nil
}

// trial makes a file to see what files have when they are made here. The umask, and
// options that the file system is mounted with, can make it something else than is
// asked for.
func (u *unpacker) trial() bool {
	const mode = 0o7777 &^ 0o7000
	fd, err := u.dirs.root.fd.Open(".", unix.O_TMPFILE|unix.O_WRONLY, mode)
	if err != nil {
		return false // not every file system can
	}
	defer fd.Close()
	err = fd.Stat(&u.stat)
	return err == nil && u.stat.Mode&0o7777 == mode && u.stat.Uid == 0 && u.stat.Gid == 0
}

// asMade says what of a file's attributes it has when it is made with its mode. So
// two of the six calls that a file takes are spared for nearly all.
func (u *unpacker) asMade(a *attributes) made {
	return made{
		owner: u.trusted && !u.grouped && a.uid == 0 && a.gid == 0,
		mode:  u.trusted && a.mode&0o7000 == 0,
	}
}

// tarError says whether the stream or what it holds is at fault.
func (u *unpacker) tarError(path string, err error) error {
	if failure := u.in.failure(); failure != nil {
		return failure
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return corrupt(path, "the tar stream ends too early")
	}
	return &Error{Path: path, Kind: Corrupt, Err: err}
}

// streamLimit is asked with every chunk of the stream, by the reading goroutine.
func (u *unpacker) streamLimit(total int64) error { return u.limit(total) }

func (u *unpacker) limit(total int64) error {
	if total > u.o.Limits.Bytes {
		return tooLarge("", "it is larger than %d bytes", u.o.Limits.Bytes)
	}
	if in := u.o.Compressed; in > 0 && total > ratioFloor && total/u.o.Limits.Ratio > in {
		return tooLarge("", "it is more than %d times as large as its blob", u.o.Limits.Ratio)
	}
	return nil
}

// step counts the components of paths that are walked: with links to links a layer
// could make each of its entries cost as much as a hundred thousand others.
func (u *unpacker) step() error {
	u.steps++
	switch {
	case u.steps > maxSteps:
		return tooLarge("", "its symbolic links lead in circles: more than %d directories were gone through", maxSteps)
	case u.steps%1024 == 0 && u.ctx.Err() != nil:
		return stopped(u.ctx)
	}
	return nil
}

// room counts content before it is written.
func (u *unpacker) room(size int64) error {
	if size < 0 || size > u.o.Limits.Bytes {
		return tooLarge("", "a file of %d bytes", size)
	}
	if err := u.limit(u.result.Bytes + size); err != nil {
		return err
	}
	u.result.Bytes += size
	return nil
}

// entry unpacks one entry.
func (u *unpacker) entry(h *tar.Header) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil // comments of the whole archive
	}
	n, err := parseName(h.Name, u.o.Limits.Depth)
	if err != nil || n.skip {
		return err
	}
	if n.white || n.opaque {
		return u.whiteout(n)
	}
	a, err := attributesOf(h)
	if err != nil {
		return err
	}
	if n.base == "" {
		return u.rootEntry(h, a)
	}
	if h.Typeflag == tar.TypeLink {
		return u.hardLink(h, n)
	}
	d, err := u.dirs.open(n.parent, true)
	if err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return u.directory(d, n.base, a)
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		return u.regular(d, n.base, h, a)
	case tar.TypeSymlink:
		return u.symlink(d, n.base, h.Linkname, a)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return u.node(d, n.base, h, a)
	}
	return corrupt(h.Name, "entries of type %q are not known", h.Typeflag)
}

// watchGroup looks whether a directory hands its group on to what is made in it: by
// its mode, or by how the file system is mounted.
func (u *unpacker) watchGroup(a *attributes) {
	u.grouped = u.grouped || a.gid != 0 || a.mode&unix.S_ISGID != 0
}

// rootEntry takes the attributes of the layer's root.
func (u *unpacker) rootEntry(h *tar.Header, a attributes) error {
	if h.Typeflag != tar.TypeDir {
		return hostile(h.Name, "the root of a layer must be a directory")
	}
	u.rootSeen = true
	u.watchGroup(&a)
	root := u.dirs.root.fd
	if err := clearXattrs(root); err != nil {
		return err
	}
	if err := a.set(root, made{}); err != nil {
		return err
	}
	return u.noteTimes("", a.times)
}

// directory makes a directory, or gives one that is there its attributes.
func (u *unpacker) directory(d *dir, base string, a attributes) error {
	u.watchGroup(&a)
	err := d.fd.Mkdir(base, 0o700)
	replacing := errors.Is(err, unix.EEXIST)
	opaque := false
	if replacing {
		if err = d.fd.Lstat(base, &u.stat); err != nil {
			return err
		}
		if u.stat.Mode&unix.S_IFMT != unix.S_IFDIR {
			// Something else of this name stood, or was taken away, in this layer:
			// what the layers below have there is hidden.
			opaque, replacing = true, false
			if err = u.remove(d, base, &u.stat); err == nil {
				err = d.fd.Mkdir(base, 0o700)
			}
		}
	}
	if err != nil && !replacing {
		return err
	}
	if !replacing && !opaque && len(a.xattrs) == 0 { // nearly all
		if err := d.fd.Chown(base, a.uid, a.gid); err != nil {
			return err
		}
		if err := d.fd.Chmod(base, a.mode); err != nil {
			return err
		}
		return u.noteTimes(join(d.path, base), a.times)
	}
	fd, err := d.fd.Step(base)
	if err != nil {
		return err
	}
	defer fd.Close()
	if replacing {
		err = errors.Join(clearXattrs(fd), fd.Removexattr(ImpliedRoot))
	}
	if err == nil && opaque {
		err = u.markOpaque(fd)
	}
	if err == nil {
		err = a.set(fd, made{})
	}
	if err != nil {
		return err
	}
	return u.noteTimes(join(d.path, base), a.times)
}
