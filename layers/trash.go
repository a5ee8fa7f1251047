package layers

import (
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"hull/layers/internal/sys"
)

// goneCount and the time make names in trash/ that are never taken.
var goneCount atomic.Uint64

// discard moves a file or tree of the store to trash/, to be unlinked in the
// background: a rename is quick whatever the size, and works on a full disk. What
// is not there is no failure; what cannot be moved stays for the next Sweep.
func (s *Store) discard(path string) {
	name := filepath.Base(path) + "." + strconv.FormatInt(time.Now().UnixNano(), 36) +
		"." + strconv.FormatUint(goneCount.Add(1), 36)
	err := os.Rename(path, s.path("trash", name))
	if os.IsNotExist(err) {
		return
	}
	if err != nil {
		s.log.Error("something could not be moved to the trash", "path", path, "op", "remove", "err", err)
		return
	}
	s.crash("trash.moved")
	s.throw()
}

// throw wakes the goroutine that empties trash/.
func (s *Store) throw() {
	select {
	case s.rubbish <- struct{}{}:
	default: // it is awake, or will be
	}
}

// runTrash empties trash/ whenever something came into it, until the store is
// closed; what is left then, the next daemon finds.
func (s *Store) runTrash() {
	for {
		select {
		case <-s.rubbish:
			if err := s.emptyTrash(); err != nil && s.ctx.Err() == nil {
				s.log.Error("the trash cannot be emptied", "op", "remove", "err", err)
			}
		case <-s.ctx.Done():
			return
		}
	}
}

func (s *Store) emptyTrash() error {
	trash, err := sys.OpenRoot(s.path("trash"))
	if err != nil {
		return err
	}
	defer func() { _ = trash.Close() }() // it was only looked into
	names, err := trash.Readdirnames(-1)
	if err != nil {
		return err
	}
	var first error
	for _, name := range names {
		s.crash("trash.emptying")
		if err := sys.RemoveAll(s.ctx, trash, name); err != nil && first == nil {
			first = err
		}
	}
	return first
}
