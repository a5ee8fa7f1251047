package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"hull/engine"
	"hull/fs"
	"hull/fs/journal"
	"hull/layers"
)

// imageEvent and containerEvent write what happened into the tree's events.

func (d *daemon) imageEvent(e layers.Event) {
	by := e.By
	tree := d.told.Load()
	if e.Err != nil && tree != nil {
		// A pull that failed behind everybody's back has the faces of a call that failed.
		object, op := "images/"+e.Reference, "pull"
		if l := (*layers.Error)(nil); errors.As(e.Err, &l) {
			op = l.Op // a push, too
		}
		_ = tree.Failed(fs.Credential{UID: by}, op, object, fromStore(object, e.Err))
		return
	}
	owner := uint32(0)
	if tree != nil && e.Reference != "" {
		owner = tree.Owner("images/" + e.Reference)
	}
	if e.Action == layers.ActionDelete && tree != nil {
		tree.Gone("images/" + e.ID)
	}
	d.record(journal.Event{Time: e.At, Type: "image", Action: string(e.Action), Object: e.Reference, ID: e.ID, UID: &by, Cause: string(engine.Asked), Owner: owner})
}

func (d *daemon) containerEvent(e engine.Event) {
	if e.Volume != "" {
		if tree := d.told.Load(); e.Action == "destroy" && tree != nil {
			tree.Gone("volumes/" + e.Volume)
		}
		d.record(journal.Event{
			Time: e.Time, Type: "volume", Action: string(e.Action), Object: e.Volume, UID: e.UID, Cause: string(e.Cause), Owner: e.Owner,
			Extra: e.Attributes,
		})
		return
	}
	if e.Network != "" {
		d.record(journal.Event{
			Time: e.Time, Type: "network", Action: string(e.Action), Object: e.Network, UID: e.UID, Cause: string(e.Cause), Owner: e.Owner,
			Extra: e.Attributes,
		})
		return
	}
	if tree := d.told.Load(); e.Action == "destroy" && tree != nil {
		tree.Destroyed(e.ID, e.Name)
	}
	d.record(journal.Event{
		Time: e.Time, Type: "container", Action: string(e.Action), Object: e.Name, ID: e.ID, UID: e.UID, Cause: string(e.Cause), Owner: e.Owner,
		Extra: e.Attributes,
	})
}

// layerGone hears which layers no image has any more.
func (d *daemon) layerGone(id string) {
	if tree := d.told.Load(); tree != nil {
		tree.Gone("layers/" + id)
	}
}

// caller is who asks for something with a context.
func caller(ctx context.Context) (uid uint32, ok bool) {
	by, ok := fs.By(ctx)
	return by.UID, ok
}

func (d *daemon) record(e journal.Event) {
	if err := d.journal.Append(e); err != nil {
		d.log.Warn("an event was not recorded", "err", err)
	}
}

// treeName tells this store's control groups from another's.
func treeName(store string) string {
	sum := sha256.Sum256([]byte(store))
	return hex.EncodeToString(sum[:6])
}
