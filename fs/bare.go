package fs

import (
	"context"
	"strings"
	"sync"
	"time"
)

// bares are directories below images/ that no image has made: registries' names, and bare names, which are pulled as
// :latest if nothing is made inside them in time, so that both mkdir images/ubuntu and mkdir -p images/me/app:1 mean
// what they say.
type bares struct {
	mu     sync.Mutex
	closed bool
	dirs   map[string]*bare // by familiar path
	fired  map[string]*bare // those whose pull has begun lately
}

type bare struct {
	by    Credential
	at    time.Time
	timer *time.Timer   // nil if it never pulls
	begun chan struct{} // while its pull is being accepted: closed when that is done
}

// firedFor is how long a directory whose pull has begun is remembered, for a mkdir -p on a slow machine.
const firedFor = time.Minute

func (b *bares) has(path string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dirs[path] != nil
}

// below returns the directories under a path, "" for all.
func (b *bares) below(path string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var ds []string
	for d := range b.dirs {
		if path == "" || strings.HasPrefix(d, path+"/") {
			ds = append(ds, d)
		}
	}
	return ds
}

// plain makes a directory that stays one.
func (b *bares) plain(path string, by Credential) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.put(path, &bare{by: by, at: time.Now()})
}

func (b *bares) put(path string, d *bare) {
	if b.dirs == nil {
		b.dirs, b.fired = map[string]*bare{}, map[string]*bare{}
	}
	b.dirs[path] = d
	for p, f := range b.fired {
		if time.Since(f.at) > firedFor {
			delete(b.fired, p)
		}
	}
}

// drop forgets a directory and keeps it from pulling.
func (b *bares) drop(path string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d := b.dirs[path]; d != nil && d.timer != nil {
		d.timer.Stop()
	}
	delete(b.dirs, path)
}

// stop keeps all from pulling.
func (b *bares) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, d := range b.dirs {
		if d.timer != nil {
			d.timer.Stop()
		}
	}
}

// awaitInside makes a bare name's directory and pulls it when nothing has been made inside in time.
func (t *Tree) awaitInside(path string, by Credential) {
	b := &t.bare
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.put(path, &bare{by: by, at: time.Now(), timer: time.AfterFunc(bareDelay, func() { t.pullBare(path) })})
}

// pullBare begins the pull of a bare name, if that is still wanted. What the pull then comes to stands in the image's
// error; a pull that is refused at once leaves the directory, and its reason in the error of images.
func (t *Tree) pullBare(path string) {
	b := &t.bare
	b.mu.Lock()
	d := b.dirs[path]
	if d == nil || d.timer == nil || b.closed {
		b.mu.Unlock()
		return
	}
	d.timer.Stop()
	d.timer, d.begun = nil, make(chan struct{})
	t.work.Add(1)
	b.mu.Unlock()
	defer t.work.Done()
	err := t.Images.Pull(WithCaller(t.ctx, d.by), path+":latest", "", 0)
	b.mu.Lock()
	if err == nil && b.dirs[path] == d {
		delete(b.dirs, path)
		b.fired[path] = d
	}
	close(d.begun)
	d.begun = nil
	b.mu.Unlock()
	if err != nil {
		_ = t.record("pull", object{}, "images/"+path, d.by, true, err)
	}
}

// settled waits until it is known whether the pull of a directory that a process has made was accepted.
func (b *bares) settled(ctx context.Context, path string, pid uint32) {
	b.mu.Lock()
	var begun chan struct{}
	if d := b.dirs[path]; d != nil && d.by.PID == pid {
		begun = d.begun
	}
	b.mu.Unlock()
	if begun == nil {
		return
	}
	select {
	case <-begun:
	case <-ctx.Done():
	}
}

// inside is told that something is made in a directory of images/: neither it nor those above it are meant as images.
// If the same mkdir -p has been so slow that the pull has begun, that is undone.
func (t *Tree) inside(ctx context.Context, path string) {
	by, _ := By(ctx)
	var undo []string
	b := &t.bare
	for p := path; p != ""; p = parent(p) {
		b.settled(ctx, p, by.PID)
	}
	b.mu.Lock()
	for p := path; p != ""; p = parent(p) {
		if d := b.dirs[p]; d != nil && d.timer != nil {
			d.timer.Stop()
			d.timer = nil
		}
		if d := b.fired[p]; d != nil && d.by.PID == by.PID {
			delete(b.fired, p)
			b.dirs[p] = &bare{by: by, at: time.Now()}
			undo = append(undo, p+":latest")
		}
	}
	b.mu.Unlock()
	for _, ref := range undo {
		i, ok := t.Images.Find(ref)
		if !ok || i.Whole() {
			continue
		}
		if err := t.Images.Cancel(ctx, ref); err != nil && KindOf(err) != NotFound {
			t.Logger.Debug("cannot cancel the pull of a directory", "image", ref, "err", err)
		}
		if _, ok := t.Images.Find(ref); ok {
			if err := t.Images.Untag(ctx, ref); err != nil && KindOf(err) != NotFound {
				t.Logger.Debug("cannot drop the image of a directory", "image", ref, "err", err)
			}
		}
	}
}

// parent is a path without its last component.
func parent(path string) string {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)]
}
