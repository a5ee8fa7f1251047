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

// pageSize is what one write changes as a whole, whenever the process that writes is killed.
const pageSize = 4096

// Overwrite puts JSON that is shorter than a page over a file's, which is as short: that takes a fifth of the time of a
// new file in the old one's place, which it makes of longer ones. It is for what the machine's power may take: the file
// may be broken then.
func Overwrite(dir, name string, data []byte) error {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if max(st.Size(), int64(len(data))) > pageSize {
		return errors.Join(f.Close(), WriteFile(dir, name, data, false))
	}
	for int64(len(data)) < st.Size() { // white space is nothing in JSON
		data = append(data, ' ')
	}
	_, err = f.WriteAt(data, 0)
	return errors.Join(err, f.Close())
}

// SyncDir has what was made, renamed and removed in a directory on the disk when it returns.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
