package registries

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
)

func (b *Book) path(domain string) string { return filepath.Join(b.dir, domain+".json") }

// put writes a registry down and shows it. changing is held.
func (b *Book) put(op string, r *Registry) error {
	content, err := json.MarshalIndent(r, "", "\t")
	if err == nil {
		err = replace(b.path(r.Domain), append(content, '\n'))
	}
	if err != nil {
		return &Error{Op: op, Domain: r.Domain, Kind: System, Err: err}
	}
	known := maps.Clone(*b.known.Load())
	known[r.Domain] = r
	b.known.Store(&known)
	return b.sync(op, r.Domain)
}

// replace puts a file in the place of another, whole or not at all.
func replace(path string, content []byte) error {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// sync makes names in the directory last.
func (b *Book) sync(op, domain string) error {
	d, err := os.Open(b.dir)
	if err == nil {
		err = errors.Join(d.Sync(), d.Close())
	}
	if err != nil {
		return &Error{Op: op, Domain: domain, Kind: System, Err: err}
	}
	return nil
}
