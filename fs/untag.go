package fs

import (
	"context"
	"fmt"
	"strings"
)

// rmdir untags an image, or removes an empty directory.
func (p *images) rmdir(ctx context.Context, name string) error {
	t := p.e.t
	e, err := p.find(ctx, name)
	if err != nil || e == nil {
		return absent("rmdir", p.e.path(), name, err)
	}
	if e.obj.kind == imageObject && e.row == p.each {
		if name != base(e.obj.id) && !strings.Contains(name, ":") {
			if i, err := p.byDigits(ctx, name); err != nil {
				return err
			} else if i != nil {
				name = i.ID
			}
			return t.Images.Untag(ctx, name) // an ID: Busy while several tags lead to it
		}
		if strings.HasPrefix(name, "sha256:") {
			return t.Images.Untag(ctx, name)
		}
		return p.untag(ctx, e.obj.id)
	}
	path, kind := p.step(name)
	switch {
	case e.obj.kind == imageObject:
		return p.dissolve(name)
	case e.row != p.e.row || kind == hubImages || kind == libraryOnly:
		return p.refusing.rmdir(ctx, name)
	}
	if d := t.images()[path]; d != nil || len(t.bare.below(path)) > 0 {
		return fail(NotEmpty, "rmdir", p.e.path()+"/"+name, fmt.Sprintf("There are images or directories in %s/%s: remove them first.", p.e.path(), name))
	}
	if i := t.latest(path); i != nil {
		if err := t.Images.Untag(ctx, i.Reference); err != nil {
			return err
		}
	}
	t.bare.drop(path)
	t.access.forget(func(k accessKey) bool { return k.Object == "" && k.Path == p.e.path()+"/"+name })
	p.stay(ctx)
	return nil
}

// untag takes a reference away that stands here.
func (p *images) untag(ctx context.Context, ref string) error {
	if err := p.e.t.Images.Untag(ctx, ref); err != nil {
		return err
	}
	p.stay(ctx)
	return nil
}

// stay keeps the directory when the last that was in it has gone, as if mkdir had made it: rm -r and rmdir -p remove it
// themselves, as the next thing.
func (p *images) stay(ctx context.Context) {
	t := p.e.t
	if p.path == "" || t.images()[p.path] != nil || t.latest(p.path) != nil || t.bare.has(p.path) || len(t.bare.below(p.path)) > 0 {
		return
	}
	by, _ := By(ctx)
	t.bare.plain(p.path, by)
}

// unlink is for rm -r of a bare name that is an image.
func (p *images) unlink(ctx context.Context, name string) error {
	if e := p.file(name); e != nil { //nolint:contextcheck // the pull that this begins is the daemon's work
		return p.dissolve(name)
	}
	return p.refusing.unlink(ctx, name)
}

// dissolve takes a file away of the image that the directory itself is.
func (p *images) dissolve(name string) error {
	i := p.latest()
	if err := p.e.t.mayDissolve(i, p.e.path()+"/"+name); err != nil {
		return err
	}
	p.e.t.hides.hide(p.within(i), name)
	return nil
}

// mayDissolve tells why an image's files cannot be taken away one by one: a container has it, so that the rmdir in the
// end would be refused.
func (t *Tree) mayDissolve(i *Image, path string) error {
	if i == nil {
		return fail(Removed, "unlink", path, path+" was removed.")
	}
	for _, c := range t.Containers.List() {
		if i.ID != "" && c.ImageID == i.ID && len(i.Tags) < 2 {
			return fail(Busy, "unlink", path, fmt.Sprintf("The image %s is used by the container %s: remove that first.", i.Reference, c.Name))
		}
	}
	return nil
}

func absent(op, dir, name string, err error) error {
	if err != nil {
		return err
	}
	return fail(NotFound, op, dir+"/"+name, fmt.Sprintf("There is no %s/%s.", dir, name))
}
