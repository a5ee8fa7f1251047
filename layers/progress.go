package layers

import (
	"fmt"
	"io"
	"sync"
)

// Progress is the growing text of one pull, in the lines docker pull prints
// when its output is not a terminal. Text is only ever appended, so a reader
// that remembers an offset sees each line once. It is kept in memory until the
// next pull of the same reference, and its length is bounded by the number of
// layers.
type Progress struct {
	mu      sync.Mutex
	text    []byte
	changed chan struct{} // closed and replaced at each growth
	ended   bool
}

func newProgress() *Progress { return &Progress{changed: make(chan struct{})} }

// ReadAt copies text from off on. It never blocks: at the present end it
// returns io.EOF, and later there may be more.
func (p *Progress) ReadAt(b []byte, off int64) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if off < 0 || off >= int64(len(p.text)) {
		return 0, io.EOF
	}
	n := copy(b, p.text[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// Size is the length of the text now.
func (p *Progress) Size() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return int64(len(p.text))
}

// Changed returns a channel that is closed when the text grows or the pull
// ends, and whether the pull has ended already. Ask first, then read, then
// wait: no growth is missed that way.
func (p *Progress) Changed() (grown <-chan struct{}, ended bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed, p.ended
}

func (p *Progress) line(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return // shared work goes on for another pull
	}
	p.text = fmt.Appendf(p.text, format+"\n", args...)
	p.wake()
}

func (p *Progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.wake()
}

func (p *Progress) wake() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// phases is the list of what a piece of shared work has gone through, told to
// everybody who joined it: pulls that share a layer each show all its lines.
type phases struct {
	mu      sync.Mutex
	past    []string
	watcher []func(string)
}

func (ph *phases) add(phase string) {
	ph.mu.Lock()
	defer ph.mu.Unlock()
	ph.past = append(ph.past, phase)
	for _, tell := range ph.watcher {
		tell(phase)
	}
}

// watch tells what is past and then what comes, until leave is called. tell must
// not block: it is called under the lock, so that everybody sees the phases in
// order.
func (ph *phases) watch(tell func(string)) (leave func()) {
	ph.mu.Lock()
	defer ph.mu.Unlock()
	for _, phase := range ph.past {
		tell(phase)
	}
	i := len(ph.watcher)
	ph.watcher = append(ph.watcher, tell)
	return func() {
		ph.mu.Lock()
		defer ph.mu.Unlock()
		ph.watcher[i] = func(string) {}
	}
}
