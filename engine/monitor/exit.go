package monitor

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// The exit record in a container's directory, and the file that becomes it.
const (
	exitFile    = "exit.json"
	newExitFile = exitFile + ".new"
	recordSize  = 512 // more than any record has
)

// Exit is how a process ended. Code is what a shell would report: the exit status, or 128+Signal.
type Exit struct {
	ID      string    `json:"id"`
	Session string    `json:"session,omitempty"` // the session's key, if it is a session's exit and Session.Report was set
	Code    int       `json:"code"`
	Signal  int       `json:"signal,omitempty"`
	Unknown bool      `json:"unknown,omitempty"` // nobody could know how it ended: Code says nothing
	OOM     bool      `json:"oom,omitempty"`     // the kernel killed something in the container's cgroup for want of memory
	Started time.Time `json:"started"`
	At      time.Time `json:"finished"`
}

// ReadExit reads the exit record of the container whose directory is dir. A missing record is fs.ErrNotExist: the
// container has not ended since it was last adopted, or the machine went down before anybody was told how. Started
// tells which run a record is about.
func ReadExit(dir string) (Exit, error) {
	var e Exit
	b, err := os.ReadFile(filepath.Join(dir, exitFile))
	if err != nil {
		return e, err
	}
	if len(bytes.Trim(b, " \n\x00")) == 0 { // the name reached the disk and what it names did not
		return e, &os.PathError{Op: "read", Path: filepath.Join(dir, exitFile), Err: os.ErrNotExist}
	}
	return e, json.Unmarshal(b, &e)
}

// reserve has the disk keep room for the exit record of a container that begins, so that a disk that has filled up
// meanwhile does not lose it; and removes the record of its last run.
func reserve(dir string) error {
	err := os.Remove(filepath.Join(dir, exitFile))
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, os.WriteFile(filepath.Join(dir, newExitFile), blank(nil), 0o600))
}

// blank fills a record up to its reserved size. White space is nothing in JSON.
func blank(b []byte) []byte {
	for len(b) < recordSize-1 {
		b = append(b, ' ')
	}
	return append(b, '\n')
}

// writeExit writes the record: from then on it survives every death of a process. It survives the machine's when syncExit
// has made it durable; until then that may leave no record, never a wrong one.
func writeExit(dir string, e Exit) (err error) {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	name := filepath.Join(dir, newExitFile)
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(blank(b)); err != nil {
		return err
	}
	return os.Rename(name, filepath.Join(dir, exitFile))
}

// syncExit makes a record durable, its content and then its name. There may be none any more.
func syncExit(dir string) error {
	for _, path := range []string{filepath.Join(dir, exitFile), dir} {
		f, err := os.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// syncAfter is how long an exit record waits to be made durable: for many at once, one commit of the disk's journal is
// enough, and a container that is removed until then needs none. Nobody waits for it.
const syncAfter = time.Second

// syncLater makes a container's exit record durable soon.
func (s *server) syncLater(c *container) {
	if s.unsynced == nil {
		s.unsynced = map[string]string{}
		s.after(syncAfter, s.syncExits)
	}
	s.unsynced[c.dir] = c.id
}

// syncExits makes records durable in the background.
func (s *server) syncExits() {
	records := s.unsynced
	s.unsynced = nil
	s.syncing.Go(func() {
		for dir, id := range records {
			if err := syncExit(dir); err != nil {
				s.loop.post(func() { s.report(id, "the container's exit may not survive a power failure: "+err.Error()) })
			}
		}
	})
}
