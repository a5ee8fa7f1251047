package fs

import (
	"context"
	"fmt"
	"path"
	"strings"
)

// rename retags.
func (p *images) rename(ctx context.Context, name string, to place, toName string, keep bool) error {
	t := p.e.t
	e, err := p.find(ctx, name)
	if err != nil || e == nil {
		return absent("rename", p.e.path(), name, err)
	}
	at, _ := p.step(name)
	source := t.latest(at)
	if e.obj.kind == imageObject {
		source, err = e.image()
	}
	other, ok := to.(*images)
	switch {
	case err != nil:
		return err
	case source == nil || e.row != p.each && e.row != p.e.row:
		return p.no("rename", name, "it is no image")
	case p.tagged(name) == strings.HasPrefix(name, "sha256:") && e.obj.kind == imageObject:
		return p.no("rename", name, "it is an image's ID; ln -s gives that another name")
	case !ok || other.only() != nil:
		return p.no("rename", name, "an image cannot be moved into another or out of images/; give mv -T the new reference, or ln -s")
	}
	if what := source.Status; what == "pushing" || what == "pulling" || what == "waiting" {
		return fail(Busy, "rename", "images/"+source.Reference, fmt.Sprintf("%s is %s; cancel that first, or wait for it.", source.Reference, what))
	}
	target, err := other.target("rename", toName)
	if err != nil {
		return err
	}
	if target == source.Reference {
		return fail(Exists, "rename", "images/"+target, fmt.Sprintf("%s is that image's name already.", target))
	}
	t.inside(ctx, other.path)
	if err := t.Images.Tag(ctx, source.Reference, target, !keep); err != nil {
		return err
	}
	if err := t.keepAccess(source, target); err != nil {
		return err
	}
	return p.untag(ctx, source.Reference)
}

// only is the image that the directory is and nothing else: it was not made to hold others, and holds none.
func (p *images) only() *Image {
	if p.e.t.images()[p.path] != nil || p.e.t.bare.has(p.path) {
		return nil
	}
	return p.latest()
}

// taken says that a name is an image's already, and how it comes to mean another.
func taken(path, target string, i *Image) error {
	return fail(Exists, "symlink", path, fmt.Sprintf("%s is an image already, and ln would make a link inside it. To have that name mean another image, write \"tag %s\" to images/%s/ctl.", i.Reference, i.Reference, LinkSource(target)))
}

// keepAccess lets an image that has become another reference keep what chown and chmod have set.
func (t *Tree) keepAccess(from *Image, target string) error {
	to, ok := t.Images.Find(target)
	if !ok {
		return nil // somebody has removed it
	}
	return t.access.renamed(
		from.object().key(),
		to.object().key())
}

// target is the reference that a name here would be.
func (p *images) target(op, name string) (string, error) {
	at, kind := p.step(name)
	if dot(name) || p.top() && p.e.t.registry(name) || kind == hubImages || kind == libraryOnly || p.kind == libraryLeaf {
		return "", p.no(op, name, "it is no name for an image")
	}
	return p.e.t.Images.Parse(at)
}

// symlink tags: ln -s images/redis:7 images/mine:1. It only creates.
func (p *images) symlink(ctx context.Context, target, name string) (*entry, error) {
	t := p.e.t
	if i := p.only(); i != nil {
		return nil, taken(p.e.path()+"/"+name, target, i)
	}
	ref, err := p.target("symlink", name)
	if err != nil {
		return nil, err
	}
	source, err := p.linked(target, ref)
	if err != nil {
		return nil, err
	}
	if err := t.mayUseImage(ctx, source); err != nil {
		return nil, err
	}
	t.inside(ctx, p.path)
	if err := t.Images.Tag(ctx, source, ref, false); err != nil {
		return nil, err
	}
	e := p.below(name)
	e.row, e.key = &row{name: name, kind: linkRow, mode: 0o777, target: func(*Tree, *entry) string { return target }}, e.key+"#link"
	return e, nil
}

// linked is the image that a link's target means: a reference, or a way from here to its directory, as links have it.
func (p *images) linked(target, ref string) (string, error) {
	t := p.e.t
	source := LinkSource(target)
	if _, err := t.Images.Parse(source); err != nil {
		return "", err
	}
	if _, ok := t.Images.Find(source); ok {
		return source, nil
	}
	if way := path.Join(p.path, target); !path.IsAbs(target) && p.path != "" {
		if _, ok := t.Images.Find(way); ok {
			return way, nil
		}
	}
	return "", fail(NotFound, "symlink", "images/"+ref, fmt.Sprintf("There is no image %s to give the name %s.", source, ref))
}

// LinkSource is the reference that a link's target means: the text after its last images/, else what is left when
// leading ../ are taken off.
func LinkSource(target string) string {
	target = strings.TrimRight(target, "/")
	if i := strings.LastIndex("/"+target, "/images/"); i >= 0 {
		return ("/" + target)[i+len("/images/"):]
	}
	for strings.HasPrefix(target, "../") || strings.HasPrefix(target, "./") {
		_, target, _ = strings.Cut(target, "/")
	}
	return target
}
