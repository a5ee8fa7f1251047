package sys

import (
	"errors"
	"os"
	"path/filepath"
)

// WriteFile replaces a file whole. With durable, it is on the disk when WriteFile returns; without, it may be lost with
// the machine's power, never with the process.
func WriteFile(dir, name string, data []byte, durable bool) error {
	path := filepath.Join(dir, name)
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil && durable {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(path+".new"))
	}
	if durable {
		return SyncDir(dir)
	}
	return nil
}

// SyncDir has what was made, renamed and removed in a directory on the disk when it returns.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
