package fs

import (
	"sync"
	"time"
)

// hideFor is how long a name that was unlinked stays away. rm -r and file managers unlink an object's files one by one
// before the rmdir that removes it, and some list again until nothing is left; files of an object that stays come back.
const hideFor = 5 * time.Second

// hides are the names that unlink took away for a while.
type hides struct {
	mu    sync.Mutex
	dirs  map[string]map[string]time.Time // by the directory's key
	swept time.Time
}

func (h *hides) hide(dir, name string) {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dirs == nil {
		h.dirs = map[string]map[string]time.Time{}
	}
	if now.Sub(h.swept) > hideFor {
		h.sweep(now)
	}
	if h.dirs[dir] == nil {
		h.dirs[dir] = map[string]time.Time{}
	}
	h.dirs[dir][name] = now
}

func (h *hides) sweep(now time.Time) {
	h.swept = now
	for d, names := range h.dirs {
		for n, at := range names {
			if now.Sub(at) > hideFor {
				delete(names, n)
			}
		}
		if len(names) == 0 {
			delete(h.dirs, d)
		}
	}
}

func (h *hides) show(dir, name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.dirs[dir], name)
}

func (h *hides) hidden(dir, name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	at, ok := h.dirs[dir][name]
	return ok && time.Since(at) <= hideFor
}
