package layers

import (
	"cmp"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"hull/layers/reference"
	"hull/layers/registry"
)

// A reference has one image. Asked for another platform of it, it comes to point to
// that, and what it pointed to before stays without a name, as with Docker. Both say
// by which index they came, so whoever wants a platform finds it beside the name as
// long as the name means that index.

// ParsePlatform reads a platform as docker's --platform has it, and returns it as
// Docker spells it: "linux/arm64", "linux/arm/v7".
func ParsePlatform(words string) (string, error) {
	p, err := registry.ParsePlatform(words)
	if err != nil {
		return "", &Error{Op: "choose the platform", Kind: Invalid, Err: err}
	}
	return registry.PlatformName(p), nil
}

// machine is the platform of who does not ask for one.
func (s *Store) machine() v1.Platform {
	if s.o.Platform.OS != "" {
		return s.o.Platform
	}
	return registry.HostPlatform()
}

// asked is a platform as it goes on record: empty for the machine's own.
func (s *Store) asked(words string) (string, error) {
	if words == "" {
		return "", nil
	}
	name, err := ParsePlatform(words)
	if name == registry.PlatformName(s.machine()) {
		name = ""
	}
	return name, err
}

// named is a platform on record for people.
func (s *Store) named(asked string) string {
	return cmp.Or(asked, registry.PlatformName(s.machine()))
}

// platformOf is the platform that is on record as asked for.
func (s *Store) platformOf(asked string) v1.Platform {
	if asked == "" {
		return s.machine()
	}
	p, err := registry.ParsePlatform(asked)
	if err != nil { // somebody has edited the record
		return s.machine()
	}
	return p
}

// originOf is what a pull puts on record beside its image.
func (s *Store) originOf(p *pull, digest string, st *stored) origin {
	o := origin{Digest: digest, For: p.asked}
	if want := s.platformOf(p.asked); p.asked == "" && registry.Suits(want, st.Platform) < 0 {
		o.For = registry.PlatformName(want) // the index says so, and counts more
	}
	return o
}

// FindFor is Find of a name for a platform, empty for whichever the name has. If the
// name's own image is for another one, it is the image of that platform that the name
// had before, by the same index; or what is on its way, which is not usable.
func (s *Store) FindFor(name, platform string) (im *Image, ok bool, err error) {
	asked, err := s.asked(platform)
	if err != nil {
		return nil, false, err
	}
	im, ok = s.Find(name)
	if !ok || platform == "" || !im.Usable() {
		return im, ok, nil
	}
	sn := s.snapshot.Load()
	own := sn.lookup(name)
	if own == nil {
		return nil, false, nil
	}
	if fit := s.fit(sn, own, sn.indexOf(name, own), asked); fit != nil {
		return sn.now(fit), true, nil
	}
	if sn.coming(own, asked) {
		return &Image{Reference: own.Reference, Status: own.Status, Made: own.Made, Private: own.Private, Reader: own.Reader}, true, nil
	}
	return nil, false, nil
}

// indexOf is the index that a name means which leads to an image; empty if the name means
// that very image, as its ID and its manifest's digest do.
func (sn *snapshot) indexOf(name string, own *Image) string {
	ref, err := reference.Parse(name)
	if err != nil || ref.Digest != "" && ref.Digest != own.Digest {
		return ""
	}
	if familiar := ref.Familiar(); sn.names[familiar] == nil && sn.digest[familiar] == "" {
		return ""
	}
	return own.Digest
}

// fit is the best for a platform of an image and those that came by an index, if that is
// not empty. What fewer may look at than the image itself is not to be had by its name.
func (s *Store) fit(sn *snapshot, own *Image, index, asked string) *Image {
	list := []*Image{own}
	for _, im := range sn.list {
		hidden := im.Private && (!own.Private || own.Reader != im.Reader)
		if im.ID != "" && im.ID != own.ID && index != "" && im.Digest == index && !hidden {
			list = append(list, im)
		}
	}
	want := s.platformOf(asked)
	name := s.named(asked)
	platforms := make([]string, len(list))
	for i, im := range list {
		platforms[i] = im.Platform
		if sn.record[im].For == name { // the index's word counts more than its own
			platforms[i] = name
		}
	}
	if i := registry.Suits(want, platforms...); i >= 0 {
		return list[i]
	}
	return nil
}

// coming says whether a reference is being pulled for a platform.
func (sn *snapshot) coming(im *Image, asked string) bool {
	if p, ok := sn.live[im].(*pull); ok {
		return p.asked == asked
	}
	r := sn.record[im]
	return r.Status == Pulling && r.Asked == asked
}

// forPull is the image that a name with a digest means to a pull for a platform, if it is
// here.
func (s *Store) forPull(sn *snapshot, name, asked string) *Image {
	own := sn.ids[sn.digest[name]]
	if own == nil {
		return nil
	}
	return s.fit(sn, own, sn.indexOf(name, own), asked)
}

// isFor is the platform that was asked for, for who pulls again; empty is the machine's.
func (r *record) isFor(p *pull) string {
	if p != nil {
		return p.asked
	}
	return cmp.Or(r.Asked, r.For)
}
