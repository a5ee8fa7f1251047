package engine

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"hull/engine/internal/sys"
)

// The record of a container on disk: written at once, or soon and together with others'.

// keep replaces the record, on disk and then in memory. What holds until the container is thrown away, and no longer,
// need not outlive a power failure.
func (s *supervisor) keep(rec *record, set values) error {
	durable := !rec.Provisional && !set.flag("auto_remove")
	if err := rec.write(s.dir, durable); err != nil {
		return fail("", s.id, kindOfErrno(err), "the container's record cannot be written: %w", err)
	}
	if durable && s.rec.Provisional {
		if err := sys.SyncDir(s.e.dir); err != nil {
			return fail("", s.id, kindOfErrno(err), "the container cannot be made durable: %w", err)
		}
	}
	s.rec, s.set = rec, set
	return nil
}

// keepSoon is keep for what is done already, a start: the disk catches up in the background, as it does for any mkdir.
func (s *supervisor) keepSoon(rec *record) error {
	write := func() error { return rec.write(s.dir, false) }
	if s.rec.Provisional {
		write = func() error { return rec.writeOver(s.dir) }
	}
	if err := write(); err != nil {
		return err
	}
	s.rec = rec
	if !s.set.flag("auto_remove") {
		s.e.syncs.put(s.dir)
	}
	return nil
}

// syncRecords makes durable what was kept soon, and what is left when the engine ends.
func (e *Engine) syncRecords() {
	for e.ctx.Err() == nil {
		select {
		case <-e.ctx.Done():
		case <-e.syncs.ready:
			select {
			case <-e.ctx.Done():
			case <-time.After(syncAfter):
			}
		}
		e.syncAll()
	}
}

// syncAll syncs all directories that were put down, and the directory they are in. Those that are gone say nothing.
func (e *Engine) syncAll() {
	dirs := map[string]bool{}
	for dir, ok := e.syncs.take(); ok; dir, ok = e.syncs.take() {
		dirs[dir] = true
	}
	if len(dirs) == 0 {
		return
	}
	delete(dirs, e.dir)
	for dir := range dirs {
		if err := syncRecord(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			e.o.Logger.Error("a container may not survive a power failure", "container", filepath.Base(dir), "op", "sync", "err", err)
		}
	}
	if err := sys.SyncDir(e.dir); err != nil {
		e.o.Logger.Error("new and removed containers may not survive a power failure", "op", "sync", "err", err)
	}
}

func syncRecord(dir string) error {
	f, err := os.Open(filepath.Join(dir, recordFile))
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return sys.SyncDir(dir)
}

// syncAfter is how long what need not be durable at once waits for more of it: one commit of the disk's journal serves
// all, and a container that is gone by then needs none.
const syncAfter = time.Second
