package fs

import (
	"context"
	"strconv"
	"strings"
)

// layers is layers/: each stored layer by its ID.
type layers struct{ objects[*Layer] }

func openLayers(t *Tree, e *entry) place {
	return &layers{objects[*Layer]{refusing: refusing{e}, all: t.Layers}}
}

func (p *layers) mkdir(_ context.Context, name string) (*entry, error) {
	return nil, p.no("mkdir", name, "layers come with images; mkdir images/REF pulls one")
}

func (p *layers) rmdir(_ context.Context, name string) error {
	return p.no("rmdir", name, "a layer goes with the last image that has it")
}

// layerImages leaves out those that the reader may not look into.
func layerImages(ctx context.Context, t *Tree, e *entry) ([]byte, error) {
	if _, err := e.layer(); err != nil {
		return nil, err
	}
	by, _ := By(ctx)
	var names []string
	for _, name := range t.Layers.Images(e.obj.id) {
		if i, ok := t.Images.Find(name); ok && t.seen(by, i) {
			names = append(names, name)
		}
	}
	return []byte(lines(names)), nil
}

func layerDigests(_ context.Context, t *Tree, e *entry) ([]byte, error) {
	if _, err := e.layer(); err != nil {
		return nil, err
	}
	return []byte(lines(t.Layers.Digests(e.obj.id))), nil
}

func layerRootfs(_ *Tree, e *entry) string {
	return e.up() + "rootfs/layers/" + strings.TrimPrefix(e.obj.id, "sha256:")
}

// imageLayers is an image's layers/: links, the lowest layer first.
type imageLayers struct {
	refusing
}

func openImageLayers(_ *Tree, e *entry) place { return &imageLayers{refusing{e}} }

func (p *imageLayers) list(context.Context) ([]*entry, error) {
	i, err := p.e.image()
	if err != nil {
		return nil, err
	}
	es := make([]*entry, 0, len(i.Layers))
	for n := range i.Layers {
		if e := p.e.child(p.e.row.rows[0], strconv.Itoa(n)); !p.e.t.hides.hidden(p.e.key, e.name) {
			es = append(es, e)
		}
	}
	return es, nil
}

func (p *imageLayers) find(_ context.Context, name string) (*entry, error) {
	i, err := p.e.image()
	if err != nil {
		return nil, err
	}
	if _, ok := i.layer(name); !ok || p.e.t.hides.hidden(p.e.key, name) {
		return nil, nil
	}
	return p.e.child(p.e.row.rows[0], name), nil
}

// unlink is for rm -r of the image.
func (p *imageLayers) unlink(_ context.Context, name string) error {
	return (&imagePlace{fixed{p.e}}).dissolve(name)
}

// layer is the ID of a layer by its place among the image's.
func (i *Image) layer(name string) (string, bool) {
	n, err := strconv.Atoi(name)
	if err != nil || n < 0 || n >= len(i.Layers) || strconv.Itoa(n) != name {
		return "", false
	}
	return i.Layers[n], true
}

func toLayer(_ *Tree, e *entry) string {
	i, err := e.image()
	if err != nil {
		return e.up() + "layers"
	}
	id, _ := i.layer(e.name)
	return e.up() + "layers/" + id
}
