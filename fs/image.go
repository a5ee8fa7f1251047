package fs

import (
	"context"
	"strings"
)

// imagePlace is an image's directory.
type imagePlace struct {
	fixed
}

func openImage(_ *Tree, e *entry) place { return &imagePlace{fixed{e}} }

func (p *imagePlace) unlink(_ context.Context, name string) error { return p.dissolve(name) }
func (p *imagePlace) rmdir(_ context.Context, name string) error  { return p.dissolve(name) }

// dissolve is for rm -r, as a container's: refused at once if the rmdir in the end would be.
func (p *imagePlace) dissolve(name string) error {
	i, err := p.e.image()
	if err != nil {
		return err
	}
	if err := p.e.t.mayDissolve(i, p.e.path()+"/"+name); err != nil {
		return err
	}
	p.e.t.hides.hide(p.e.key, name)
	return nil
}

// symlink is ln -s onto an image that is there: ln takes that for a directory to put the link in.
func (p *imagePlace) symlink(_ context.Context, target, name string) (*entry, error) {
	i, err := p.e.image()
	if err != nil {
		return nil, err
	}
	return nil, taken(p.e.path()+"/"+name, target, i)
}

// imageContainers is an image's containers/: links to them, and where mkdir makes and starts one.
type imageContainers struct {
	refusing
}

func openImageContainers(_ *Tree, e *entry) place { return &imageContainers{refusing{e}} }

func (p *imageContainers) uses(c *Container, i *Image) bool {
	return c.Image == i.Reference || i.ID != "" && c.ImageID == i.ID
}

func (p *imageContainers) list(context.Context) ([]*entry, error) {
	i, err := p.e.image()
	if err != nil {
		return nil, err
	}
	var es []*entry
	for _, c := range p.e.t.Containers.List() {
		if p.uses(c, i) {
			es = append(es, p.e.child(p.e.row.rows[0], c.Name))
		}
	}
	return es, nil
}

func (p *imageContainers) find(_ context.Context, name string) (*entry, error) {
	i, err := p.e.image()
	if err != nil {
		return nil, err
	}
	if c, ok := p.e.t.Containers.Find(name); ok && c.Name == name && p.uses(c, i) {
		return p.e.child(p.e.row.rows[0], name), nil
	}
	return nil, nil
}

// asNamed is the image of one of its directory's entries as the user named it: its ID where that is how the directory was
// reached.
func (e *entry) asNamed() string {
	name := base(parent(e.path()))
	if i, err := e.image(); err == nil && !strings.ContainsAny(strings.TrimPrefix(name, "sha256:"), ":@") && i.ID != "" &&
		strings.HasPrefix(strings.TrimPrefix(i.ID, "sha256:"), strings.TrimPrefix(name, "sha256:")) {
		return i.ID
	}
	return e.obj.id
}

// mkdir answers with the directory that mkdir must have; the next look-up shows a link.
func (p *imageContainers) mkdir(ctx context.Context, name string) (*entry, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	by, _ := By(ctx)
	if err := p.e.t.May(by, "containers", Change); err != nil {
		return nil, err
	}
	var c *Container
	err := p.e.t.within(ctx, "mkdir", p.e.path()+"/"+name, func(ctx context.Context) (err error) {
		c, err = p.e.t.Containers.Create(ctx, NewContainer{Name: name, Image: p.e.asNamed(), Start: true, Owner: by})
		return err
	})
	if err != nil {
		return nil, err
	}
	o := c.object()
	each := p.e.t.table.find("containers").rows[0]
	return &entry{t: p.e.t, row: each, obj: o, name: name, dir: p.e.path(), key: p.e.key + "/" + c.ID}, nil
}

func (p *imageContainers) unlink(_ context.Context, name string) error {
	return p.no("unlink", name, "it is a link; remove the container with rmdir containers/"+name)
}

// toContainer is where a link in an image's containers/ leads.
func toContainer(_ *Tree, e *entry) string { return e.up() + "containers/" + e.name }

func containerRootfs(t *Tree, e *entry) string {
	return e.up() + "rootfs/" + e.label()
}

func imageRootfs(_ *Tree, e *entry) string {
	i, err := e.image()
	if err != nil {
		return e.up() + "rootfs/images"
	}
	return e.up() + "rootfs/images/" + strings.TrimPrefix(i.ID, "sha256:")
}

func imageReady(e *entry) bool {
	i, err := e.image()
	return err == nil && i.Whole()
}
