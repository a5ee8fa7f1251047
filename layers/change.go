package layers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"hull/layers/archive"
	"hull/layers/pack"
	"hull/layers/reference"
	"hull/layers/registry"
)

// CommitOptions say what becomes an image.
type CommitOptions struct {
	Base      string           // ID of the image that the container was made of
	Upper     *os.File         // the container's directory that holds upper/, as Mount takes it; pause the container
	Container string           // the container's ID, for the record
	Places    []string         // what was made in the container only to be mounted on: left out where that is all it is
	Edit      func(*v1.Config) // makes the base's config the container's; nil = it stays as it is
	Author    string
	Message   string
	By        uint32 // uid of who asks
}

// Commit makes an image of what a container has changed: the base's layers and one
// more, if it has changed any file, by Docker's rules for config and history. The
// target reference comes to point to it; an empty one gives an image without tags.
// It returns the image's ID.
func (s *Store) Commit(ctx context.Context, target string, o CommitOptions) (id string, err error) {
	var refs []reference.Reference
	name := shortName(o.Container)
	if target != "" {
		ref, err := parseTarget("commit", target)
		if err != nil {
			return "", err
		}
		refs, name = []reference.Reference{ref}, ref.Familiar()
	}
	if err := s.room("commit", name, 0); err != nil {
		return "", err
	}
	p := s.arrive(ctx, "commit", name, o.By, s.client)
	defer s.leave(ctx, p)
	s.mu.Lock()
	base := s.images[o.Base]
	if base != nil {
		p.keep(base)
	}
	s.mu.Unlock()
	if base == nil {
		return "", failf("commit", name, NotFound, "the image that the container was made of is not here any more")
	}
	dir, err := os.MkdirTemp(s.path("staging"), "commit-")
	if err != nil {
		return "", wrap("commit", name, err)
	}
	defer s.discard(dir)
	p.privacy = s.privacyOf(base.ID)
	image, err := s.describeChange(p, base, dir, o)
	if err == nil {
		err = s.land(p, image, refs, base) //nolint:contextcheck // accepted work runs in the daemon's context
	}
	if err != nil {
		return "", wrap("commit", name, err)
	}
	s.events.add(Event{Action: ActionCommitted, Reference: target, ID: image.ConfigDigest, By: o.By})
	return image.ConfigDigest, nil
}

func shortName(id string) string { return id[:min(len(id), 12)] }

// describeChange packs the container's changes into a blob in dir and writes the
// image's documents.
func (s *Store) describeChange(p *pull, base *stored, dir string, o CommitOptions) (*registry.Image, error) {
	text, err := s.readBlob(p.name, base.ID)
	if err != nil {
		return nil, err
	}
	config, err := parseConfig(text)
	if err != nil {
		return nil, failf("commit", p.name, Corrupt, "the config of the image it was made of is damaged (%w); pull that again", err)
	}
	top, err := s.packUpper(p, dir, base, o)
	if err != nil {
		return nil, err
	}
	image := &registry.Image{MediaType: archive.ManifestType, Platform: base.Platform}
	for _, l := range base.Layers {
		image.Layers = append(image.Layers, registry.Layer{Digest: l.Blob, MediaType: l.MediaType, Size: l.BlobSize, DiffID: l.DiffID})
	}
	if top.Digest != "" {
		image.Layers = append(image.Layers, top)
	}
	if image.Config, err = json.Marshal(changed(config, top.DiffID, o)); err != nil {
		return nil, err
	}
	layers := make([]archive.Layer, 0, len(image.Layers))
	for _, l := range image.Layers {
		layers = append(layers, archive.Layer{Digest: l.Digest, MediaType: l.MediaType, Size: l.Size})
	}
	if image.Manifest, err = archive.MakeManifest(image.Config, layers); err != nil {
		return nil, err
	}
	image.ConfigDigest, image.ManifestDigest = sumOf(image.Config), sumOf(image.Manifest)
	image.Digest = image.ManifestDigest
	return image, nil
}

// changed is the config of an image with one more step (moby's NewChildImage), which
// the container's command has made.
func changed(c *v1.ConfigFile, diff string, o CommitOptions) *v1.ConfigFile {
	now := v1.Time{Time: time.Now().UTC()}
	c.Created, c.Author, c.Container = now, o.Author, o.Container
	if c.OS == "" {
		c.OS = "linux"
	}
	empty := diff == ""
	if !empty {
		hash := v1.Hash{Algorithm: "sha256", Hex: strings.TrimPrefix(diff, "sha256:")}
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, hash)
	}
	c.RootFS.Type = "layers"
	if o.Edit != nil {
		o.Edit(&c.Config)
	}
	c.History = append(c.History, v1.History{
		Created: now, Author: o.Author, CreatedBy: strings.Join(c.Config.Cmd, " "), Comment: o.Message, EmptyLayer: empty,
	})
	return c
}

// plainRoot says whether a root directory is as every image has it, so that a layer
// of it alone would say nothing.
func plainRoot(tree *os.File) bool {
	var st unix.Stat_t
	err := unix.Fstat(int(tree.Fd()), &st)
	return err == nil && st.Mode&0o7777 == 0o755 && st.Uid == 0 && st.Gid == 0
}

// packUpper makes the blob of a container's changes, among the arrival's files. It
// is a zero Layer if there are none.
func (s *Store) packUpper(p *pull, dir string, base *stored, o CommitOptions) (registry.Layer, error) {
	top := registry.Layer{MediaType: "application/vnd.oci.image.layer.v1.tar+gzip"}
	fd, err := unix.Openat(int(o.Upper.Fd()), "upper", unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) { // never started: nothing has changed
		return registry.Layer{}, nil
	}
	if err != nil {
		return top, &os.PathError{Op: "open", Path: "upper", Err: err}
	}
	tree := os.NewFile(uintptr(fd), "upper")
	defer func() { _ = tree.Close() }() // only a place in a tree
	omit, err := s.onlyPlaces(p.ctx, base, tree, o.Places)
	if err != nil {
		return top, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "layer"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return top, err
	}
	blob := pack.NewBlob(&roomy{w: f, room: func() error { return s.room("commit", p.name, 0) }})
	result, err := pack.Layer(p.ctx, blob, tree, pack.Options{Omit: omit})
	if e := blob.Close(); err == nil {
		err = e
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return top, err
	}
	if result.Entries <= 1 && plainRoot(tree) {
		return registry.Layer{}, nil
	}
	top.Digest, top.Size, top.DiffID = blob.Digest(), blob.Size(), result.DiffID
	p.files = map[string]string{top.Digest: f.Name()}
	s.crash("commit.packed")
	return top, nil
}

// roomy looks after the disk's free space while it is written to.
type roomy struct {
	w    io.Writer
	n    int64
	room func() error
}

func (w *roomy) Write(b []byte) (int, error) {
	if before := w.n / spaceStep; (w.n+int64(len(b)))/spaceStep != before {
		if err := w.room(); err != nil {
			return 0, err
		}
	}
	n, err := w.w.Write(b)
	w.n += int64(n)
	return n, err
}

func sumOf(text []byte) string {
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}
