package volume

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"hull/engine/internal/sys"
)

// record is volume.json.
type record struct {
	Version   int       `json:"version"`
	Name      string    `json:"name"`
	UID       uint32    `json:"uid"`
	GID       uint32    `json:"gid"`
	Created   time.Time `json:"created"`
	Anonymous bool      `json:"anonymous,omitempty"`
	MadeFor   string    `json:"made_for,omitempty"`
}

const (
	recordFile    = "volume.json"
	recordVersion = 1
	maxRecord     = 1 << 16 // bytes
)

func encode(v Volume) ([]byte, error) {
	data, err := json.Marshal(record{
		Version: recordVersion, Name: v.Name, UID: v.UID, GID: v.GID, Created: v.Created, Anonymous: v.Anonymous, MadeFor: v.MadeFor,
	})
	return append(data, '\n'), err
}

// read reads a volume's record. One that cannot be read keeps nobody from the files: the volume is then root's, and as
// old as its directory.
func (s *Store) read(name string) (Volume, error) {
	v, err := s.parse(name)
	if err != nil {
		v = Volume{Name: name}
		if st, e := os.Stat(s.path(name)); e == nil {
			v.Created = st.ModTime()
		}
	}
	return v, err
}

func (s *Store) parse(name string) (Volume, error) {
	data, err := sys.ReadRegular(s.path(name, recordFile), maxRecord)
	if err != nil {
		return Volume{}, err
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return Volume{}, fmt.Errorf("it is not the JSON it should be: %w", err)
	}
	switch {
	case r.Version > recordVersion:
		return Volume{}, fmt.Errorf("it was written by a later release of hull (version %d)", r.Version)
	case r.Name != name:
		return Volume{}, errors.New("it is the record of another volume")
	}
	return Volume{Name: name, UID: r.UID, GID: r.GID, Created: r.Created, Anonymous: r.Anonymous, MadeFor: r.MadeFor}, nil
}

// write writes a volume's record into a directory, whole or not at all.
func write(dir string, v Volume, durable bool) error {
	data, err := encode(v)
	if err != nil {
		return err
	}
	return sys.WriteFile(dir, recordFile, data, durable)
}

// Check reads every record again, and tells in a line of each that is not what hull wrote; with mend it writes it anew.
// It returns how many flaws there are, or are left.
func (s *Store) Check(mend bool, report func(line string)) (flaws int) {
	for _, v := range s.List() {
		have, err := s.parse(v.Name)
		v.Users = nil
		if err == nil && have.Created.Equal(v.Created) {
			if have.Created = v.Created; same(have, *v) {
				continue
			}
		}
		line := "the record of the volume " + v.Name + " says something else than hull wrote"
		if err != nil {
			line = fmt.Sprintf("the record of the volume %s cannot be read (%v)", v.Name, err)
		}
		switch {
		case !mend:
			flaws++
		default:
			if err := s.mend(*v); err != nil {
				flaws++
				line += "; not mended: " + err.Error()
				break
			}
			line += "; written anew"
		}
		report(line)
	}
	return flaws
}

func same(a, b Volume) bool {
	return a.Name == b.Name && a.UID == b.UID && a.GID == b.GID && a.Anonymous == b.Anonymous && a.MadeFor == b.MadeFor
}

// mend writes a record anew.
func (s *Store) mend(v Volume) error {
	path := s.path(v.Name, recordFile)
	if st, err := os.Lstat(path); err == nil && st.IsDir() { // which no file replaces
		if err := os.Rename(path, path+".bad"); err != nil {
			return err
		}
	}
	return write(s.path(v.Name), v, true)
}
