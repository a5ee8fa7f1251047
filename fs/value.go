package fs

import (
	"context"
	"fmt"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// maxValue bounds a setting and a scratch file.
const maxValue = 1 << 20

// valueHandle writes a setting or a scratch file. Each write is checked as the whole value it makes and is refused as
// one, leaving the old value; a truncate counts only with the first accepted write, so that > with a bad value loses
// nothing, or when the file is let go of if no write came. With O_APPEND each write goes behind what is there at that
// moment, so the lines of several writers all arrive.
//
// A buffered program writes a long value in pieces of a page or more, and a piece may be no value by itself, above all of
// a JSON document: such a write is held, as the first part of what may become one. What is still held when the file is
// closed is refused then.
type valueHandle struct {
	e    *entry
	by   Credential
	add  bool // O_APPEND
	read bool

	mu     sync.Mutex
	b      []byte // the value as this open file sees it
	clear  bool   // a truncate to nothing that has not counted yet
	failed bool   // a write was refused: a truncate does not count any more
	held   error  // why what has been written is no value yet; more may come
	tail   []byte // of an appender, what of it is held
}

// page is the least that a buffered program writes while it is not at the end.
const page = 4096

func (h *valueHandle) size() (int64, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.add {
		return 0, false
	}
	return int64(len(h.b)), true
}

// load takes the value as it is. Called before others know the handle, or with mu held.
func (h *valueHandle) load() error {
	b, err := h.e.content(h.e.t.ctx)
	if err != nil {
		return err
	}
	h.b = append([]byte(nil), b...)
	return nil
}

func (h *valueHandle) Read(_ context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return fuse.ReadResultData(append([]byte(nil), part(h.b, dest, off)...)), 0
}

func (h *valueHandle) Write(ctx context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	ctx, done := h.e.t.request(ctx)
	defer done()
	ctx = WithCaller(ctx, h.by)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.put(ctx, data, off); err != nil {
		h.failed, h.held = true, nil
		return 0, h.e.t.failed(ctx, "set", h.e, "", err)
	}
	return uint32(len(data)), 0
}

func (h *valueHandle) put(ctx context.Context, data []byte, off int64) error {
	if err := h.e.alive(); err != nil {
		return err
	}
	if h.add {
		unlock := h.e.t.values.lock(h.e.obj.id + "/" + h.e.name)
		defer unlock()
		if !h.clear {
			if err := h.load(); err != nil {
				return err
			}
		}
		data = append(h.tail[:len(h.tail):len(h.tail)], data...)
		off = int64(len(h.b))
	}
	end := off + int64(len(data))
	if off < 0 || end > maxValue {
		return tooLong(h.e)
	}
	b := make([]byte, max(end, int64(len(h.b))))
	copy(b, h.b)
	copy(b[off:], data)
	err := h.keep(ctx, b)
	if KindOf(err) != Invalid || len(data) < page {
		return err
	}
	h.held = err
	if h.add {
		h.tail = data
	} else {
		h.b = b
	}
	return nil
}

// keep makes b the value, if it is a good one.
func (h *valueHandle) keep(ctx context.Context, b []byte) error {
	if err := h.e.t.setValue(ctx, h.e, b); err != nil {
		return err
	}
	h.b, h.clear, h.held, h.tail = b, false, nil, nil
	return nil
}

// cut is ftruncate: to nothing it waits for the first write, to any other size it is a write of its own.
func (h *valueHandle) cut(ctx context.Context, size int64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if size == 0 {
		h.b, h.clear = nil, true
		return nil
	}
	return h.resize(WithCaller(ctx, h.by), size)
}

func (h *valueHandle) resize(ctx context.Context, size int64) error {
	if size > maxValue {
		return tooLong(h.e)
	}
	b := make([]byte, size)
	copy(b, h.b)
	return h.keep(ctx, b)
}

// Flush is close(2): the last moment to refuse what is held. It comes for each copy of the descriptor, and what has
// another may yet write the rest.
func (h *valueHandle) Flush(ctx context.Context) syscall.Errno {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held == nil {
		return 0
	}
	ctx, done := h.e.t.request(ctx)
	defer done()
	return h.e.t.failed(WithCaller(ctx, h.by), "set", h.e, "", h.held)
}

// Release lets a truncate count if no write came. Its failure can be told to nobody but error and events.
func (h *valueHandle) Release(context.Context) syscall.Errno {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.e.t.scratch.closed(h.e)
	if !h.clear || h.failed || h.held != nil || h.e.alive() != nil {
		return 0
	}
	ctx := WithCaller(h.e.t.ctx, h.by)
	err := h.e.t.setValue(ctx, h.e, nil)          //nolint:contextcheck // nobody waits for a release
	return h.e.t.failed(ctx, "set", h.e, "", err) //nolint:contextcheck // as above
}

// setting is a setting's value.
func (e *entry) setting() (string, error) {
	switch e.obj.kind {
	case registryObject:
		return e.t.Registries.Get(e.obj.id, e.row.name)
	case networkObject:
		n, err := e.network()
		if err != nil {
			return "", err
		}
		return lines(n.Subnets), nil
	case noObject, imageObject, containerObject, layerObject, volumeObject:
	}
	return e.t.Containers.Get(e.obj.id, e.row.name)
}

// setValue keeps a setting's or a scratch file's value.
func (t *Tree) setValue(ctx context.Context, e *entry, b []byte) error {
	if e.row.kind == scratchRow {
		return t.scratch.write(e.obj.id, e.name, b)
	}
	var err error
	if e.obj.kind == containerObject {
		// What was opened while the container was like any other is not written to when it acts on the host.
		if by, asked := By(ctx); asked && e.reaches() {
			if err := may(by, e, Write); err != nil {
				return err
			}
		}
		if err := t.maySet(ctx, e, b); err != nil {
			return err
		}
	}
	switch {
	case e.obj.kind == registryObject:
		err = t.Registries.Set(ctx, e.obj.id, e.row.name, string(b))
	case e.obj.kind == networkObject:
		err = t.Networks.SetSubnet(ctx, e.obj.id, string(b))
	case len(b) == 0:
		err = t.Containers.Reset(ctx, e.obj.id, e.row.name)
	default:
		err = t.Containers.Set(ctx, e.obj.id, e.row.name, string(b))
	}
	if err == nil {
		t.succeeded(e)
	}
	return err
}

func tooLong(e *entry) error {
	return fail(Invalid, "set", e.path(), fmt.Sprintf("%s would be longer than %d bytes.", e.path(), maxValue))
}

// values locks single settings while their writers append.
type values struct {
	mu    sync.Mutex
	locks map[string]*valueLock
}

type valueLock struct {
	mu    sync.Mutex
	users int
}

// lock locks a setting by its container's ID and name and returns how to unlock it. It is the one lock held over a call of the
// backend: two appends to one setting must not read the same old value.
func (v *values) lock(key string) func() {
	v.mu.Lock()
	if v.locks == nil {
		v.locks = map[string]*valueLock{}
	}
	l := v.locks[key]
	if l == nil {
		l = &valueLock{}
		v.locks[key] = l
	}
	l.users++
	v.mu.Unlock()
	l.mu.Lock()
	return func() {
		l.mu.Unlock()
		v.mu.Lock()
		defer v.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(v.locks, key)
		}
	}
}
