package registries

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"hull/layers/reference"
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

// Check reads the files again. It tells in a line of each that is not what hull wrote,
// and with mend writes it anew, or moves one that nothing is known of aside. It
// returns how many flaws there are, or are left.
func (b *Book) Check(mend bool, report func(line string)) (flaws int, err error) {
	b.changing.Lock()
	defer b.changing.Unlock()
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		return 0, &Error{Op: "check", Domain: b.dir, Kind: System, Err: err}
	}
	missing := maps.Clone(*b.known.Load())
	delete(missing, reference.DefaultDomain) // needs no file
	for _, e := range entries {
		domain, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			continue
		}
		delete(missing, domain)
		r, _ := b.Find(domain)
		have, err := read(b.path(domain), domain)
		if err == nil && r != nil && same(have, r) {
			continue
		}
		line := "registries/" + e.Name() + " says something else than hull wrote"
		if err != nil {
			line = fmt.Sprintf("registries/%s cannot be read (%v)", e.Name(), err)
		}
		if mend {
			line, err = b.mend(line, domain, r)
		}
		if !mend || err != nil {
			flaws++
		}
		report(line)
	}
	for _, domain := range slices.Sorted(maps.Keys(missing)) {
		line := "registries/" + domain + ".json is missing"
		if mend {
			line, err = b.mend(line, domain, missing[domain])
		}
		if !mend || err != nil {
			flaws++
		}
		report(line)
	}
	return flaws, nil
}

// mend writes what is known of a registry anew, and puts a file that is about none
// aside. It says so after the line. changing is held.
func (b *Book) mend(line, domain string, r *Registry) (string, error) {
	path := b.path(domain)
	if info, err := os.Lstat(path); err == nil && (r == nil || info.IsDir()) {
		aside := path + ".bad"
		if err := errors.Join(os.RemoveAll(aside), os.Rename(path, aside)); err != nil {
			return line + "; not mended: " + err.Error(), err
		}
		if r == nil {
			return line + "; moved aside, to " + filepath.Base(aside), nil
		}
	}
	if err := b.put("repair", r); err != nil {
		return line + "; not mended: " + err.Error(), err
	}
	return line + "; written anew", nil
}

func same(a, b *Registry) bool {
	x, err := json.Marshal(a)
	if err != nil {
		return false
	}
	y, err := json.Marshal(b)
	return err == nil && bytes.Equal(x, y)
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
