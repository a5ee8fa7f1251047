package fs

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"hull/fs/journal"
)

// failures remember the last failure of each user's own calls, of each object and of each collection: what the files
// named error show.
type failures struct {
	mu      sync.Mutex
	users   map[uint32]record
	objects map[string]record // by object.key
	places  map[string]record // "images", "containers", "networks", "registries", "volumes"
}

type record struct {
	sentence string
	at       time.Time
	uid      uint32 // whose call it was
	op       string
}

// shown is the sentence for a reader: those who may not read settings see only what they have caused themselves, as a
// sentence may quote what somebody wrote.
func (r record) shown(by Credential, e *entry) string {
	if r.uid == by.UID || private(by, e) {
		return r.sentence
	}
	return ""
}

// private tells whether somebody may see what is not for everybody: 0640, of the entry's owner and group.
func private(by Credential, e *entry) bool {
	return by.Root() || by.UID == e.owner() || by.In(e.group())
}

// maxRecords bounds each of the maps; the oldest goes.
const maxRecords = 4096

// failed gives a failure its three faces: it is kept for the error files, added to events, and its errno is returned.
// Without an error it does nothing. name is what in the directory e it was about; empty if about e itself.
func (t *Tree) failed(ctx context.Context, op string, e *entry, name string, err error) syscall.Errno {
	if err == nil {
		return 0
	}
	path := e.path()
	if name != "" {
		path = strings.TrimPrefix(path+"/"+name, "/")
	}
	by, asked := By(ctx)
	return t.record(op, e.obj, path, by, asked, err)
}

func (t *Tree) record(op string, o object, path string, by Credential, asked bool, err error) syscall.Errno {
	errno := Errno(err)
	r := record{Sentence(err), time.Now(), by.UID, op}
	f := &t.failures
	f.mu.Lock()
	if asked {
		f.users = keep(f.users, by.UID, r)
	}
	if o.kind != noObject {
		f.objects = keep(f.objects, o.key(), r)
	}
	switch first, _, _ := strings.Cut(path, "/"); first {
	case "images", "containers", "networks", "registries", "volumes":
		f.places = keep(f.places, first, r)
	}
	f.mu.Unlock()
	if KindOf(err) == System {
		t.Logger.Error("a call failed", "op", op, "object", path, "err", err)
	}
	ev := journal.Event{Type: "call", Action: op, Object: path, Cause: "request", Kind: KindOf(err).String(), Error: r.sentence}
	if asked {
		ev.UID = &by.UID
	}
	if o.kind != noObject {
		ev.Owner = (&entry{t: t, obj: o}).inherited()
	}
	t.event(ev)
	return errno
}

// event adds a line to events.
func (t *Tree) event(e journal.Event) {
	if t.Journal == nil {
		return
	}
	if err := t.Journal.Append(e); err != nil {
		t.Logger.Warn("cannot add to events", "op", e.Action, "object", e.Object, "err", err)
	}
}

// keep adds a record to a bounded map.
func keep[K comparable](m map[K]record, k K, r record) map[K]record {
	if m == nil {
		m = map[K]record{}
	}
	if _, ok := m[k]; !ok && len(m) >= maxRecords {
		var oldest K
		at := r.at
		for k, r := range m {
			if !r.at.After(at) {
				oldest, at = k, r.at
			}
		}
		delete(m, oldest)
	}
	m[k] = r
	return m
}

// succeeded empties the error of an entry's object.
func (t *Tree) succeeded(e *entry) {
	t.failures.mu.Lock()
	defer t.failures.mu.Unlock()
	delete(t.failures.objects, e.obj.key())
}

func (f *failures) object(key string) record {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.objects[key]
}

// userError is the root's error file: the last failure of the reader's own calls.
func userError(ctx context.Context, t *Tree, _ *entry) ([]byte, error) {
	by, _ := By(ctx)
	t.failures.mu.Lock()
	defer t.failures.mu.Unlock()
	return []byte(line(t.failures.users[by.UID].sentence)), nil
}

// placeError is a collection's: it resolves without being listed, else it would be an image or a container to every
// loop over the names.
func placeError(name string) func(context.Context, *Tree, *entry) ([]byte, error) {
	return func(ctx context.Context, t *Tree, e *entry) ([]byte, error) {
		by, _ := By(ctx)
		t.failures.mu.Lock()
		r := t.failures.places[name]
		t.failures.mu.Unlock()
		return []byte(line(r.shown(by, e))), nil
	}
}

// objectError is the last refused command, to those who may know.
func objectError(ctx context.Context, t *Tree, e *entry) ([]byte, error) {
	by, _ := By(ctx)
	r := t.failures.object(e.obj.key())
	return []byte(line(r.shown(by, e))), nil
}

// sentence makes one line that begins with a capital and ends with a full stop.
func sentence(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "\uFFFD")), " ")
	if s == "" {
		return ""
	}
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) { // controls, and what turns the direction of writing
			return '?'
		}
		return r
	}, s)
	if len(s) > maxSentence {
		s = strings.ToValidUTF8(s[:maxSentence], "") + " ..."
	}
	if r, n := utf8.DecodeRuneInString(s); unicode.IsLower(r) && !strings.ContainsAny(s[:strings.IndexByte(s+" ", ' ')], "/:.@_-0123456789") {
		s = string(unicode.ToUpper(r)) + s[n:]
	}
	if !strings.ContainsRune(".!?", rune(s[len(s)-1])) {
		s += "."
	}
	return s
}

// maxSentence bounds what is kept and shown of a failure: an image or a registry may have written it.
const maxSentence = 4096

func ended(err error) bool { return errors.Is(err, io.EOF) }
