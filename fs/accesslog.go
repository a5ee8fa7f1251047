package fs

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"
)

// The file of what chown and chmod have set.

// append is called with disk held.
func (a *access) append(l accessLine) error {
	if a.path == "" {
		return nil
	}
	if a.file == nil || a.lines > 2*len(a.files)+slackLines {
		return a.rewrite(l)
	}
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	a.lines++
	if _, err = a.file.Write(append(b, '\n')); err == nil {
		err = a.sync()
	}
	if err != nil { // part of a line would spoil the next one, and nobody is to find what was refused: it is written anew
		a.close()
	}
	return err
}

// sync makes the file durable, or has that done soon. It is called with disk held.
func (a *access) sync() error {
	wait := syncPause - time.Since(a.synced)
	if wait <= 0 {
		a.synced = time.Now()
		return a.file.Sync()
	}
	if a.late == nil {
		a.work.Add(1)
		a.late = time.AfterFunc(wait, a.syncLate)
	}
	return nil
}

func (a *access) syncLate() {
	defer a.work.Done()
	a.disk.Lock()
	defer a.disk.Unlock()
	a.settle()
}

// settle makes durable what has not waited for the disk. It is called with disk held.
func (a *access) settle() {
	a.late, a.synced = nil, time.Now()
	if a.file == nil {
		return // it was written anew, or is going to be
	}
	if err := a.file.Sync(); err != nil {
		a.log.Error("owners and modes that were changed may not survive a power failure", "op", "chmod", "err", err)
		a.close()
	}
}

// rewrite replaces the file by what is set now, and what one more line says. It is called with disk held.
func (a *access) rewrite(more accessLine) error {
	if a.path == "" {
		return nil
	}
	var b bytes.Buffer
	lines := json.NewEncoder(&b)
	for k, p := range a.files {
		if err := lines.Encode(accessLine{k, p}); err != nil {
			return err
		}
	}
	if more.accessKey != (accessKey{}) {
		if err := lines.Encode(more); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(a.path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b.Bytes())
	if err == nil {
		err = f.Sync() // the old file is whole on the disk; the new one must be, too
	}
	if err == nil {
		err = os.Rename(a.path+".new", a.path)
	}
	if err != nil {
		return errors.Join(err, f.Close(), os.Remove(a.path+".new"))
	}
	a.close()
	a.file, a.lines = f, len(a.files)+1
	return syncDir(filepath.Dir(a.path))
}

// syncDir makes a rename in a directory durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// end is for when nothing is set any more.
func (a *access) end() {
	a.disk.Lock()
	if a.late != nil && a.late.Stop() {
		a.work.Done()
		a.settle()
	}
	a.close()
	a.disk.Unlock()
	a.work.Wait()
}

// close closes the file; another change writes it anew. It is called with disk held.
func (a *access) close() {
	if a.file != nil {
		_ = a.file.Close()
		a.file = nil
	}
}
