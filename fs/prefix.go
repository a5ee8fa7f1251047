package fs

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// leastDigits is how many digits of an ID stand for it where a name is looked for, if there is no such name. mkdir of a
// new name is refused by the kernel if there is something under it already, so with fewer a made-up name like "cafe" would
// be one of a container now and then.
const leastDigits = 6

// begins tells whether a name may be the beginning of an ID.
func begins(name string) bool {
	return len(name) >= leastDigits && strings.Trim(name, "0123456789abcdef") == ""
}

// only is the one ID of those that begin with a name; empty if there is none. If there are several it is none, which is said.
func only(name, collection string, ids []string) (string, error) {
	slices.Sort(ids)
	ids = slices.Compact(ids) // an image is there once for each of its names
	switch len(ids) {
	case 0:
		return "", nil
	case 1:
		return ids[0], nil
	}
	return "", fail(NotFound, opLookup, collection+"/"+name,
		fmt.Sprintf("The IDs of %d %s begin with %s, as %s and %s: write more digits.", len(ids), collection, name, short(ids[0]), short(ids[1])))
}

// opLookup is the operation of a look-up whose failure is kept, unlike that of a name that is nothing.
const opLookup = "lookup"

// byDigits is the container whose ID begins with a name.
func (p *containers) byDigits(name string) (*Container, error) {
	if !begins(name) {
		return nil, nil
	}
	var ids []string
	for _, c := range p.e.t.Containers.List() {
		if strings.HasPrefix(c.ID, name) {
			ids = append(ids, c.ID)
		}
	}
	id, err := only(name, "containers", ids)
	if err != nil || id == "" {
		return nil, err
	}
	c, _ := p.e.t.Containers.Find(id)
	return c, nil
}

// byDigits is the image whose ID begins with a name. One that somebody may not see is none: digit by digit it could be
// guessed.
func (p *images) byDigits(ctx context.Context, name string) (*Image, error) {
	if !begins(name) || !p.top() {
		return nil, nil
	}
	by, _ := By(ctx)
	var ids []string
	for _, i := range p.e.t.Images.List() {
		if id := strings.TrimPrefix(i.ID, "sha256:"); strings.HasPrefix(id, name) && p.e.t.seen(by, i) {
			ids = append(ids, id)
		}
	}
	id, err := only(name, "images", ids)
	if err != nil || id == "" {
		return nil, err
	}
	i, _ := p.e.t.Images.Find(id)
	return i, nil
}
