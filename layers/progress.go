package layers

import (
	"fmt"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"hull/layers/registry"
)

// Progress is the growing text of one pull or push, in the lines docker prints
// when its output is not a terminal. Text is only ever appended, so a reader
// that remembers an offset sees each line once. It is kept in memory until the
// next pull of the same reference, and its length is bounded by the number of
// layers.
type Progress struct {
	mu      sync.Mutex
	text    []byte
	full    []byte        // with the lines that are for terminals only
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

// Full is the text from off on with the lines that docker prints on terminals
// only, where others take their place: that a layer is under way.
func (p *Progress) Full(off int) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]byte(nil), p.full[min(off, len(p.full)):]...)
}

func (p *Progress) line(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return // shared work goes on for another pull
	}
	at := len(p.full)
	p.full = fmt.Appendf(p.full, format+"\n", args...)
	p.text = append(p.text, p.full[at:]...)
	p.wake()
}

// say adds one line as it is.
func (p *Progress) say(line string) { p.line("%s", line) }

// phase tells what a layer goes through.
func (p *Progress) phase(layer, phase string) {
	switch phase {
	case downloading, extracting, pushing:
	default:
		p.line("%s: %s", layer, phase)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.full = fmt.Appendf(p.full, "%s: %s\n", layer, phase)
		p.wake()
	}
}

// maxRepeated is how many lines are written of attempts that are made again: a
// blob that comes in a thousand pieces needs no thousand lines.
const maxRepeated = 20

// repeating makes lines of attempts that are going to be made again.
func repeating(line func(string)) func(time.Duration, *registry.Error) {
	var told atomic.Int32
	return func(wait time.Duration, err *registry.Error) {
		if told.Add(1) > maxRepeated {
			return
		}
		seconds, plural := int(math.Ceil(wait.Seconds())), "s"
		if seconds == 1 {
			plural = ""
		}
		line(fmt.Sprintf("Retrying in %d second%s: %s", seconds, plural, err.Why()))
	}
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

// The phases that docker shows on terminals only.
const (
	downloading = "Downloading"
	extracting  = "Extracting"
	pushing     = "Pushing"
)

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
