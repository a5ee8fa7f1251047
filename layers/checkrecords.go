package layers

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// records reads images/ again. What memory knows is written anew.
func (in *inspection) records() error {
	if err := in.lockChange(in.p.ctx); err != nil {
		return err
	}
	defer in.unlockChange()
	entries, err := os.ReadDir(in.path("images"))
	if err != nil {
		return err
	}
	in.mu.Lock()
	known := make(map[string]*record, len(in.names))
	for _, r := range in.names {
		known[r.fileName()] = r
	}
	in.mu.Unlock()
	var unknown []string
	for _, e := range entries {
		r := known[e.Name()]
		delete(known, e.Name())
		if !in.record(e.Name(), r) {
			unknown = append(unknown, e.Name())
		}
	}
	for name, r := range known {
		in.flaw(func() (string, error) { return "written anew", in.writeRecord(r) }, "the record images/%s is missing", name)
	}
	in.unknown(unknown)
	whole := true
	for _, bad := range in.bad { // nothing but records yet
		whole = whole && !bad
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.whole = whole // what is on record is known now, so sweeping is safe
	return nil
}

// record compares a file of images/ with what memory has of it, and says whether it is
// known what it should say.
func (in *inspection) record(name string, r *record) (known bool) {
	if !strings.HasSuffix(name, ".json") {
		in.flaw(func() (string, error) { return "removed", in.removeFile(name) }, "images/%s belongs to nothing", name)
		return true
	}
	have, err := in.readRecord(name)
	anew := func() (string, error) { return "written anew", in.writeRecord(r) }
	switch {
	case err != nil && (r == nil || r.rebuilt && r.all() == nil):
		return false
	case err != nil:
		mended := in.flaw(anew, "the record images/%s cannot be read (%v)", name, err)
		in.bad["images/"+name] = r.rebuilt && !mended
	case r == nil: // somebody has put it there; the next daemon reads it
	case have.bare:
		in.flaw(anew, "the record images/%s has no checksum", name)
	case r.Lost == nil && have.essence() != r.essence():
		in.flaw(anew, "the record images/%s says something else than hull wrote", name)
	}
	return true
}

func (in *inspection) removeFile(name string) error {
	in.discard(in.path("images", name))
	return in.syncDir("images")
}

// unknown looks at files that cannot be read and of which it is not known what they
// said. A repair finds the images that were theirs by what nothing else speaks of; those
// whose name it cannot tell are kept without one, as nothing would be left of them
// otherwise. The caller holds the change lock.
func (in *inspection) unknown(files []string) {
	if len(files) == 0 {
		return
	}
	var left []*stored
	if in.mend {
		left = append(in.nameless(), in.rescued()...)
	}
	var names, ids []string // of references, and of images without one
	for _, file := range files {
		if _, id, known := ownerOf(file, nil); known && id == "" {
			names = append(names, file)
		} else {
			ids = append(ids, file)
		}
	}
	for _, file := range append(ids, names...) { // an ID says which it was
		_, err := in.readRecord(file)
		fix := func() (string, error) {
			left = in.unclaimed(left)
			return in.restore(file, left, len(names) == 1)
		}
		in.bad["images/"+file] = !in.flaw(fix, "the record images/%s cannot be read (%v)", file, err)
	}
	for _, st := range in.unclaimed(left) {
		in.mu.Lock()
		kept := in.names[st.ID] != nil
		in.mu.Unlock()
		if kept {
			continue
		}
		fix := func() (string, error) { return "kept by its ID; tag it or remove it", in.adopt(st) }
		in.flaw(fix, "it is not known any more which name the image %s had", st.ID)
	}
}

// rescued are the images that are kept for containers and had a name, as far as is
// known.
func (in *inspection) rescued() []*stored {
	in.mu.Lock()
	defer in.mu.Unlock()
	var list []*stored
	for _, r := range in.names {
		if r.Reference == "" && r.rebuilt && !r.Kept {
			list = append(list, r.all())
		}
	}
	return list
}

// unclaimed are those of the images that no name leads to yet.
func (in *inspection) unclaimed(images []*stored) []*stored {
	in.mu.Lock()
	defer in.mu.Unlock()
	var left []*stored
	for _, st := range images {
		claimed := slices.ContainsFunc(in.of(st.ID), func(r *record) bool { return r.Reference != "" || r.Kept })
		if !claimed {
			left = append(left, st)
		}
	}
	return left
}

// restore makes a record of what is known of an unreadable one: its image is the one
// that has its ID, or the only one left for the only name.
func (in *inspection) restore(file string, left []*stored, only bool) (how string, err error) {
	r := in.rebuild(file, nil)
	if r == nil || r.all() == nil {
		_, id, known := ownerOf(file, nil)
		i := slices.IndexFunc(left, func(st *stored) bool { return st.ID == id })
		if i < 0 && only && id == "" && len(left) == 1 {
			i = 0
		}
		if known && i >= 0 {
			r = in.rebuild(file, left[i])
		}
	}
	how = "written anew"
	switch {
	case r == nil:
		return "dropped; pull the image again", in.removeFile(file)
	case r.all() == nil:
		how = "it is not known what it was; pull it again, or remove it"
		r.Error = fmt.Sprintf("the record of %s in the store was damaged, and it is not known any more what it was; pull it again, or remove it", r.name)
	case r.Private:
		how += ", with nobody but root allowed to look at the image until it is pulled again"
	}
	if err := in.enter(r); err != nil {
		return "", err
	}
	if r.Reference != "" && r.all() != nil {
		in.dropUntagged(r.all().ID)
	}
	return how, nil
}

// adopt keeps an image without a name.
func (in *inspection) adopt(st *stored) error {
	return in.enter(&record{
		name: st.ID, Status: Ready, Made: time.Now().Round(0), origin: origin{Digest: st.Manifest}, Image: st, Kept: true, privacy: privacy{Private: true},
	})
}
