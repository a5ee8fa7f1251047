package main

import (
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
	if e.Err != nil && d.tree != nil {
		// A pull that failed behind everybody's back has the faces of a call that failed.
		object, op := "images/"+e.Reference, "pull"
		if l := (*layers.Error)(nil); errors.As(e.Err, &l) {
			op = l.Op // a push, too
		}
		_ = d.tree.Failed(fs.Credential{UID: by}, op, object, fromStore(object, e.Err))
		return
	}
	d.record(journal.Event{Time: e.At, Type: "image", Action: string(e.Action), Object: e.Reference, ID: e.ID, UID: &by})
}

func (d *daemon) containerEvent(e engine.Event) {
	d.record(journal.Event{Time: e.Time, Type: "container", Action: e.Action, Object: e.Name, ID: e.ID, Extra: e.Attributes})
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
