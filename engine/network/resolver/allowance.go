package resolver

import (
	"sync"
	"time"
)

// What one container may have of the resolver. Busy servers that keep nothing themselves ask hundreds of questions a
// second, and with a slow server behind have as many under way; none needs these.
const (
	askRate  = 5000 // questions a second
	askBurst = 10000
	askOpen  = 512 // questions under way
	askConns = 64  // TCP connections
)

// allowance is what is left to a container of what it may have.
type allowance struct {
	mu     sync.Mutex
	tokens float64   // of askBurst, at last
	last   time.Time // zero: never asked
	open   int
	conns  int
}

// ask counts a question in that is under way until done, or says that there are too many.
func (a *allowance) ask(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last.IsZero() {
		a.tokens = askBurst
	} else {
		a.tokens = min(askBurst, a.tokens+now.Sub(a.last).Seconds()*askRate)
	}
	a.last = now
	if a.tokens < 1 || a.open >= askOpen {
		return false
	}
	a.tokens--
	a.open++
	return true
}

func (a *allowance) done() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open--
}

// connect counts a connection in that is open until disconnect, or says that there are too many.
func (a *allowance) connect() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.conns >= askConns {
		return false
	}
	a.conns++
	return true
}

func (a *allowance) disconnect() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.conns--
}
