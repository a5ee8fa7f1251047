package archive

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// spool is what has come of the archive: its files by their names, and their
// contents in the directory.
type spool struct {
	o     LoadOptions
	files map[string]file // by cleaned name; a later entry replaces an earlier one
	blobs map[string]blob // that lie in the directory, by digest

	count int64 // entries
	names int   // bytes of their names
	since int64 // bytes written since Room was asked
	buf   []byte
}

// file is one name in the archive.
type file struct {
	digest string // of its content; empty for a link, and for a blob of another algorithm
	link   string // cleaned name that a link leads to
}

// blob is a content in the directory.
type blob struct {
	path   string
	size   int64
	suffix string // of the media type of a layer that begins so: "", "+gzip", "+zstd", or what is no layer's: "+xz", "+bzip2"
}

// entries reads the tar.
func (s *spool) entries(r *output) error {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return s.tarError(err, r.n)
		}
		if s.count++; s.count > s.o.Limits.Entries {
			return problem(TooLarge, "", "it has more than %d files", s.o.Limits.Entries)
		}
		if err := s.entry(t, h); err != nil {
			return failed(h.Name, err)
		}
	}
}

// headerSize is that of the smallest beginning that a tar file has.
const headerSize = 512

// tarError tells damage from a failure of the stream, of which so much has been read.
func (s *spool) tarError(err error, read int64) error {
	var known *Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, tar.ErrHeader) && s.count == 0, errors.Is(err, io.ErrUnexpectedEOF) && read < headerSize:
		return problem(Unsupported, "", "it is not a tar file; give it what docker save or podman save has written, or an OCI layout as a tar file")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return problem(Corrupt, "", "it ends too early")
	case errors.Is(err, tar.ErrHeader), errors.Is(err, tar.ErrFieldTooLong), errors.Is(err, tar.ErrInsecurePath):
		return &Error{Kind: Corrupt, Err: err}
	}
	return err
}

// entry takes one entry.
func (s *spool) entry(t *tar.Reader, h *tar.Header) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil // comments of the whole archive
	}
	name, err := clean("", h.Name)
	if err != nil {
		return err
	}
	if s.names += len(name) + len(h.Linkname); s.names > maxNames {
		return problem(TooLarge, "", "the names of its files take more than %d MiB", maxNames>>20)
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return nil
	case tar.TypeReg:
		if sparse(h) {
			break
		}
		return s.regular(t, h, name)
	case tar.TypeLink: // its target is named from the archive's root
		return s.link(name, "", h.Linkname)
	case tar.TypeSymlink: // from where it stands
		if strings.HasPrefix(h.Linkname, "/") {
			return problem(Hostile, h.Name, "a link leads out of the archive")
		}
		dir := name[:strings.LastIndexByte(name, '/')+1]
		return s.link(name, dir, h.Linkname)
	}
	return problem(Unsupported, h.Name, "a file of type %q has no place in an archive of images", h.Typeflag)
}

// sparse knows tar's ways to write files with holes, which cost nothing to claim.
func sparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

func (s *spool) link(name, dir, target string) error {
	to, err := clean(dir, target)
	if err != nil {
		return err
	}
	s.files[name] = file{link: to}
	return nil
}

// regular writes a file's content to the directory.
func (s *spool) regular(t io.Reader, h *tar.Header, name string) error {
	if rest, ok := strings.CutPrefix(name, "blobs/"); ok && !strings.HasPrefix(rest, "sha256/") {
		s.files[name] = file{} // a digest that nobody will ask for
		return nil
	}
	if s.o.Room != nil {
		if err := s.o.Room(h.Size); err != nil {
			return err
		}
	}
	digest, err := s.store(t, h.Size)
	if err != nil {
		return s.tarError(err, headerSize)
	}
	if hex, ok := strings.CutPrefix(name, blobsName); ok && isDigest("sha256:"+hex) && digest != "sha256:"+hex {
		return problem(Corrupt, h.Name, "its content has another digest: %s", digest)
	}
	s.files[name] = file{digest: digest}
	return nil
}

// store writes a content under a name of its own and then gives it that of its
// digest, so that only whole ones have such names.
func (s *spool) store(r io.Reader, size int64) (digest string, err error) {
	path := filepath.Join(s.o.Dir, "arriving")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	w := &writer{s: s, f: f, sum: sha256.New()}
	_, err = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, s.buf)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil && w.n != size {
		err = io.ErrUnexpectedEOF
	}
	sum := hex.EncodeToString(w.sum.Sum(nil))
	home := filepath.Join(s.o.Dir, sum)
	if err == nil {
		err = os.Rename(path, home)
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(path))
	}
	digest = "sha256:" + sum
	s.blobs[digest] = blob{path: home, size: w.n, suffix: compression(w.head[:min(w.n, int64(len(w.head)))])}
	return digest, nil
}

// writer hashes what is written to a file, and keeps an eye on the disk.
type writer struct {
	s    *spool
	f    *os.File
	sum  hash.Hash
	n    int64
	head [6]byte // how it begins
}

func (w *writer) Write(b []byte) (int, error) {
	if w.s.since += int64(len(b)); w.s.since > roomStep && w.s.o.Room != nil {
		if err := w.s.o.Room(0); err != nil {
			return 0, err
		}
		w.s.since = 0
	}
	n, err := w.f.Write(b)
	if w.n < int64(len(w.head)) {
		copy(w.head[w.n:], b[:n])
	}
	w.sum.Write(b[:n])
	w.n += int64(n)
	return n, err
}

// What some archives are compressed with, and hull does not read.
const (
	xzMagic    = "\xfd7zXZ"
	bzip2Magic = "BZh"
)

// compression is the suffix of the media type for how a layer begins.
func compression(head []byte) string {
	switch begin := string(head); {
	case strings.HasPrefix(begin, "\x1f\x8b"):
		return "+gzip"
	case strings.HasPrefix(begin, "\x28\xb5\x2f\xfd"),
		len(begin) >= 4 && begin[0]&0xf0 == 0x50 && begin[1:4] == "\x2a\x4d\x18":
		return "+zstd"
	case strings.HasPrefix(begin, xzMagic):
		return "+xz"
	case strings.HasPrefix(begin, bzip2Magic):
		return "+bzip2"
	}
	return ""
}
