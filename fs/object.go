package fs

import (
	"fmt"
	"time"
)

// object is what an entry belongs to.
type object struct {
	kind objectKind
	id   string    // reference of an image, ID of a container or layer, domain of a registry, name of a volume or network
	made time.Time // of all but a container: tells a reference from one of the same name that was removed
}

type objectKind uint8

const (
	noObject objectKind = iota // the tree itself
	imageObject
	containerObject
	registryObject
	layerObject
	volumeObject
	networkObject
)

// objectKinds is how each kind is called: its directory, one of it, and its letter in keys.
var objectKinds = [...]struct{ dir, word, letter string }{
	noObject:        {},
	imageObject:     {"images", "image", "i"},
	containerObject: {"containers", "container", "c"},
	registryObject:  {"registries", "registry", "r"},
	layerObject:     {"layers", "layer", "l"},
	volumeObject:    {"volumes", "volume", "v"},
	networkObject:   {"networks", "network", "n"},
}

// What each snapshot is a snapshot of.

func (i *Image) object() object     { return object{kind: imageObject, id: i.Reference, made: i.Made} }
func (c *Container) object() object { return object{kind: containerObject, id: c.ID} }
func (r *Registry) object() object  { return object{kind: registryObject, id: r.Domain, made: r.Made} }
func (l *Layer) object() object     { return object{kind: layerObject, id: l.ID, made: l.Made} }
func (v *Volume) object() object    { return object{kind: volumeObject, id: v.Name, made: v.Made} }
func (n *Network) object() object   { return object{kind: networkObject, id: n.Name, made: n.Made} }

// key is the object's identity.
func (o object) key() string {
	switch k := objectKinds[o.kind]; o.kind {
	case noObject:
		return ""
	case containerObject:
		return k.letter + "/" + o.id
	default:
		return fmt.Sprintf("%s/%s/%d", k.letter, o.id, o.made.UnixNano())
	}
}

// path is where the object is in the tree; of a container by its ID.
func (o object) path() string { return objectKinds[o.kind].dir + "/" + o.id }

// snapshot is what a backend says of an object at one moment.
type snapshot interface{ object() object }

// catalog is all that a backend has of one kind.
type catalog[T snapshot] interface {
	List() []T
	Find(name string) (T, bool)
}

// current returns the snapshot of the object that an entry belongs to.
func current[T snapshot](e *entry, all catalog[T]) (T, error) {
	x, ok := all.Find(e.obj.id)
	if ok && x.object().made.Equal(e.obj.made) {
		return x, nil
	}
	var none T
	what := objectKinds[e.obj.kind].word
	if e.obj.kind != containerObject { // whose ID says nothing to anybody
		what += " " + e.obj.id
	}
	return none, fail(Removed, "", e.obj.path(), "The "+what+" was removed.")
}

// The objects that an entry belongs to, each as it is now.

func (e *entry) image() (*Image, error)         { return current(e, e.t.Images) }
func (e *entry) container() (*Container, error) { return current(e, e.t.Containers) }
func (e *entry) registry() (*Registry, error)   { return current(e, e.t.Registries) }
func (e *entry) layer() (*Layer, error)         { return current(e, e.t.Layers) }
func (e *entry) volume() (*Volume, error)       { return current(e, e.t.Volumes) }
func (e *entry) network() (*Network, error)     { return current(e, e.t.Networks) }
