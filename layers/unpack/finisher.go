package unpack

import (
	"sync"
	"sync/atomic"

	"hull/layers/internal/sys"
)

const (
	smallSize  = 32 << 10 // up to which a file is left to the finisher
	smallCount = 16       // files that may wait for it
)

// finisher gives small files their content and attributes, and closes them, in a
// goroutine of its own: that is half the work that such a file makes for the kernel,
// and goes on while the unpacker makes the next ones. It knows files by their
// descriptors only, so nothing that later entries do to their names matters.
type finisher struct {
	files  chan unfinished
	free   chan []byte // room for contents
	done   chan struct{}
	once   sync.Once             // closes files
	failed atomic.Pointer[error] // the first failure
}

// unfinished is a file that is made and empty.
type unfinished struct {
	fd   sys.FD
	body []byte
	a    attributes
	made made
	name string
}

func startFinisher() *finisher {
	f := &finisher{
		files: make(chan unfinished, smallCount),
		free:  make(chan []byte, smallCount),
		done:  make(chan struct{}),
	}
	for range smallCount {
		f.free <- nil // made when first used: many layers have few files
	}
	go f.run()
	return f
}

// room gets room for a content, to be given back by take.
func (f *finisher) room() []byte {
	if b := <-f.free; b != nil {
		return b
	}
	return make([]byte, smallSize)
}

// take takes a file over. It tells the first failure there was of any.
func (f *finisher) take(file unfinished) error {
	f.files <- file
	if err := f.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// end waits until all files are finished. No more may come.
func (f *finisher) end() error {
	f.once.Do(func() { close(f.files) })
	<-f.done
	f.free = nil // unpacking may go on for long, waiting for other layers
	if err := f.failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (f *finisher) run() {
	defer close(f.done)
	var file unfinished
	for file = range f.files {
		if f.failed.Load() == nil {
			if err := file.finish(); err != nil {
				err = failed(file.name, err)
				f.failed.Store(&err)
			}
		}
		file.fd.Close()
		f.free <- file.body[:smallSize] // never blocks: it was taken from there
	}
}

func (file *unfinished) finish() error {
	if err := file.fd.Write(file.body); err != nil {
		return err
	}
	return file.a.complete(file.fd, file.made)
}
