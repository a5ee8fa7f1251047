package layers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hull/layers/internal/sys"
	"hull/layers/reference"
)

// record is one file of images/: what a reference points to, or the pull that
// is to make it. Records are immutable once they are in memory; a change makes
// a new one, writes it, and swaps the pointer.
type record struct {
	Reference string    `json:"reference,omitempty"` // canonical; empty for an image without tags
	Status    Status    `json:"status"`
	Error     string    `json:"error,omitempty"`
	ErrorKind string    `json:"error_kind,omitempty"`
	By        uint32    `json:"by"`
	Made      time.Time `json:"made"`
	origin
	Image  *stored  `json:"image,omitempty"`  // nil until first ready
	Wanted []string `json:"wanted,omitempty"` // blobs an unfinished pull may find in ingest/
	Lost   *stored  `json:"lost,omitempty"`   // what Image was before something of it got lost: the rest stays
	Kept   bool     `json:"kept,omitempty"`   // without a tag, and stays until it is removed or pruned
	Tries  int      `json:"tries,omitempty"`  // how often a daemon's start has taken the pull or push up again
	Push   *pusher  `json:"push,omitempty"`   // the push under way
	Asked  string   `json:"asked,omitempty"`  // the platform of the pull under way, or of the last if that failed; empty is the machine's
	privacy

	name    string   // familiar reference, or the ID of an image without tags: the key in memory
	digests []string // the aliases repository@digest
	bare    bool     // its file had no checksum
	rebuilt bool     // its file could not be read: what it says is known from elsewhere, as far as it is
}

// origin is where a reference's image comes from.
type origin struct {
	Digest string `json:"digest,omitempty"` // what the reference named in the registry
	For    string `json:"for,omitempty"`    // the platform it was asked for, if that was not the machine's, or its config names another
}

// pusher is who asked for a push.
type pusher struct {
	By      uint32 `json:"by"`
	Through string `json:"through,omitempty"` // the other name by which it was asked for
}

// named completes a record with what is derived from its reference.
func (r *record) named(ref reference.Reference) *record {
	r.Reference, r.name, r.digests = ref.String(), ref.Familiar(), nil
	if r.Image == nil {
		return r
	}
	r.digests = append(r.digests, ref.WithDigest(r.Image.Manifest).Familiar())
	if r.Digest != "" && r.Digest != r.Image.Manifest {
		r.digests = append(r.digests, ref.WithDigest(r.Digest).Familiar())
	}
	return r
}

// stored describes an image in the store; shared by the records of its tags.
type stored struct {
	ID        string        `json:"id"`
	Manifest  string        `json:"manifest"` // digest; the document is in blobs/
	MediaType string        `json:"media_type"`
	Platform  string        `json:"platform"`
	Created   time.Time     `json:"created,omitzero"`
	Layers    []storedLayer `json:"layers"` // lowest first

	size int64    // of its layers' files
	keys []string // of Layers
}

type storedLayer struct {
	Blob      string   `json:"blob"`
	MediaType string   `json:"media_type,omitempty"`
	BlobSize  int64    `json:"blob_size"`
	DiffID    string   `json:"diff_id"`
	Sources   []string `json:"sources,omitempty"` // repositories that have the blob: "docker.io/library/redis"
	Key       string   `json:"key"`               // name in layers/: the diff ID, or the chain ID of a layer that takes from those below
}

// all is what the record's image needs, or would if it were whole; nil if that is
// not known.
func (r *record) all() *stored {
	if r.Image != nil {
		return r.Image
	}
	return r.Lost
}

// essence is what a record says, but for what is learned about other images beside it.
func (r *record) essence() string {
	copied := *r
	for _, im := range []**stored{&copied.Image, &copied.Lost} {
		if *im == nil {
			continue
		}
		bare := **im
		bare.Layers = slices.Clone(bare.Layers)
		for i := range bare.Layers {
			bare.Layers[i].Sources = nil
		}
		*im = &bare
	}
	text, err := json.Marshal(&copied)
	if err != nil {
		return err.Error() // it has been marshalled before
	}
	return string(text)
}

// fileName is the name of the record's file: the reference with / escaped, so
// that a person finds it, or the ID of an image without tags. Names too long
// for a file keep their beginning and get a hash.
func (r *record) fileName() string {
	name := r.Reference
	if name == "" {
		name = r.all().ID
	}
	name = strings.NewReplacer("%", "%25", "/", "%2F").Replace(name)
	if len(name) > 200 {
		sum := sha256.Sum256([]byte(name))
		name = name[:120] + "~" + hex.EncodeToString(sum[:])
	}
	return name + ".json"
}

// writeRecord puts the record on disk: temporary file, fsync, rename, fsync of
// the directory. The caller holds the change lock.
func (s *Store) writeRecord(r *record) error {
	text, err := seal(r)
	if err != nil {
		return err
	}
	return s.writeDurably(filepath.Join("images", r.fileName()), text, "record")
}

// removeRecord takes the record off the disk. The caller holds the change lock.
func (s *Store) removeRecord(r *record) error {
	path := s.path("images", r.fileName())
	s.clear(path)
	err := os.Remove(path)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	return s.syncDir("images")
}

// writeDurably writes a small file by way of staging/, which is emptied at
// each start. Crash points: what+".temporary" and what+".renamed".
func (s *Store) writeDurably(name string, content []byte, what string) error {
	f, err := os.CreateTemp(s.path("staging"), "file-")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		s.crash(what + ".temporary")
		s.clear(s.path(name))
		err = os.Rename(f.Name(), s.path(name))
	}
	if err != nil {
		_ = os.Remove(f.Name()) // staging/ is emptied at the next start anyway
		return err
	}
	s.crash(what + ".renamed")
	return s.syncDir(filepath.Dir(name))
}

// clear takes a directory away that has come to lie where a file belongs: a rename
// would not.
func (s *Store) clear(path string) {
	if old, err := os.Lstat(path); err == nil && old.IsDir() {
		s.discard(path)
	}
}

// syncDir makes renames in a directory of the store durable.
func (s *Store) syncDir(name string) error {
	d, err := os.Open(s.path(name))
	if err != nil {
		return err
	}
	err = d.Sync()
	if e := d.Close(); err == nil {
		err = e
	}
	return err
}

// readRecords loads images/, and returns the names of those files besides that cannot
// be read. They stay where they are, for a repair or for a person to mend; until then
// nothing is swept, because what they need is not known.
func (s *Store) readRecords() (records []*record, damaged []string, err error) {
	entries, err := os.ReadDir(s.path("images"))
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") {
			continue // nothing of the store's; Check tells of it
		}
		r, err := s.readRecord(e.Name())
		if err != nil {
			s.log.Error("an image's record cannot be read; nothing will be swept until repair has mended it, or it is removed",
				"file", s.path("images", e.Name()), "err", err)
			damaged = append(damaged, e.Name())
			continue
		}
		if r.bare {
			s.log.Warn("an image's record has no checksum: it was edited by hand, or is damaged; repair writes it anew",
				"file", s.path("images", e.Name()))
		}
		records = append(records, r)
	}
	return records, damaged, nil
}

// maxRecord is more than any record is long: 500 layers, each with its repositories.
const maxRecord = 16 << 20

func (s *Store) readRecord(name string) (*record, error) {
	text, err := sys.ReadRegular(s.path("images", name), maxRecord)
	if err != nil {
		return nil, err
	}
	r, err := parseRecord(text)
	if err == nil && r.fileName() != name {
		return nil, fmt.Errorf("its reference belongs into a file named %s", r.fileName())
	}
	return r, err
}

func parseRecord(text []byte) (*record, error) {
	body, sum := unseal(text)
	r := &record{bare: sum == ""}
	if err := json.Unmarshal(body, r); err != nil {
		return nil, err
	}
	if sum != "" && sum != sumOf(body) {
		return nil, fmt.Errorf("its checksum is of another text; who has edited it by hand takes the line with \"sum\" out")
	}
	if r.Reference == "" && r.all() == nil {
		return nil, fmt.Errorf("it names neither a reference nor an image")
	}
	for _, im := range []*stored{r.Image, r.Lost} {
		if im == nil {
			continue
		}
		if err := im.check(); err != nil {
			return nil, err
		}
	}
	if r.Reference != "" {
		ref, err := parse("open", r.Reference)
		if err != nil {
			return nil, err
		}
		if ref.String() != r.Reference {
			return nil, fmt.Errorf("its reference %q has to be written in full, as %q", r.Reference, ref)
		}
		return r.named(ref), nil
	}
	r.name = r.all().ID
	return r, nil
}

// check refuses digests that would not be plain file names.
func (im *stored) check() error {
	digests := []string{im.ID, im.Manifest}
	for _, l := range im.Layers {
		digests = append(digests, l.DiffID, l.Key, l.Blob)
	}
	for _, d := range digests {
		if _, err := hexOf(d); err != nil {
			return err
		}
	}
	return nil
}

// hexOf is the 64 hex digits of a sha256 digest, which are safe as a file name.
func hexOf(digest string) (string, error) {
	h, found := strings.CutPrefix(digest, "sha256:")
	if found && len(h) == 64 && strings.Trim(h, "0123456789abcdef") == "" {
		return h, nil
	}
	return "", fmt.Errorf("%q is not a sha256 digest", digest)
}
