package layers

import (
	"context"
	"errors"
	"io"
	"math"
	"runtime"
	"runtime/debug"
	"sync"

	"golang.org/x/sync/semaphore"

	"hull/layers/unpack"
)

// What layers being unpacked may hold in memory, all pulls together, and what one of
// them is taken to hold: its buffers, and with zstd the window that its stream asks
// for. (Encoders ask for 8 MiB, but for zstd's own at its highest levels.)
const (
	unpackMemory = 64 << 20
	plainMemory  = 3 << 20
	zstdMemory   = plainMemory + unpack.Window
	// spareMemory is how much garbage may gather beside a wide window.
	spareMemory = 12 << 20
)

// memory shares that out. Who waits for some holds none, and nobody who holds some
// waits for another layer, see [Store.lender]; so it always comes back.
type memory struct{ left *semaphore.Weighted }

func newMemory() memory { return memory{semaphore.NewWeighted(unpackMemory)} }

// claim is the share of one layer. Only the goroutine that unpacks takes it; another
// may give it back.
type claim struct {
	m    memory
	wide bool // a window wider than others, for which all of it is taken

	mu   sync.Mutex
	size int64
	old  int64 // the heap's limit before a wide one
}

// take waits for memory to decode a stream.
func (c *claim) take(ctx context.Context, zstd bool) error {
	size := int64(plainMemory)
	switch {
	case zstd && c.wide:
		size = unpackMemory
	case zstd:
		size = zstdMemory
	}
	if err := c.m.left.Acquire(ctx, size); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.size = size
	if c.isWhole() {
		// What others have just given up is given back, and the collector, which lets a
		// heap double before it looks, does not let this one.
		debug.FreeOSMemory()
		c.old = debug.SetMemoryLimit(inUse() + unpack.WideWindow + spareMemory)
	}
	return nil
}

// isWhole says that nobody else holds any. The caller holds mu.
func (c *claim) isWhole() bool { return c.size == unpackMemory }

// held says whether there is something to give back.
func (c *claim) held() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.size > 0
}

// giveUp gives back what was taken, once.
func (c *claim) giveUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isWhole() {
		debug.SetMemoryLimit(c.old)
		debug.FreeOSMemory()
	}
	if c.size > 0 {
		c.m.left.Release(c.size)
		c.size = 0
	}
}

// inUse is what the runtime has of the machine's memory. (Package runtime/metrics knows it too, and costs each start
// of the program a fifth of a millisecond.)
func inUse() int64 {
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(min(s.Sys-s.HeapReleased, math.MaxInt64/2))
}

// decoded is a stream whose decoder goes, and with it its memory, as soon as it has
// ended: what a layer does after that may wait for others.
type decoded struct {
	io.ReadCloser
	claim *claim
	once  sync.Once
	err   error
}

func (d *decoded) Read(b []byte) (int, error) {
	n, err := d.ReadCloser.Read(b)
	if errors.Is(err, io.EOF) {
		_ = d.Close() // kept for the caller's own
	}
	return n, err
}

// Close may be called again.
func (d *decoded) Close() error {
	d.once.Do(func() {
		d.err = d.ReadCloser.Close()
		d.ReadCloser = ended{}
		d.claim.giveUp()
	})
	return d.err
}

// ended is what there is to read of a closed stream.
type ended struct{}

func (ended) Read([]byte) (int, error) { return 0, io.EOF }
func (ended) Close() error             { return nil }

// decode opens a layer's blob within the claim, which it takes.
func decode(ctx context.Context, blob io.Reader, c *claim) (io.ReadCloser, error) {
	o := unpack.Decoder{Claim: func(zstd bool) error { return c.take(ctx, zstd) }}
	if c.wide {
		o.Window = unpack.WideWindow
	}
	r, err := unpack.Decompress(blob, o)
	if err != nil {
		c.giveUp()
		return nil, err
	}
	return &decoded{ReadCloser: r, claim: c}, nil
}
