package child

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
)

// kept is a program's place in memory, for all stubs whose first program it is.
// They cannot change it for each other.
type kept struct {
	mu   sync.Mutex
	file *os.File
	size int
}

// Keep has the program laid out once, for all stubs that it is sent to as their
// first. It may not be changed any more. Close gives the memory back.
func (p *Program) Keep() { p.kept = &kept{} }

// Close gives the memory of a program back that is kept. Stubs that have it keep
// it.
func (p *Program) Close() error {
	k := p.kept
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.file == nil {
		return nil
	}
	err := k.file.Close()
	k.file = nil
	return err
}

// laidOut gives the program as a file in memory, for the address base. done is
// called when the file is not needed any more.
func (p *Program) laidOut(base uint64) (file *os.File, size int, done func(), err error) {
	if k := p.kept; k != nil && base == programBase {
		k.mu.Lock() // until the file is sent
		if k.file == nil {
			k.file, k.size, err = p.write(base, sys.Sealed)
		}
		if err != nil {
			k.mu.Unlock()
			return nil, 0, nil, err
		}
		return k.file, k.size, k.mu.Unlock, nil
	}
	file, size, err = p.write(base, sys.Memory)
	return file, size, func() { _ = file.Close() }, err
}

// write makes the file.
func (p *Program) write(base uint64, memory func(string, []byte) (*os.File, error)) (*os.File, int, error) {
	image := p.image(base)
	if uint64(len(image)) > programStep {
		return nil, 0, fmt.Errorf("a program of %d bytes: %w", len(image), unix.E2BIG)
	}
	file, err := memory("program", image)
	return file, len(image), err
}
