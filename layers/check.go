package layers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"hull/layers/internal/sys"
	"hull/layers/registry"
)

// Check verifies what is in the store: records, blobs against their digests, and
// each layer's tree against what its blob unpacks to. It tells every flaw in a line
// and returns their number. Nothing is changed, and everything else goes on; it
// takes as long as it takes to read and unpack everything once.
func (s *Store) Check(ctx context.Context, report func(line string)) (flaws int, err error) {
	return s.inspect(ctx, "check", nil, report)
}

// Repair is Check, and mends what it can: damaged blobs and layers are fetched and
// unpacked again (with the credentials of k, nil = the store's), what no record needs
// goes, and an image of which something is lost for good becomes one whose pull
// failed. A layer that containers have is left as it is while they do. It returns
// how many flaws are left.
func (s *Store) Repair(ctx context.Context, k registry.Keychain, report func(line string)) (left int, err error) {
	return s.inspect(ctx, "repair", s.clientOf(k), report)
}

// inspection is one run of Check or Repair.
type inspection struct {
	*Store
	p      *pull // its arrival
	mend   bool
	report func(string)
	flaws  int
	bad    map[string]bool // records, blobs and layers that are damaged and not mended
}

func (s *Store) inspect(ctx context.Context, op string, mend *registry.Client, report func(string)) (int, error) {
	client := mend
	if client == nil {
		client = s.client
	}
	in := &inspection{Store: s, p: s.arrive(ctx, op, s.dir, 0, client), mend: mend != nil, report: report, bad: map[string]bool{}}
	defer s.depart(in.p)
	for _, step := range []func() error{in.records, in.allBlobs, in.lostImages, in.allLayers, in.wholeness, in.strays} {
		if err := step(); err != nil {
			return in.flaws, wrap(op, s.dir, err)
		}
	}
	return in.flaws, nil
}

// flaw tells one, and mends it if that is asked for. fix returns how.
func (in *inspection) flaw(fix func() (string, error), format string, args ...any) (mended bool) {
	line := fmt.Sprintf(format, args...)
	if !in.mend || fix == nil {
		in.flaws++
		in.report(line)
		return false
	}
	how, err := fix()
	if err != nil {
		in.flaws++
		how = "not mended: " + err.Error()
	}
	in.report(line + "; " + how)
	return err == nil
}

// allBlobs reads every blob.
func (in *inspection) allBlobs() error {
	in.mu.Lock()
	sizes := make(map[string]int64, len(in.blobs))
	maps.Copy(sizes, in.blobs)
	in.mu.Unlock()
	digests := make([]string, 0, len(sizes))
	for digest := range sizes {
		digests = append(digests, digest)
	}
	slices.Sort(digests)
	for _, digest := range digests {
		got, err := in.hashOf(in.blobPath(digest))
		if in.p.ctx.Err() != nil {
			return in.p.ctx.Err()
		}
		if got == digest || !in.hasBlob(digest) { // or it has gone meanwhile
			continue
		}
		why := "its content is another"
		if err != nil {
			why = err.Error()
		}
		in.bad[digest] = !in.flaw(func() (string, error) { return in.mendBlob(digest) }, "the blob %s is damaged (%s)", digest, why)
	}
	return nil
}

func (in *inspection) hashOf(path string) (string, error) {
	f, err := sys.OpenRegular(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // it was only read
	sum := sha256.New()
	_, err = io.Copy(sum, &stoppable{in.p.ctx, f})
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), err
}

// allLayers compares every layer with what its blob unpacks to.
func (in *inspection) allLayers() error {
	done := map[string]bool{}
	in.mu.Lock()
	images := make([]*stored, 0, len(in.images))
	for _, st := range in.images {
		images = append(images, st)
		in.p.keep(st) // so that what is looked at stays
	}
	in.mu.Unlock()
	slices.SortFunc(images, func(a, b *stored) int { return strings.Compare(a.ID, b.ID) })
	for _, st := range images {
		for i, l := range st.Layers {
			if done[l.Key] {
				continue
			}
			done[l.Key] = true
			if err := in.layer(st, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// layer looks at one layer of an image.
func (in *inspection) layer(st *stored, i int) error {
	l := st.Layers[i]
	why := in.layerFlaw(l)
	in.bad[l.Key] = why != ""
	if why == "" && (!in.hasBlob(l.Blob) || in.bad[l.Blob] || in.badBelow(st, i)) {
		return nil // there is nothing to compare it with
	}
	if !in.hasBlob(l.Blob) && in.mend {
		if err := in.bringBlob(in.p.ctx, in.p, l); err != nil {
			in.flaw(func() (string, error) { return "", err }, "the layer %s %s", l.Key, why)
			return nil
		}
	}
	if !in.hasBlob(l.Blob) || in.bad[l.Blob] {
		in.flaw(nil, "the layer %s %s", l.Key, why)
		return nil
	}
	fresh, err := in.unpackAgain(st, i)
	if err != nil {
		if in.p.ctx.Err() != nil || KindOf(err) == Space {
			return err
		}
		in.flaw(func() (string, error) { return "", err }, "the layer %s cannot be compared with its blob", l.Key)
		return nil
	}
	defer fresh.drop(in.Store)
	in.mu.Lock()
	known := in.layers[l.Key]
	in.mu.Unlock()
	if f := fresh.record; why == "" && known != nil && f.key() == l.Key && (f.Size != known.Size || f.Entries != known.Entries) {
		why = "has a record that is not its own"
	}
	if why == "" {
		why, err = in.compare(l.Key, fresh)
		if err != nil {
			return err
		}
	}
	if why != "" {
		in.bad[l.Key] = !in.flaw(func() (string, error) { return "unpacked again", in.replace(l.Key, fresh) }, "the layer %s %s", l.Key, why)
	}
	return nil
}

// badBelow says whether a layer below is damaged.
func (in *inspection) badBelow(st *stored, i int) bool {
	return slices.ContainsFunc(st.Layers[:i], func(l storedLayer) bool { return in.bad[l.Key] })
}

// layerFlaw is what can be seen at once.
func (in *inspection) layerFlaw(l storedLayer) string {
	dir := in.path("layers", layerName(l.Key))
	text, err := sys.ReadRegular(filepath.Join(dir, "layer.json"), maxRecord)
	if err != nil {
		return "has no record"
	}
	r := new(layer)
	in.mu.Lock()
	known := in.layers[l.Key]
	in.mu.Unlock()
	if known != nil {
		r.made = known.made // not of the record, but of its file
	}
	if json.Unmarshal(text, r) != nil || known == nil || *r != *known || r.DiffID != l.DiffID {
		return "has a record that is not its own"
	}
	if info, err := os.Lstat(filepath.Join(dir, "diff")); err != nil || !info.IsDir() {
		return "has no files"
	}
	return ""
}

func (in *inspection) compare(key string, fresh *freshLayer) (why string, err error) {
	have, err := openTree(in.path("layers", layerName(key), "diff"))
	if err != nil {
		return "", err
	}
	defer func() { _ = have.Close() }() // only a place in a tree
	difference, err := compareTrees(in.p.ctx, have, fresh.tree)
	if difference != "" {
		why = "is damaged: its file " + difference
	}
	return why, err
}

// wholeness looks at what images need.
func (in *inspection) wholeness() error {
	in.mu.Lock()
	var broken []*stored
	for _, st := range in.images {
		if !in.complete(st) {
			broken = append(broken, st)
		}
	}
	in.mu.Unlock()
	for _, st := range broken {
		in.flaw(func() (string, error) { return in.giveUp(st) }, "the image %s is not whole", st.ID)
	}
	return nil
}

// strays looks for what no record needs.
func (in *inspection) strays() error {
	if err := in.lockChange(in.p.ctx); err != nil {
		return err
	}
	defer in.unlockChange()
	for _, dir := range []string{"layers", "blobs/sha256"} {
		entries, err := os.ReadDir(in.path(dir))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if in.isKnown(dir, e.Name()) {
				continue
			}
			in.flaw(func() (string, error) {
				in.discard(in.path(filepath.FromSlash(dir), e.Name()))
				return "removed", nil
			}, "%s/%s belongs to nothing", dir, e.Name())
		}
	}
	return nil
}
