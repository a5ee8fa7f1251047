package fs

import (
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"
)

const (
	scratchFor   = 10 * time.Minute // how long a scratch file outlives its last close
	maxScratches = 64               // for one container
)

// scratches are files that editors make beside a setting: vim's .env.swp, 4913 and env~, sed's sedAbCdEf, nano's and
// emacs's. They live in memory, and what is renamed onto a setting becomes its value.
type scratches struct {
	mu    sync.Mutex
	files map[string]map[string]*scratchFile // by container ID and name
}

type scratchFile struct {
	b    []byte
	open int
	at   time.Time // of the last close
}

// settingLike tells a mistyped setting from an editor's file: settings are words of small letters and underscores.
func settingLike(name string) bool {
	if strings.HasPrefix(name, "tmp") || strings.HasPrefix(name, "sed") && len(name) == len("sedAbCdEf") {
		return false
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") == ""
}

// sweep drops what was closed long ago. Called with mu held.
func (s *scratches) sweep(id string) map[string]*scratchFile {
	m := s.files[id]
	for n, f := range m {
		if f.open == 0 && time.Since(f.at) > scratchFor {
			delete(m, n)
		}
	}
	if len(m) == 0 {
		delete(s.files, id)
	}
	return m
}

func (s *scratches) list(id string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for n := range s.sweep(id) {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

func (s *scratches) has(id, name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.sweep(id)[name]
	return ok
}

func (s *scratches) read(id, name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[id][name]
	if f == nil {
		return nil, fail(Removed, "read", "", fmt.Sprintf("The scratch file %s is gone.", name))
	}
	return append([]byte(nil), f.b...), nil
}

// write makes the file's content b, making the file if need be.
func (s *scratches) write(id, name string, b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for other := range s.files { // also those of containers that are gone
		s.sweep(other)
	}
	m := s.files[id]
	if m[name] == nil && len(m) >= maxScratches {
		return fail(Space, "create", "", fmt.Sprintf("There are %d scratch files in this config directory already: remove some.", maxScratches))
	}
	if s.files == nil {
		s.files = map[string]map[string]*scratchFile{}
	}
	if m == nil {
		m = map[string]*scratchFile{}
		s.files[id] = m
	}
	if m[name] == nil {
		m[name] = &scratchFile{at: time.Now()}
	}
	m[name].b = append([]byte(nil), b...)
	return nil
}

func (s *scratches) remove(id, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files[id], name)
	s.sweep(id)
}

// opened and closed count who holds a scratch file. Other entries do not count.
func (s *scratches) opened(e *entry) { s.count(e, 1) }
func (s *scratches) closed(e *entry) { s.count(e, -1) }

func (s *scratches) count(e *entry, n int) {
	if e.row.kind != scratchRow {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.files[e.obj.id][e.name]; f != nil {
		f.open = max(0, f.open+n)
		f.at = time.Now()
	}
}

// scratchEntry is a scratch file in a config directory.
func scratchEntry(config *entry, name string) *entry {
	return config.child(&row{name: name, kind: scratchRow, mode: 0o640, group: true, path: config.row.path + "/" + name}, name)
}
