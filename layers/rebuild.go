package layers

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"time"

	"hull/layers/internal/sys"
	"hull/layers/reference"
)

// rebuild makes the record of a file in images/ that cannot be read, of what else says
// the same: the file's name says whose it is, what is left of its text which image
// that had, and blobs/ what that image is. what is the image if it is known otherwise,
// nil if not. A name whose image is not known gets the record of a failed pull; it is
// nil if not even a name is known.
func (s *Store) rebuild(file string, what *stored) *record {
	text, err := sys.ReadRegular(s.path("images", file), maxRecord)
	if err != nil {
		text = nil // it is a directory now, or the disk does not read it
	}
	ref, id, known := ownerOf(file, text)
	if what == nil {
		what = s.describedIn(text, id)
	}
	switch {
	case !known, what == nil && id != "":
		return nil
	case what == nil:
		r := &record{Status: Failed, ErrorKind: Corrupt.String(), Made: s.recordMade(file), rebuilt: true}
		r.Error = "the record of " + ref.Familiar() + " in the store is damaged; write repair to hull's ctl, pull it again, or remove it"
		return r.named(ref)
	}
	name := ""
	if id == "" {
		name = ref.String()
	}
	r := proven(text, name, what)
	if r == nil {
		r = s.likely(file, text, what)
		r.Kept = id != ""
	}
	r.rebuilt = true
	if id != "" {
		r.name = id
		return r
	}
	return r.named(ref)
}

// ownerOf is whose record a file of images/ is: a reference's, or that of an image
// without one, by its ID. A name that was too long for a file is only in the text.
func ownerOf(file string, text []byte) (ref reference.Reference, id string, known bool) {
	name := strings.NewReplacer("%2F", "/", "%25", "%").Replace(strings.TrimSuffix(file, ".json"))
	if isDigest(name) {
		return ref, name, true
	}
	_, after, _ := bytes.Cut(text, []byte(`"reference": "`))
	inside, _, _ := bytes.Cut(after, []byte(`"`))
	for _, name := range []string{name, string(inside)} {
		ref, err := reference.Parse(name)
		if err == nil && (&record{Reference: ref.String()}).fileName() == file {
			return ref, "", true
		}
	}
	return ref, "", false
}

// describedIn finds the image that a text speaks of: the first whose documents are
// here. An id, if not empty, is the one that it has to have.
func (s *Store) describedIn(text []byte, id string) *stored {
	const prefix, digits = "sha256:", 64
	seen := map[string]bool{}
	for {
		at := bytes.Index(text, []byte(prefix))
		if at < 0 || len(text) < at+len(prefix)+digits {
			return nil
		}
		digest := string(text[at : at+len(prefix)+digits])
		text = text[at+len(prefix):]
		if seen[digest] || !isDigest(digest) {
			continue
		}
		seen[digest] = true
		if st := s.recall(digest); st != nil && (id == "" || st.ID == id) {
			return st
		}
	}
}

// maxManifest is more than a manifest that was ever taken in has.
const maxManifest = 4 << 20

// recall describes the image whose manifest a blob is; nil if it is none, or its
// config is not here.
func (s *Store) recall(digest string) *stored {
	s.mu.Lock()
	size, have := s.blobs[digest]
	s.mu.Unlock()
	if !have || size > maxManifest {
		return nil
	}
	manifest, err := s.readBlob(digest, digest)
	if err != nil || !bytes.HasPrefix(bytes.TrimSpace(manifest), []byte("{")) {
		return nil
	}
	image, err := s.client.Recall(manifest, func(config string) ([]byte, error) { return s.readBlob(digest, config) })
	if err != nil {
		return nil
	}
	st, err := describe("repair", digest, image)
	if err != nil {
		return nil
	}
	for i, chain := range chainIDs(image.Layers) {
		st.Layers[i].Key = s.keyOf(image.Layers[i].DiffID, chain)
	}
	return st
}

// keyOf is the key by which a layer is in the store, or may come to be again.
func (s *Store) keyOf(diff, chain string) string {
	s.mu.Lock()
	l := s.committed(diff, chain)
	s.mu.Unlock()
	if l != nil {
		return l.key()
	}
	if _, err := os.Lstat(s.path("layers", layerName(chain))); err == nil {
		return chain
	}
	return diff
}

// proven puts the reference and the image into what is left of a record's text. It is
// nil unless that makes the very text that hull wrote, by its checksum.
func proven(text []byte, reference string, what *stored) *record {
	body, sum := unseal(text)
	r := new(record)
	if sum == "" || json.Unmarshal(body, r) != nil || r.Image == nil {
		return nil
	}
	r.Reference = reference
	left := r.Image
	for _, image := range []*stored{what.after(left, true), what.after(left, false)} {
		r.Image = image
		if whole, err := seal(r); err == nil {
			if _, got := unseal(whole); got == sum {
				return r
			}
		}
	}
	return nil
}

// after returns a copy of the image's description that has from another what documents
// do not say: where its layers are to be had, and with types the media types too, which
// a registry may have told in another way.
func (im *stored) after(of *stored, types bool) *stored {
	copied := *im
	copied.Layers = slices.Clone(im.Layers)
	if types {
		copied.MediaType = of.MediaType
	}
	for i := range copied.Layers {
		l := &copied.Layers[i]
		if i >= len(of.Layers) || of.Layers[i].Blob != l.Blob {
			continue
		}
		l.Sources = of.Layers[i].Sources
		if types {
			l.MediaType = of.Layers[i].MediaType
		}
	}
	return &copied
}

// likely is a record of the image with what is still credible of the text. Whether it
// was pulled with a login is not known of a text that is not whole: then only those
// may look at it whom no login keeps out.
func (s *Store) likely(file string, text []byte, what *stored) *record {
	r := &record{Status: Ready, Made: s.recordMade(file), origin: origin{Digest: what.Manifest}, Image: what, privacy: s.leastPrivacy(what.ID)}
	body, _ := unseal(text)
	strict := json.NewDecoder(bytes.NewReader(body))
	strict.DisallowUnknownFields()
	left := new(record)
	if strict.Decode(left) != nil {
		return r
	}
	r.By, r.privacy = left.By, privacy{Private: left.Private}
	if !left.Made.IsZero() && left.Made.Before(r.Made.Add(time.Minute)) {
		r.Made = left.Made
	}
	if all := left.all(); all != nil {
		r.Image = what.after(all, false)
	}
	return r
}

// leastPrivacy is what other records allow of an image: what is public by one name is
// so by any.
func (s *Store) leastPrivacy(id string) privacy {
	s.mu.Lock()
	known := slices.ContainsFunc(s.of(id), func(r *record) bool { return r.Image != nil })
	s.mu.Unlock()
	if known {
		return s.privacyOf(id)
	}
	return privacy{Private: true}
}

// recordMade is when a record's file was written last.
func (s *Store) recordMade(file string) time.Time {
	info, err := os.Lstat(s.path("images", file))
	if err != nil {
		return time.Now().Round(0)
	}
	return info.ModTime()
}

// remember takes a record into memory, and says whether its image is whole. What lacks
// something keeps the rest for a repair. The caller holds mu, or has the store for itself.
func (s *Store) remember(r *record) (whole bool) {
	whole = r.Image == nil || s.complete(r.Image)
	if !whole {
		copied := *r
		r = &copied
		r.lose()
	}
	s.names[r.name] = r
	if r.Image != nil {
		r.Image = s.sized(r.Image.sourced(reference.Reference{}, s.images[r.Image.ID]))
		s.images[r.Image.ID] = r.Image
	}
	return whole
}

// enter puts a record on the disk and into memory. The caller holds the change lock.
func (s *Store) enter(r *record) error {
	if err := s.writeRecord(r); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remember(r)
	s.publish()
	return nil
}

// nameless are the images whose documents are here and that no record speaks of.
func (s *Store) nameless() []*stored {
	s.mu.Lock()
	known := map[string]bool{}
	for _, st := range s.described() {
		known[st.ID], known[st.Manifest] = true, true
		for _, l := range st.Layers {
			known[l.Blob] = true
		}
	}
	var others []string
	for digest, size := range s.blobs {
		if !known[digest] && size <= maxManifest {
			others = append(others, digest)
		}
	}
	s.mu.Unlock()
	slices.Sort(others)
	var list []*stored
	for _, digest := range others {
		if st := s.recall(digest); st != nil && !known[st.ID] {
			known[st.ID] = true
			list = append(list, st)
		}
	}
	return list
}
