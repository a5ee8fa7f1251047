package engine

import (
	"os"
	"path/filepath"

	"hull/engine/internal/sys"
)

// lifeFile says which monitor the containers were last with. A daemon that finds its own there takes the place of one
// that has died; any other is the first of a new mount, perhaps after the machine has been down.
const lifeFile = "life"

// isFresh tells whether this is the first daemon of a mount.
func (e *Engine) isFresh() bool {
	if e.o.Life == "" {
		return false
	}
	data, err := os.ReadFile(filepath.Join(e.o.Dir, lifeFile))
	return err != nil || string(data) != e.o.Life+"\n"
}

// keepLife ends what the first daemon of a mount has to do: whatever is to come back is noted.
func (e *Engine) keepLife() {
	if !e.fresh {
		return
	}
	e.fresh = false
	if err := sys.WriteFile(e.o.Dir, lifeFile, []byte(e.o.Life+"\n"), false); err != nil {
		e.o.Logger.Error("that this is a new mount cannot be noted; after a crash of the daemon stopped containers may come back", "op", "open", "err", err)
	}
}
