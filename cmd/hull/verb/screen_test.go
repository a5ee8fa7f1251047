package verb

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// status is the exit status of what has ended.
func status(t *testing.T, err error) int {
	t.Helper()
	var e *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		if !e.Exited() {
			t.Fatalf("the helper itself was ended: %v", e)
		}
		return e.ExitCode()
	}
	t.Fatal(err)
	return -1
}

// screen collects what comes out of a terminal.
type screen struct {
	t *testing.T
	*os.File
	mu   sync.Mutex
	text strings.Builder
	more chan struct{}
}

func newScreen(t *testing.T, master *os.File) *screen {
	s := &screen{t: t, File: master, more: make(chan struct{}, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			s.mu.Lock()
			s.text.Write(b[:n])
			s.mu.Unlock()
			select {
			case s.more <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { _ = master.Close(); <-done })
	return s
}

// expect waits until text has come.
func (s *screen) expect(text string) {
	s.t.Helper()
	late := time.After(patient)
	for {
		s.mu.Lock()
		have := s.text.String()
		s.mu.Unlock()
		if strings.Contains(have, text) {
			return
		}
		select {
		case <-s.more:
		case <-late:
			s.t.Fatalf("%s never came, but %s", strconv.Quote(text), strconv.Quote(have))
		}
	}
}

func (s *screen) send(text string) {
	s.t.Helper()
	_, err := s.WriteString(text)
	check(s.t, err)
}
