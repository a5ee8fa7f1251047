package engine

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/monitor"
)

// reconcile brings records, the monitor's processes and what a dead daemon left half done into one line.
func (e *Engine) reconcile(ctx context.Context) error {
	entries, err := os.ReadDir(e.dir)
	if err != nil {
		return fail("open", "", kindOfErrno(err), "the containers cannot be listed: %w", err)
	}
	held, sessions, err := e.heldByMonitor(ctx)
	if err != nil {
		return err
	}
	all := e.recoverEntries(entries)
	e.fresh = e.isFresh()
	for _, s := range all { // all of them say which ranges are theirs before any starts
		h := held[s.id]
		delete(held, s.id)
		found := h != nil
		if !found {
			h = s.takeOver(ctx)
		}
		s.recover(h, sessions[s.id]) //nolint:contextcheck // what it begins outlives the opening
		if !found && h != nil {
			s.sayTakenOver()
		}
	}
	for _, h := range held {
		e.endStranger(h)
	}
	e.sweepGroups(ctx, all)
	e.reconcileNetworks(ctx, all)
	if e.fresh {
		for _, s := range all {
			s.comeBack()
			s.publish()
		}
		e.keepLife()
	}
	e.startRecovered(all)
	return nil
}

// heldByMonitor asks the monitor for its processes: one of each container's ID, and the sessions in it.
func (e *Engine) heldByMonitor(ctx context.Context) (held map[string]*monitor.Held, sessions map[string][]*monitor.Held, err error) {
	list, err := e.o.Monitor.List(ctx)
	if err != nil {
		return nil, nil, fail("open", "", System, "hull's monitor does not say which containers it holds: %w", err)
	}
	held, sessions = map[string]*monitor.Held{}, map[string][]*monitor.Held{}
	for i := range list {
		if h := &list[i]; h.Key != "" {
			closeAll(h.Pidfd)
			sessions[h.ID] = append(sessions[h.ID], h)
		} else {
			held[h.ID] = h
		}
	}
	return held, sessions, nil
}

// recoverEntries makes supervisors of what lies in the directory, and finishes removals.
func (e *Engine) recoverEntries(entries []os.DirEntry) []*supervisor {
	var all []*supervisor
	var gone []*record // of containers whose removal may not have come to their volumes
	read := e.readEntries(entries)
	for _, entry := range entries {
		if id, ok := strings.CutPrefix(entry.Name(), gonePrefix); ok {
			if rec, err := readRecord(filepath.Join(e.dir, entry.Name()), id); err == nil {
				gone = append(gone, rec)
			}
		}
		if s := e.recoverEntry(entry.Name(), read[entry.Name()]); s != nil {
			all = append(all, s)
		}
	}
	for _, s := range all { // before a volume goes with a container that was never there, the others say which they use
		e.volumes.Use(s.id, s.rec.Owner.UID, s.used())
	}
	for _, rec := range gone {
		e.dropVolumes(recovery, rec)
	}
	return all
}

// sweepGroups removes the cgroups of containers that do not run. A process that waits in the kernel must not keep the
// mount from coming back; what is left is for the next sweep.
func (e *Engine) sweepGroups(ctx context.Context, all []*supervisor) {
	keep := map[string]bool{}
	for _, s := range all {
		keep[s.groupName()] = s.run != nil
	}
	sweeping, cancel := context.WithTimeout(ctx, sweepWithin)
	defer cancel()
	if err := e.parts.groups.Sweep(sweeping, func(id string) bool { return keep[id] }); err != nil {
		e.o.Logger.Warn("cgroups of earlier containers cannot be removed", "op", "open", "err", err)
	}
}

// sweepWithin bounds the wait for cgroups of containers that run no more to be empty.
const sweepWithin = time.Second

// readEntry is a directory's record, with a supervisor for it that nobody knows yet; or why there is none.
type readEntry struct {
	s   *supervisor
	err error
}

// readEntries reads the records of all containers, on all processors.
func (e *Engine) readEntries(entries []os.DirEntry) map[string]readEntry {
	names := make(chan string)
	read := map[string]readEntry{}
	var mu sync.Mutex
	var work sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		work.Go(func() {
			for name := range names {
				var x readEntry
				rec, err := readRecord(filepath.Join(e.dir, name), name)
				if err == nil {
					x.s, err = e.newSupervisor(rec)
				}
				x.err = err
				mu.Lock()
				read[name] = x
				mu.Unlock()
			}
		})
	}
	for _, entry := range entries {
		if isHex(entry.Name(), 64) {
			names <- entry.Name()
		}
	}
	close(names)
	work.Wait()
	return read
}

// recoverEntry makes a supervisor of a directory that is a container, and clears away what is not one (yet, or any
// more).
func (e *Engine) recoverEntry(name string, read readEntry) *supervisor {
	path := filepath.Join(e.dir, name)
	switch {
	case strings.HasPrefix(name, newPrefix), strings.HasPrefix(name, gonePrefix):
		e.trash.put(path)
		return nil
	case !isHex(name, 64):
		return nil // nothing of ours
	}
	err := read.err
	if err == nil {
		if e.index.reserve(read.s.rec.Name) {
			return read.s
		}
		err = errors.New("its name is another container's too")
	}
	if emptyRecord(path) { // the record is complete before a creation is answered: this one was not
		e.discard(path, name)
		return nil
	}
	return e.deadSupervisor(name, err)
}

// emptyRecord tells whether a power failure came between a creation's rename and its record's bytes. What has files
// has been a container, whatever became of its record.
func emptyRecord(path string) bool {
	st, err := os.Lstat(filepath.Join(path, recordFile))
	if !errors.Is(err, fs.ErrNotExist) && (err != nil || !st.Mode().IsRegular() || st.Size() > 0) {
		return false
	}
	files, err := os.ReadDir(filepath.Join(path, diskDir, "upper"))
	return len(files) == 0 && (err == nil || errors.Is(err, fs.ErrNotExist))
}

// discard takes a directory that is no container away.
func (e *Engine) discard(path, id string) {
	trash := filepath.Join(e.dir, gonePrefix+id)
	if err := os.Rename(path, trash); err != nil {
		e.o.Logger.Error("what is left of a creation cannot be moved away", "container", id, "op", "open", "err", err)
		return
	}
	e.trash.put(trash)
}

// deadSupervisor is for a container whose record cannot be read: it is listed, so that somebody can mend or remove it.
func (e *Engine) deadSupervisor(id string, cause error) *supervisor {
	rec := &record{Version: recordVersion, ID: id, Name: "dead_" + Short(id), Settings: map[string]string{}}
	if st, err := os.Stat(filepath.Join(e.containerDir(id), recordFile)); err == nil {
		rec.Created = st.ModTime()
	}
	s, err := e.newSupervisor(rec)
	if err != nil || !e.index.reserve(rec.Name) {
		e.o.Logger.Error("a container cannot be listed", "container", id, "op", "open", "err", errors.Join(cause, err))
		return nil
	}
	s.enter(inBreak)
	s.st.Error = "its record " + filepath.Join(s.dir, recordFile) + " cannot be read: " + cause.Error()
	e.o.Logger.Error("a container's record cannot be read", "container", id, "op", "open", "err", cause)
	return s
}

// endStranger ends what the monitor holds and no record is for: a creation that was undone, or a container removed by
// hand. passExit has it forgotten.
func (e *Engine) endStranger(h *monitor.Held) {
	defer h.Close()
	e.o.Logger.Warn("a process of no known container is ended", "container", h.ID, "op", "open")
	if h.Exit != nil {
		e.passExit(*h.Exit)
		return
	}
	if err := unix.PidfdSendSignal(int(h.Pidfd.Fd()), unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		e.o.Logger.Error("it cannot be killed", "container", h.ID, "op", "open", "err", err)
	}
}

// startRecovered lists the containers and lets their supervisors begin.
func (e *Engine) startRecovered(all []*supervisor) {
	var live []*supervisor
	for _, s := range all {
		if !s.gone {
			if s.run != nil {
				live = append(live, s)
			}
			e.index.list(s, s.rec.Name)
			if !e.spawn(s.supervise) {
				close(s.done)
			}
		}
	}
	e.spawn(func() { e.catchUp(live) })
}

// catchUp has the supervisors of what runs catch up, one after the other: with a thousand containers it takes as long as
// all else, and the mount is to be back by then.
func (e *Engine) catchUp(live []*supervisor) {
	for _, s := range live {
		done := make(chan struct{})
		if !s.later(recovery, func() {
			s.catchUp()
			close(done)
		}) {
			continue
		}
		select {
		case <-done:
		case <-time.After(catchUpWithin): // it has something to do that hangs
		case <-s.done:
		case <-e.ctx.Done():
			return
		}
	}
}

// catchUpWithin bounds how long a container keeps the next from catching up.
const catchUpWithin = time.Second
