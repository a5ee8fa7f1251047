package fs

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// Who was given one object may do all with that, and nothing by it with others: what a command does elsewhere in the
// tree needs the same rights there as doing it by hand.

// newName reads a name that an image is to be given. It may be another image's now: that changes the directory where the
// name is, or the nearest one that is there, which who asks must be allowed.
func (t *Tree) newName(ctx context.Context, word string) (string, error) {
	ref, err := t.Images.Parse(word)
	by, _ := By(ctx)
	if err != nil || by.Root() {
		return ref, err
	}
	at := "images"
	for _, name := range strings.Split(ref, "/") {
		if strings.ContainsAny(name, ":@") && !t.registry(name) {
			break
		}
		if _, err := t.resolve(at + "/" + name); err != nil {
			break
		}
		at += "/" + name
	}
	return ref, t.May(by, at, Change)
}

// MayPrune tells why somebody may not remove what nobody uses of containers, images, networks, volumes, or all.
func (t *Tree) MayPrune(by Credential, what string) error {
	places := []string{what}
	if what == "all" {
		places = []string{"containers", "images", "networks"}
	}
	for _, p := range places {
		if p != "containers" && p != "images" && p != "networks" && p != "volumes" {
			continue // it will be refused for what it is
		}
		if err := t.May(by, p, Change); err != nil {
			return err
		}
	}
	return nil
}

// mayUseImage tells why who asks may not make a container of an image: they could read it there.
func (t *Tree) mayUseImage(ctx context.Context, name string) error {
	by, _ := By(ctx)
	i, ok := t.Images.Find(name)
	if by.Root() || !ok || t.seen(by, i) {
		return nil
	}
	return t.May(by, "images/"+i.Reference, Read)
}

// maySet tells why who asks may not give a container a setting: of the settings the image alone is something of the
// tree's.
func (t *Tree) maySet(ctx context.Context, e *entry, value []byte) error {
	name := ""
	switch e.row.name {
	case "image":
		name = string(value)
	case "json":
		var d struct {
			Image string `json:"image"`
		}
		if json.Unmarshal(value, &d) == nil { // else it will be refused anyway
			name = d.Image
		}
	}
	name = strings.TrimSpace(name)
	if old, err := t.Containers.Get(e.obj.id, "image"); err == nil && name == strings.TrimSpace(old) {
		return nil
	}
	return t.mayUseImage(ctx, name)
}

// mayStart tells why who asks may not start a container: its image may have come since it was named.
func (t *Tree) mayStart(ctx context.Context, e *entry) error {
	c, err := e.container()
	if err != nil || c.ImageID != "" {
		return err
	}
	return t.mayMake(ctx, c)
}

// mayMake tells why who asks may not have a container made from the image that its name leads to now. Where the container
// acts on the host with its owner's rights that is a choice of the image, as writing config/image is: the group has the
// images' names.
func (t *Tree) mayMake(ctx context.Context, c *Container) error {
	by, _ := By(ctx)
	if !by.Root() && c.Reaches {
		if t.May(by, "containers/"+c.ID+"/config/image", Write) != nil {
			return fail(Denied, "start", "containers/"+c.Name, fmt.Sprintf(
				"The container %s acts on this host with its owner's rights, so what its image's name leads to now is for who may write its config/image to choose.", c.Name))
		}
	}
	return t.mayUseImage(ctx, c.Image)
}
