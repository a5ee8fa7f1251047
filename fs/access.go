package fs

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// access is what chown and chmod have set, by object and file, and nothing of what is as the table has it. It is kept in
// a file of lines, each of which replaces what was said before of its file; the file is written anew when it is opened,
// and when most of its lines are out of date. Like what chmod does on any disk it may be lost with the machine's power,
// and never with the daemon.
//
// An object that is removed and another of its name are two, so what was said of the first is not said of the second.
type access struct {
	any atomic.Bool // something is set: it spares each look at a file the lock

	mu    sync.Mutex
	path  string // of the file; empty keeps all in memory
	file  *os.File
	lines int
	files map[accessKey]permissions
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
	// slackLines is how many lines out of date there may be beside one for each file.
	slackLines = 4096
)

// openAccess reads the file and drops what is said of objects that there are no more. A line that is not whole, as a
// power failure leaves it, is none.
func openAccess(path string, there func(object string) bool) (*access, error) {
	a := &access{path: path, files: map[accessKey]permissions{}}
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

// set changes what is set of a file. It is kept when set returns.
func (a *access) set(k accessKey, change func(*permissions)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	old, known := a.files[k]
	p := old
	change(&p)
	switch {
	case p.none() && !known:
		return nil
	case !known && len(a.files) >= maxAccess:
		return fail(Space, "chmod", "", fmt.Sprintf("Owners and modes of %d files have been changed, and hull keeps no more.", maxAccess))
	}
	a.put(k, p)
	err := a.append(accessLine{k, p})
	if err != nil {
		a.put(k, old)
	}
	return err
}

// given drops what is said of the owners of an object's files that the object's own owner is now.
func (a *access) given(object string, uid uint32) error {
	if !a.any.Load() {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	dropped := false
	for k, p := range a.files {
		if k.Object == object && k.Path != "" && p.UID != nil && *p.UID == uid {
			p.UID, dropped = nil, true
			a.put(k, p)
		}
	}
	if !dropped {
		return nil
	}
	return a.rewrite()
}

// forget drops all that is said of an object, or of a directory of the tree's and what is in it.
func (a *access) forget(which func(k accessKey) bool) {
	if !a.any.Load() {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	before := len(a.files)
	for k := range a.files {
		if which(k) {
			a.put(k, permissions{})
		}
	}
	if len(a.files) != before {
		_ = a.rewrite() // else what is left in the file is dropped when that is opened
	}
}

// append is called with mu held.
func (a *access) append(l accessLine) error {
	if a.path == "" {
		return nil
	}
	if a.file == nil || a.lines > 2*len(a.files)+slackLines {
		return a.rewrite()
	}
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	a.lines++
	n, err := a.file.Write(append(b, '\n'))
	if err != nil && n > 0 { // part of a line would spoil the next one
		_ = a.file.Close()
		a.file = nil
	}
	return err
}

// rewrite replaces the file by what is set now. It is called with mu held.
func (a *access) rewrite() error {
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
	a.file, a.lines = f, len(a.files)
	return nil
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
	for _, k := range []objectKind{imageObject, registryObject, layerObject, volumeObject} {
		o := object{kind: k, id: rest[:i], made: time.Unix(0, nanos)}
		if o.key() == key {
			return (&entry{t: t, obj: o}).alive() == nil
		}
	}
	return false
}

// close is for when nothing is set any more.
func (a *access) close() {
	if a.file != nil {
		_ = a.file.Close()
		a.file = nil
	}
}
