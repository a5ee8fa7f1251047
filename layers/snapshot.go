package layers

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"hull/layers/reference"
)

// snapshot is everything that readers see, made anew at each change and never
// changed itself.
type snapshot struct {
	list   []*Image           // by reference; images without tags last, by ID
	names  map[string]*Image  // by familiar reference
	ids    map[string]*Image  // by ID: one of the image's references, usable
	short  map[string]string  // the ID's first 12 digits to the ID; "" if two share them
	digest map[string]string  // repository@digest to the ID
	live   map[*Image]moving  // whose Done and Total still grow
	record map[*Image]*record // what it was made of

	counted sync.Once // makes users
	users   map[string]users
}

// moving is a pull or a push.
type moving interface {
	bytes() (done, total int64)
}

// publish makes a new snapshot of the maps. The caller holds mu.
func (s *Store) publish() {
	sn := &snapshot{
		names:  make(map[string]*Image, len(s.names)),
		ids:    make(map[string]*Image, len(s.images)),
		short:  make(map[string]string, len(s.images)),
		digest: make(map[string]string, len(s.names)),
		live:   make(map[*Image]moving, len(s.pulls)+len(s.pushes)),
		record: make(map[*Image]*record, len(s.names)),
	}
	tags := make(map[string][]string, len(s.images))
	for name, r := range s.names {
		if r.Image != nil && r.Reference != "" {
			tags[r.Image.ID] = append(tags[r.Image.ID], name)
		}
	}
	for _, t := range tags {
		slices.Sort(t)
	}
	for name, r := range s.names {
		if r.Reference == "" && r.Image == nil {
			continue // a lost one without a name can only be repaired
		}
		im := s.imageOf(r, s.pulls[name], tags)
		sn.list = append(sn.list, im)
		sn.record[im] = r
		if r.Reference == "" {
			continue
		}
		sn.names[name] = im
		if p := s.pulls[name]; p != nil {
			sn.live[im] = p
		}
		if p := s.pushes[name]; p != nil {
			sn.live[im], im.Status = p, Pushing
		}
	}
	slices.SortFunc(sn.list, func(a, b *Image) int {
		if a.Reference == "" || b.Reference == "" {
			return cmp.Or(strings.Compare(b.Reference, a.Reference), strings.Compare(a.ID, b.ID))
		}
		return strings.Compare(a.Reference, b.Reference)
	})
	for _, im := range sn.list {
		sn.index(im)
	}
	s.snapshot.Store(sn)
}

// imageOf is what readers see of a record.
func (s *Store) imageOf(r *record, p *pull, tags map[string][]string) *Image {
	im := &Image{Status: r.Status, Error: r.Error, Made: r.Made, By: r.By, Digest: r.Digest, For: r.isFor(p), Private: r.Private, Reader: r.Reader}
	if r.Reference != "" {
		im.Reference = r.name
	}
	if p != nil {
		im.Status = p.status
		if p.login.Load() && !im.Private {
			im.Private, im.Reader = true, p.by
		}
	} else if r.Status == Pulling {
		im.Status = Waiting // taken up again by Sweep
	}
	if st := r.Image; st != nil {
		im.ID, im.Created, im.Platform, im.Tags = st.ID, st.Created, st.Platform, tags[st.ID]
		im.Size, im.Layers = st.size, st.keys
	}
	if im.Platform == "" {
		im.Platform = im.For // what is to come
	}
	return im
}

// index adds an image's aliases.
func (sn *snapshot) index(im *Image) {
	if im.ID == "" {
		return
	}
	have := sn.ids[im.ID]
	if have == nil || have.Private && !im.Private { // by its ID it is as public as by any name
		sn.ids[im.ID] = im
	}
	if have == nil {
		short := im.ID[:len("sha256:")+12]
		if _, taken := sn.short[short]; taken {
			sn.short[short] = ""
		} else {
			sn.short[short] = im.ID
		}
	}
	for _, alias := range sn.record[im].digests {
		if _, taken := sn.digest[alias]; !taken || im.For == "" { // of an index with several platforms it is the machine's
			sn.digest[alias] = im.ID
		}
	}
}

// List is every image, by reference; images that lost their tags and that
// containers keep come last, by ID. What it returns is never changed.
func (s *Store) List() []*Image {
	sn := s.snapshot.Load()
	if len(sn.live) == 0 {
		return sn.list
	}
	list := slices.Clone(sn.list)
	for i, im := range list {
		list[i] = sn.now(im)
	}
	return list
}

// now fills in what grows while a pull or a push is under way.
func (sn *snapshot) now(im *Image) *Image {
	p := sn.live[im]
	if p == nil {
		return im
	}
	copied := *im
	copied.Done, copied.Total = p.bytes()
	return &copied
}

// Find looks an image up by reference in any spelling, by repository@digest, or
// by ID: 12 or 64 hex digits with or without "sha256:". A reference wins over an
// ID of the same spelling, as with Docker.
func (s *Store) Find(name string) (*Image, bool) {
	sn := s.snapshot.Load()
	im := sn.lookup(name)
	if im == nil {
		return nil, false
	}
	return sn.now(im), true
}

func (sn *snapshot) lookup(name string) *Image {
	if ref, err := reference.Parse(name); err == nil {
		familiar := ref.Familiar()
		if im := sn.names[familiar]; im != nil {
			return im
		}
		if id := sn.digest[familiar]; id != "" {
			return sn.ids[id]
		}
	}
	if id, short, ok := reference.ID(name); ok {
		if short {
			id = sn.short[id]
		}
		return sn.ids[id]
	}
	return nil
}

// exact is the record's familiar name if name is a reference of its own, and
// not an alias by digest or ID.
func (sn *snapshot) exact(name string) (string, bool) {
	ref, err := reference.Parse(name)
	if err != nil {
		return "", false
	}
	familiar := ref.Familiar()
	return familiar, sn.names[familiar] != nil
}

// aliased are the references that a repository@digest is an alias of, sorted.
func (sn *snapshot) aliased(name string) (refs []string) {
	alias, _ := sn.exact(name)
	for _, im := range sn.list {
		if slices.Contains(sn.record[im].digests, alias) {
			refs = append(refs, im.Reference)
		}
	}
	return refs
}

// findStored is the stored image a name leads to.
func (s *Store) findStored(op, name string) (*stored, error) {
	sn := s.snapshot.Load()
	im := sn.lookup(name)
	switch {
	case im == nil:
		return nil, failf(op, name, NotFound, "there is no such image here")
	case im.ID == "" && im.Status == Failed:
		return nil, failf(op, name, NotFound, "its pull failed (%s)", im.Error)
	case im.ID == "":
		return nil, failf(op, name, Busy, "its pull is still under way")
	}
	return sn.record[im].Image, nil
}
