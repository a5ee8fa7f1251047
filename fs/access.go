package fs

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// access is what chown and chmod have set, by object and file, and nothing of what is as the table has it. It is kept in
// a file of lines, each of which replaces what was said before of its file; the file is written anew when it is opened,
// and when most of its lines are out of date. What chmod has said is on the disk when it returns, as it may be what keeps
// somebody out; of many in a row, as chown -R makes, the later ones are there a moment after.
//
// An object that is removed and another of its name are two, so what was said of the first is not said of the second.
type access struct {
	any atomic.Bool // something is set: it spares each look at a file the lock

	// disk is held for a change, which takes as long as the disk does; mu, inside it, for moments.
	disk  sync.Mutex
	path  string // of the file; empty keeps all in memory
	file  *os.File
	lines int
	log   *slog.Logger

	synced time.Time      // when the file was last made durable
	late   *time.Timer    // does so for what came too soon after that; nil if nothing did
	work   sync.WaitGroup // of late

	mu    sync.Mutex
	files map[accessKey]permissions // changes with both held
}

// accessKey is a file: of an object by its key and the path in its directory, "" for that itself; of the tree by the path
// from its root.
type accessKey struct {
	Object string `json:"object,omitempty"`
	Path   string `json:"path,omitempty"`
}

// permissions are those that have been set of a file; nil leaves what the table says.
type permissions struct {
	UID  *uint32 `json:"uid,omitempty"`
	GID  *uint32 `json:"gid,omitempty"`
	Mode *uint32 `json:"mode,omitempty"`
}

// accessLine is a line of the file.
type accessLine struct {
	accessKey
	permissions
}

const (
	maxAccess = 1 << 16 // files of which something is set
	// syncPause is how soon after another a change does not wait for the disk any more.
	syncPause = 50 * time.Millisecond
	// slackLines is how many lines out of date there may be beside one for each file.
	slackLines = 4096
)

// openAccess reads the file and drops what is said of objects that there are no more. A line that is not whole, as a
// power failure leaves it, is none.
func openAccess(path string, log *slog.Logger, there func(object string) bool) (*access, error) {
	a := &access{path: path, log: log, files: map[accessKey]permissions{}}
	if path == "" {
		return a, nil
	}
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return a, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for r := bufio.NewReader(f); ; {
		b, err := r.ReadBytes('\n')
		var l accessLine
		if err == nil && json.Unmarshal(b, &l) == nil && (l.Object == "" || there(l.Object)) {
			a.put(l.accessKey, l.permissions)
		}
		if errors.Is(err, io.EOF) {
			return a, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (p permissions) none() bool { return p == permissions{} }

// put is called with mu held, or before others know of a.
func (a *access) put(k accessKey, p permissions) {
	if p.none() {
		delete(a.files, k)
	} else {
		a.files[k] = p
	}
	a.any.Store(len(a.files) > 0)
}

func (a *access) get(k accessKey) permissions {
	if !a.any.Load() {
		return permissions{}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.files[k]
}

// set changes what is set of a file. It is on the disk when set returns, and others see it only then.
func (a *access) set(k accessKey, change func(*permissions)) error {
	a.disk.Lock()
	defer a.disk.Unlock()
	old, known := a.files[k]
	p := old
	change(&p)
	switch {
	case p.none() && !known:
		return nil
	case !known && len(a.files) >= maxAccess:
		return fail(Space, "chmod", "", fmt.Sprintf("Owners and modes of %d files have been changed, and hull keeps no more.", maxAccess))
	}
	if err := a.append(accessLine{k, p}); err != nil {
		return err
	}
	a.show(map[accessKey]permissions{k: p})
	return nil
}

// given drops what is said of the owners of an object's files that the object's own owner is now.
func (a *access) given(object string, uid uint32) error {
	return a.change(func(k accessKey, p permissions, to map[accessKey]permissions) {
		if k.Object == object && k.Path != "" && p.UID != nil && *p.UID == uid {
			p.UID = nil
			to[k] = p
		}
	})
}

// renamed makes what is said of an object that of another, which it has become.
func (a *access) renamed(from, to string) error {
	return a.change(func(k accessKey, p permissions, changes map[accessKey]permissions) {
		if k.Object == from {
			changes[k], changes[accessKey{to, k.Path}] = permissions{}, p
		}
	})
}

// forget drops all that is said of an object, or of a directory of the tree's and what is in it.
func (a *access) forget(which func(k accessKey) bool) {
	// What is left in the file if that fails is dropped when it is opened.
	_ = a.change(func(k accessKey, _ permissions, changes map[accessKey]permissions) {
		if which(k) {
			changes[k] = permissions{}
		}
	})
}

// change makes the changes that f puts into a map when it is shown all that is set. What is set is changed also when the
// disk fails.
func (a *access) change(f func(k accessKey, p permissions, changes map[accessKey]permissions)) error {
	if !a.any.Load() {
		return nil
	}
	a.disk.Lock()
	defer a.disk.Unlock()
	changes := map[accessKey]permissions{}
	for k, p := range a.files {
		f(k, p, changes)
	}
	if len(changes) == 0 {
		return nil
	}
	a.show(changes)
	return a.rewrite(accessLine{})
}

// show makes changes what everybody sees. It is called with disk held.
func (a *access) show(changes map[accessKey]permissions) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for k, p := range changes {
		a.put(k, p)
	}
}

// there tells whether an object is still there, by its key.
func (t *Tree) there(key string) bool {
	kind, rest, _ := strings.Cut(key, "/")
	if kind == "c" {
		c, ok := t.Containers.Find(rest)
		return ok && c.ID == rest
	}
	i := strings.LastIndexByte(rest, '/')
	if i < 0 {
		return false
	}
	nanos, err := strconv.ParseInt(rest[i+1:], 10, 64)
	if err != nil {
		return false
	}
	for _, k := range []objectKind{imageObject, registryObject, layerObject, volumeObject, networkObject} {
		o := object{kind: k, id: rest[:i], made: time.Unix(0, nanos)}
		if o.key() == key {
			return (&entry{t: t, obj: o}).alive() == nil
		}
	}
	return false
}
