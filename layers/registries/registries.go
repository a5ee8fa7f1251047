// Package registries keeps what a hull has been told about registries: which it
// shall know although it has no image of them, which may be spoken to without
// TLS, which mirrors are asked first, and by what name users have logged in.
// It holds no secrets: those live where Docker keeps them (package credentials).
//
// On disk it is a JSON document a registry, DIR/ghcr.io.json, written beside and
// renamed. docker.io is always there. Readers take an immutable snapshot and wait
// for nothing; writers are one at a time.
package registries

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hull/layers/internal/sys"
	"hull/layers/reference"
	"hull/layers/registry"
)

// Registry is what is known of one: an immutable snapshot.
type Registry struct {
	Domain   string            `json:"domain"`             // as in a reference: "ghcr.io", "localhost:5000"
	Made     time.Time         `json:"made"`               // when it was told of
	Insecure string            `json:"insecure,omitempty"` // as it was written: "true"
	Mirror   string            `json:"mirror,omitempty"`   // as it was written: an address a line
	Users    map[uint32]string `json:"users,omitempty"`    // who has logged in, by uid: the name there
}

// mirrors are the addresses of Mirror.
func (r *Registry) mirrors() []string { return strings.Fields(r.Mirror) }

// Book is the registries of one hull. Its methods may be called from any goroutine.
type Book struct {
	dir string

	changing sync.Mutex // held while a file is written
	known    atomic.Pointer[map[string]*Registry]
}

// Open reads what is in dir, which is made if need be. A file that makes no sense is
// left out, with a line in the log: it may be mended by hand.
func Open(dir string, log *slog.Logger) (*Book, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("the registries' directory cannot be made: %w", err)
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("the registries cannot be read: %w", err)
	}
	known := map[string]*Registry{reference.DefaultDomain: {Domain: reference.DefaultDomain, Made: time.Now().Round(0)}}
	for _, n := range names {
		domain, ok := strings.CutSuffix(n.Name(), ".json")
		if !ok {
			continue
		}
		r, err := read(filepath.Join(dir, n.Name()), domain)
		if err != nil {
			log.Warn("what is known of a registry cannot be read", "registry", domain, "err", err)
			continue
		}
		known[domain] = r
	}
	b := &Book{dir: dir}
	b.known.Store(&known)
	return b, nil
}

// maxFile is more than any of these documents is long.
const maxFile = 1 << 20

func read(path, domain string) (*Registry, error) {
	content, err := sys.ReadRegular(path, maxFile)
	if err != nil {
		return nil, err
	}
	r := &Registry{}
	if err := json.Unmarshal(content, r); err != nil {
		return nil, err
	}
	if r.Domain != domain || checkName(domain) != "" {
		return nil, errors.New("it is about another registry")
	}
	return r, nil
}

// List is every registry, by domain.
func (b *Book) List() []*Registry {
	known := *b.known.Load()
	list := make([]*Registry, 0, len(known))
	for _, domain := range slices.Sorted(maps.Keys(known)) {
		list = append(list, known[domain])
	}
	return list
}

// Find returns the registry of a domain.
func (b *Book) Find(domain string) (*Registry, bool) {
	r, ok := (*b.known.Load())[domain]
	return r, ok
}

// Insecure tells whether a registry may be spoken to in plain http, or with a
// certificate that nobody vouches for: a registry.Options.Insecure.
func (b *Book) Insecure(domain string) bool {
	r, ok := b.Find(domain)
	if !ok {
		return false
	}
	on, err := strconv.ParseBool(strings.TrimSpace(r.Insecure))
	return err == nil && on
}

// Mirrors are the servers that are asked before a domain's own: a
// registry.Options.Mirrors.
func (b *Book) Mirrors(domain string) []string {
	r, ok := b.Find(domain)
	if !ok {
		return nil
	}
	return r.mirrors()
}

// checkName is what is wrong with a registry's name, as a clause; empty if nothing.
func checkName(domain string) string {
	ref, err := reference.Parse(domain + "/library/x")
	switch {
	case err != nil || strings.ContainsAny(domain, "/@"):
		return "that cannot be a host"
	case ref.Domain == domain:
		return ""
	case ref.Domain == reference.DefaultDomain && strings.Contains(domain, "."):
		return "it is called " + reference.DefaultDomain
	}
	return "a registry is localhost, or has a dot or a port, as ghcr.io and myhost:5000"
}

// Add makes a registry known.
func (b *Book) Add(domain string) (*Registry, error) {
	if why := checkName(domain); why != "" {
		return nil, failf("add", domain, Invalid, "%s", why)
	}
	b.changing.Lock()
	defer b.changing.Unlock()
	if _, ok := b.Find(domain); ok {
		return nil, failf("add", domain, Exists, "it is known already")
	}
	r := &Registry{Domain: domain, Made: time.Now().Round(0)}
	return r, b.put("add", r)
}

// Remove forgets a registry. docker.io stays.
func (b *Book) Remove(domain string) error {
	if domain == reference.DefaultDomain {
		return failf("remove", domain, Fixed, "it is always there; rm login logs you out")
	}
	b.changing.Lock()
	defer b.changing.Unlock()
	if _, ok := b.Find(domain); !ok {
		return failf("remove", domain, NotFound, "it is not known")
	}
	if err := os.Remove(b.path(domain)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &Error{Op: "remove", Domain: domain, Kind: System, Err: err}
	}
	known := maps.Clone(*b.known.Load())
	delete(known, domain)
	b.known.Store(&known)
	return b.sync("remove", domain)
}

// SetInsecure keeps what was written: true, false, or nothing.
func (b *Book) SetInsecure(domain, text string) error {
	word := strings.TrimSpace(text)
	if _, err := strconv.ParseBool(word); word != "" && err != nil {
		return failf("set", domain, Invalid, "insecure is true or false, not %q", word)
	}
	return b.change("set", domain, func(r *Registry) { r.Insecure = text })
}

// SetMirror keeps what was written: an address a line.
func (b *Book) SetMirror(domain, text string) error {
	for _, address := range strings.Fields(text) {
		if err := registry.CheckMirror(address); err != nil {
			return failf("set", domain, Invalid, "%q cannot be a mirror: %v", address, err)
		}
	}
	return b.change("set", domain, func(r *Registry) { r.Mirror = text })
}

// SetUser keeps the name by which a user has logged in; empty: logged out.
func (b *Book) SetUser(domain string, uid uint32, name string) error {
	return b.change("set", domain, func(r *Registry) {
		users := maps.Clone(r.Users)
		if users == nil {
			users = map[uint32]string{}
		}
		users[uid] = name
		if name == "" {
			delete(users, uid)
		}
		r.Users = users
	})
}

// change keeps a changed copy of what is known of a registry.
func (b *Book) change(op, domain string, f func(*Registry)) error {
	b.changing.Lock()
	defer b.changing.Unlock()
	old, ok := b.Find(domain)
	if !ok {
		return failf(op, domain, NotFound, "it is not known")
	}
	r := *old
	f(&r)
	return b.put(op, &r)
}
