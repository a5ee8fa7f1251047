package child

import (
	"fmt"
	"os"

	"hull/engine/internal/sys"
)

// reaping gives the bounds of the reaper's text.
func reaping() (start, end uintptr)

// Reaper is the program of a process 1 that is not the command itself: an ELF
// file of one page, in memory, which nobody can change. It is to be executed
// as
//
//	init PATH ARG0 ARG1…
//
// and executes PATH in a child with the arguments from ARG0 on and its own
// environment. The child gets a process group of its own, which is made the
// terminal's foreground group if standard input is one. Then it
// passes every signal on to the child, reaps whatever process becomes its own,
// and when the child has ended, exits as that did: with its code, or 128 and
// the signal. A PATH that cannot be executed is told on the standard error, and
// makes it 127 or 126. Like the stub it has no libc, no threads and no heap.
//
// The file stays the Spawner's.
func (s *Spawner) Reaper() (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reaper != nil {
		return s.reaper, nil
	}
	start, end := reaping()
	if end <= start || end-start > page/2 {
		return nil, fmt.Errorf("the reaper is %d bytes long", int64(end)-int64(start))
	}
	f := make([]byte, page)
	program(f, start, end, 2)
	// Its name is not the stub's, by which one tells a stub from a command.
	var err error
	s.reaper, err = sys.Program("init", f)
	return s.reaper, err
}
