package fs

import "sync"

// lookups are the verb files that were looked up last, and by whom. Each look-up of a verb makes another file, because
// nobody may execute one that somebody has open for writing, as its sessions do (ETXTBSY). But who executes it looks it
// up twice, to execute it and then to open it, and if that gives the same file the second time, the kernel need not ask
// once more.
type lookups struct {
	mu   sync.Mutex
	last [16]lookup
	next int
}

type lookup struct {
	pid        uint32 // the thread; 0 is nobody
	key        string
	generation uint64
}

// same gives the generation of the file that a thread has looked up before, or of a new one.
func (l *lookups) same(pid uint32, key string) uint64 {
	if pid == 0 { // of another pid namespace: it could be anybody
		return generation.Add(1)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, x := range l.last {
		if x.pid == pid && x.key == key {
			return x.generation
		}
	}
	n := generation.Add(1)
	l.last[l.next] = lookup{pid, key, n}
	l.next = (l.next + 1) % len(l.last)
	return n
}

// opened has nobody find a file any more that is open for writing.
func (l *lookups) opened(generation uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, x := range l.last {
		if x.generation == generation {
			l.last[i] = lookup{}
		}
	}
}
