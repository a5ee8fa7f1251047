package fs

import (
	"context"
	"fmt"
	"strings"
)

// images is images/ or a directory below it that is no single image: a registry, a user, a bare name. A bare name is
// a directory which is also its :latest, and shows that image's files beside the images inside it.
type images struct {
	refusing
	each *row
	// path is what the directory stands for in familiar references: "" for images/, docker.io/ and library/, else as
	// "ghcr.io/acme". Walked names differ from it below docker.io/ and library/, which are aliases.
	path string
	kind imagesKind
}

type imagesKind uint8

const (
	anyImages   imagesKind = iota // images/ itself, and what is below it
	hubImages                     // docker.io/: users and library
	libraryOnly                   // library/: images without a user
	libraryLeaf                   // one bare name below library/: there is nothing further down
)

func openImages(t *Tree, e *entry) place {
	p := &images{refusing: refusing{e}, each: e.row.rows[0]}
	walked := strings.Split(e.path(), "/")[1:]
	for _, name := range walked {
		p.path, p.kind = p.step(name)
	}
	return p
}

// top tells whether it is images/ itself.
func (p *images) top() bool { return p.path == "" && p.kind == anyImages }

// step is the familiar path and kind of a name in the directory.
func (p *images) step(name string) (string, imagesKind) {
	switch {
	case p.top() && (name == "docker.io" || name == "index.docker.io"):
		return "", hubImages
	case p.path == "" && name == "library" && (p.kind == anyImages || p.kind == hubImages):
		return "", libraryOnly
	case p.kind == libraryOnly:
		return name, libraryLeaf
	case p.path == "":
		return name, anyImages
	}
	return p.path + "/" + name, p.kind
}

// registry tells whether a first component names a registry: by its looks, or because it is known as one.
func (t *Tree) registry(name string) bool {
	if isRegistry(name) {
		return true
	}
	if !strings.Contains(name, ":") {
		return false
	}
	_, known := t.Registries.Find(name)
	return known
}

// isRegistry tells whether a first component names a registry: localhost, or with a dot, or one of these with a port
// of digits. Any other name:digits is an image.
func isRegistry(name string) bool {
	host, port, ok := strings.Cut(name, ":")
	if ok && (port == "" || strings.Trim(port, "0123456789") != "") {
		return false
	}
	return host == "localhost" || strings.Contains(host, ".") && !strings.Contains(host, "@")
}

// tagged tells whether a component is an image rather than a directory.
func (p *images) tagged(name string) bool {
	return strings.ContainsAny(name, ":@") && !(p.top() && p.e.t.registry(name))
}

// latest is the image that the directory itself is, nil if it is none.
func (p *images) latest() *Image { return p.e.t.latest(p.path) }

func (t *Tree) latest(path string) *Image {
	if path == "" || t.registry(path) {
		return nil
	}
	i, ok := t.Images.Find(path + ":latest")
	if !ok {
		return nil
	}
	return i
}

// entry is the directory of an image by the name it has here.
func (p *images) entry(i *Image, name string) *entry {
	o := i.object()
	e := &entry{t: p.e.t, row: p.each, obj: o, name: name, dir: p.e.path()}
	e.key = e.path() + "#" + o.key()
	return e
}

// seen tells whether somebody may look at more than an image's name.
func (t *Tree) seen(by Credential, i *Image) bool {
	o := i.object()
	return may(by, &entry{t: t, row: t.table.find("images").rows[0], obj: o, name: i.Reference, dir: "images"}, Read) == nil
}

// below is a directory here.
func (p *images) below(name string) *entry {
	e := &entry{t: p.e.t, row: p.e.row, name: name, dir: p.e.path()}
	e.key, e.rel = e.path(), e.path()
	return e
}

// own is a row of the directory's own image.
func (p *images) own(i *Image, r *row) *entry {
	o := i.object()
	return &entry{t: p.e.t, row: r, obj: o, name: r.name, dir: p.e.path(), key: p.within(i) + "/" + r.name, rel: r.name}
}

// within is the key of the directory as its own image's.
func (p *images) within(i *Image) string {
	return p.e.path() + "#" + i.object().key()
}

func (p *images) list(context.Context) ([]*entry, error) {
	x := p.e.t.images()
	var es []*entry
	seen := map[string]bool{}
	add := func(e *entry) {
		if !seen[e.name] {
			seen[e.name] = true
			es = append(es, e)
		}
	}
	here, dirs := x[p.path], p.e.t.bare.below(p.path)
	if here == nil {
		here = &imageDir{}
	}
	if p.kind != hubImages {
		for _, i := range here.images {
			add(p.entry(i, base(i.Reference)))
		}
	}
	if p.kind == hubImages {
		add(p.below("library"))
	}
	if p.kind == anyImages || p.kind == hubImages {
		for _, d := range append(dirs, here.dirs...) {
			d, _, _ = strings.Cut(strings.TrimPrefix(strings.TrimPrefix(d, p.path), "/"), "/")
			if p.kind == anyImages || !p.e.t.registry(d) {
				add(p.below(d))
			}
		}
	}
	if i := p.latest(); i != nil {
		for _, r := range p.each.rows {
			if e := p.own(i, r); (r.when == nil || r.when(e)) && !p.e.t.hides.hidden(p.within(i), r.name) {
				add(e)
			}
		}
	}
	if len(es) == 0 && p.path != "" && !p.e.t.bare.has(p.path) {
		return nil, fail(Removed, "list", p.e.path(), p.e.path()+" was removed.")
	}
	return es, nil
}

func base(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

// find knows what is listed, and the aliases: bare names, docker.io/ and library/, IDs.
func (p *images) find(ctx context.Context, name string) (*entry, error) {
	if dot(name) {
		return nil, nil
	}
	t := p.e.t
	path, kind := p.step(name)
	if kind == hubImages || kind == libraryOnly {
		return p.below(name), nil
	}
	if i, ok := t.Images.Find(path); ok && (p.tagged(name) && !t.aliasByDigest(i, path) || i.Reference == path) {
		return p.entry(i, name), nil
	}
	if p.tagged(name) {
		return nil, nil
	}
	if p.kind != libraryLeaf && (t.images()[path] != nil || t.bare.has(path) || len(t.bare.below(path)) > 0) {
		return p.below(name), nil
	}
	if e := p.file(name); e != nil { //nolint:contextcheck // the pull that this begins is the daemon's work
		return e, nil
	}
	if p.kind != libraryLeaf && t.latest(path) != nil {
		return p.below(name), nil
	}
	if i, ok := t.Images.Find(name); ok && p.top() && i.ID != "" && strings.HasPrefix(strings.TrimPrefix(i.ID, "sha256:"), name) {
		return p.entry(i, name), nil
	}
	if i, err := p.byDigits(ctx, name); i != nil || err != nil {
		if err != nil {
			return nil, err
		}
		return p.entry(i, name), nil
	}
	return p.e.unlisted(name), nil
}

// aliasByDigest tells that a path with a digest leads to an image only because another reference of it has that digest.
// Such a name is none until somebody makes it: mkdir gives it a directory of its own, and a rmdir must not take away the
// tag that it would be taken for.
func (t *Tree) aliasByDigest(i *Image, path string) bool {
	if !strings.Contains(path, "@") {
		return false
	}
	ref, err := t.Images.Parse(path)
	return err != nil || i.Reference != ref
}

// file is a file of the image that the directory itself is. Asking for one tells that the directory is meant as the
// image, so the pull need not wait for something to be made inside.
func (p *images) file(name string) *entry {
	r := p.each.find(name)
	if r == nil || p.path == "" {
		return nil
	}
	p.e.t.pullBare(p.path)
	i := p.latest()
	if i == nil || p.e.t.hides.hidden(p.within(i), name) {
		return nil
	}
	if e := p.own(i, r); r.when == nil || r.when(e) {
		return e
	}
	return nil
}

// mkdir pulls an image, or makes a directory: that of a registry, or of a bare name.
func (p *images) mkdir(ctx context.Context, name string) (*entry, error) {
	if dot(name) {
		return nil, p.no("mkdir", name, "no image's name begins with a dot")
	}
	t := p.e.t
	by, _ := By(ctx)
	path, kind := p.step(name)
	if p.top() && p.e.t.registry(name) {
		t.bare.plain(path, by)
		return p.below(name), nil
	}
	if kind != anyImages && kind != libraryLeaf || p.kind == libraryLeaf {
		return nil, p.no("mkdir", name, "there are only images of Docker's own below library/")
	}
	ref, err := t.Images.Parse(path)
	if err != nil {
		return nil, err
	}
	t.inside(ctx, p.path)
	if !p.tagged(name) {
		t.awaitInside(path, by) //nolint:contextcheck // the pull is the daemon's work
		return p.below(name), nil
	}
	if err := t.Images.Pull(ctx, ref, "", t.Budget); err != nil {
		return nil, err
	}
	i, ok := t.Images.Find(ref)
	if !ok {
		return nil, fail(NotFound, "mkdir", "images/"+ref, fmt.Sprintf("The image %s was removed while it was being pulled.", ref))
	}
	return p.entry(i, name), nil
}
