package unpack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
)

const (
	chunkSize  = 256 << 10
	chunkCount = 6

	// ratioFloor is how much may come out before the ratio is looked at: small
	// layers of zeros are honest.
	ratioFloor = 256 << 20
)

// ahead reads the stream in a goroutine of its own, and hashes it in another, so that
// inflating, hashing and unpacking go on side by side: the slowest of them alone says
// how long a layer takes. It hashes every byte and keeps the limits of the stream.
type ahead struct {
	read chan []byte // what was read, in order; closed at the end
	full chan []byte // the same, when it is hashed
	free chan []byte
	stop chan struct{}
	err  error // why full was closed; nil is the end of the stream
	sum  hash.Hash

	rest []byte // of the chunk being consumed
	own  []byte // that chunk
	done error  // remembered for further reads
}

func readAhead(r io.Reader, limit func(total int64) error) *ahead {
	a := &ahead{
		read: make(chan []byte, chunkCount),
		full: make(chan []byte, chunkCount),
		free: make(chan []byte, chunkCount),
		stop: make(chan struct{}),
		sum:  sha256.New(),
	}
	for range chunkCount {
		a.free <- nil // made when first used: most layers are small
	}
	go a.run(r, limit)
	go a.hash()
	return a
}

// hash sums what was read. It never blocks on full: there are no more chunks than
// room.
func (a *ahead) hash() {
	defer close(a.full)
	for chunk := range a.read {
		a.sum.Write(chunk)
		a.full <- chunk
	}
}

func (a *ahead) run(r io.Reader, limit func(int64) error) {
	defer close(a.read)
	var total int64
	for {
		var chunk []byte
		select {
		case chunk = <-a.free:
		case <-a.stop:
			return
		}
		if chunk == nil {
			chunk = make([]byte, chunkSize)
		}
		n, err := a.fill(r, chunk[:chunkSize])
		total += int64(n)
		if n > 0 {
			a.read <- chunk[:n] // never blocks: there are no more chunks than room
		}
		if passed := limit(total); passed != nil && (err == nil || errors.Is(err, io.EOF)) {
			err = passed
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				a.err = err
			}
			return
		}
	}
}

// fill reads until b is full. Unlike io.ReadFull it passes on what r says: an
// ErrUnexpectedEOF of r's own is a broken connection, not the end of the layer.
func (a *ahead) fill(r io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		select {
		case <-a.stop:
			return n, io.EOF // nobody wants it any more
		default:
		}
		var m int
		m, err = r.Read(b[n:])
		n += m
	}
	return n, err
}

// Read gives the stream to the tar reader.
func (a *ahead) Read(ctx context.Context, b []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.done != nil {
			return 0, a.done
		}
		if a.own != nil {
			a.free <- a.own
			a.own = nil
		}
		select {
		case chunk, ok := <-a.full:
			if !ok {
				a.done = io.EOF
				if a.err != nil {
					a.done = a.err
				}
				continue
			}
			a.rest, a.own = chunk, chunk[:chunkSize:chunkSize]
		case <-ctx.Done():
			a.done = stopped(ctx)
		}
	}
	n := copy(b, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// drain reads what is left, so that the digest is that of the whole stream.
func (a *ahead) drain(ctx context.Context) error {
	var b [1]byte
	for {
		a.rest = nil
		if _, err := a.Read(ctx, b[:]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// stopped is the error of a context that ended.
func stopped(ctx context.Context) error {
	return &Error{Kind: Cancelled, Err: context.Cause(ctx)}
}

// failure is what went wrong with the stream itself, if anything did.
func (a *ahead) failure() error {
	if a.done != nil && !errors.Is(a.done, io.EOF) {
		return a.done
	}
	return nil
}

// close stops the goroutines and waits for them.
func (a *ahead) close() {
	close(a.stop)
	for range a.full { // until it is closed
	}
}

// dropBuffers gives the memory of the chunks back. Only after drain.
func (a *ahead) dropBuffers() { a.free, a.rest, a.own = nil, nil, nil }

// digest is that of everything read. Only after drain.
func (a *ahead) digest() string { return "sha256:" + hex.EncodeToString(a.sum.Sum(nil)) }
