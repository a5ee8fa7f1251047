package layers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"os"
	"sync"

	"hull/layers/internal/sys"
	"hull/layers/registry"
)

// fetch is one blob on its way into ingest/. It is shared by whoever wants that
// blob and ends when nobody does. Readers follow the file while it grows, from
// the page cache: what they read is not verified before done is closed without
// an err.
type fetch struct {
	layer  registry.Layer
	file   *os.File
	hash   hash.Hash
	phases phases
	done   chan struct{}
	err    error // valid once done is closed
	cancel context.CancelFunc

	refs    int           // guarded by the store's mu
	gone    chan struct{} // closed when the last one has released it
	resumed bool          // valid once done is closed: the file began with what an earlier attempt had

	mu      sync.Mutex
	n       int64         // bytes in the file and in the hash
	changed chan struct{} // closed and replaced when n grows
	watched int64         // n when the disk's free space was last looked at
	out     int64         // up to where the file is on its way to the disk
	op      string        // what began it
	name    string        // of the image whose pull began it
	room    func() error
}

// wantBlob joins the fetch of a blob, or starts it for a pull. Give it back
// with releaseFetch.
func (s *Store) wantBlob(p *pull, l registry.Layer) (*fetch, error) {
	for {
		s.mu.Lock()
		f := s.fetches[l.Digest]
		switch {
		case f != nil && f.refs > 0:
			f.refs++
			s.mu.Unlock()
			return f, nil
		case f != nil: // being given up: its file cannot have two writers
			s.mu.Unlock()
			<-f.gone
			continue
		case s.closed:
			s.mu.Unlock()
			return nil, errClosed
		}
		f = s.startFetch(p, l)
		s.mu.Unlock()
		return f, nil
	}
}

// startFetch starts the fetch of a blob. The caller holds mu.
func (s *Store) startFetch(p *pull, l registry.Layer) *fetch {
	ctx, cancel := context.WithCancel(s.ctx)
	f := &fetch{
		layer: l, hash: sha256.New(), cancel: cancel, refs: 1,
		done: make(chan struct{}), gone: make(chan struct{}), changed: make(chan struct{}),
		op: p.op, name: p.name, room: func() error { return s.room(p.op, p.name, 0) },
	}
	s.fetches[l.Digest] = f
	s.work.Go(func() {
		f.err = s.runFetch(ctx, p, f)
		if f.err != nil {
			s.forgetFetch(f) // who comes now tries anew
		}
		close(f.done)
	})
	return f
}

func (s *Store) forgetFetch(f *fetch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fetches[f.layer.Digest] == f {
		delete(s.fetches, f.layer.Digest)
	}
}

// releaseFetch gives a fetch back; the last one ends it and closes its file,
// which stays in ingest/ for a commit or a later attempt.
func (s *Store) releaseFetch(f *fetch) {
	s.mu.Lock()
	f.refs--
	last := f.refs == 0
	s.mu.Unlock()
	if !last {
		return
	}
	f.cancel()
	<-f.done
	if f.file != nil {
		_ = f.file.Close() // what was written is checked by the commit's syncfs
	}
	s.forgetFetch(f)
	close(f.gone)
}

func (s *Store) ingestPath(digest string) (string, error) {
	h, err := hexOf(digest)
	if err != nil {
		return "", err
	}
	return s.path("ingest", h), nil
}

// runFetch brings the blob: what ingest/ has already is hashed again, the rest
// is asked of the registry.
func (s *Store) runFetch(ctx context.Context, p *pull, f *fetch) error {
	path, err := s.ingestPath(f.layer.Digest)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	f.setFile(file)
	select {
	case p.slots <- struct{}{}:
	default:
		f.phases.add("Waiting")
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer func() { <-p.slots }()
	f.phases.add(downloading)
	if err := f.rehash(ctx); err != nil {
		return err
	}
	s.crash("ingest.begun")
	if f.n < f.layer.Size {
		if err := p.blobs().Telling(repeating(f.phases.add)).Blob(ctx, p.ref, f.layer, f, f.n); err != nil {
			return s.fetchFailed(ctx, p, f, err)
		}
	}
	s.crash("ingest.arrived")
	f.phases.add("Verifying Checksum")
	if got := "sha256:" + hex.EncodeToString(f.hash.Sum(nil)); got != f.layer.Digest || f.n != f.layer.Size {
		// It must not be resumed from.
		if err := os.Truncate(path, 0); err != nil {
			return err
		}
		return failf(p.op, p.name, Corrupt,
			"its layer %s does not have the content its digest promises (%d bytes of digest %s came); the registry's copy is damaged, or somebody changes it on its way",
			f.layer.Digest, f.n, got)
	}
	f.phases.add(downloaded)
	return nil
}

// fetchFailed decides what stays of a failed fetch. With a full disk nothing
// does, so that the rest of the machine can go on.
func (s *Store) fetchFailed(ctx context.Context, p *pull, f *fetch, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	err = wrap(p.op, p.name, err)
	if KindOf(err) == Space || KindOf(err) == Corrupt {
		if e := f.file.Truncate(0); e != nil {
			return errors.Join(err, e)
		}
	}
	return err
}

func (f *fetch) setFile(file *os.File) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.file = file
}

// rehash takes what an earlier attempt left in the file, if it can be a
// beginning of the blob. Whether it is one, the digest at the end says.
func (f *fetch) rehash(ctx context.Context) error {
	info, err := f.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() > f.layer.Size {
		return f.file.Truncate(0)
	}
	f.resumed = info.Size() > 0
	buf := make([]byte, 256<<10)
	for off := int64(0); off < info.Size(); {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := f.file.ReadAt(buf[:min(int64(len(buf)), info.Size()-off)], off)
		if n == 0 {
			return err
		}
		f.hash.Write(buf[:n])
		off += int64(n)
		f.grow(n)
	}
	return nil
}

// downloaded is the phase of a blob that is here and verified.
const downloaded = "Download complete"

// outStep is how much of a blob gathers in memory before it begins to go to the disk.
const outStep = 8 << 20

// spaceStep is after how many bytes the disk's free space is looked at again.
const spaceStep = 8 << 20

// Write takes the next bytes from the registry.
func (f *fetch) Write(b []byte) (int, error) {
	if f.n+int64(len(b)) > f.layer.Size {
		return 0, failf(f.op, f.name, Corrupt,
			"the registry sends more of layer %s than the %d bytes it promised", shortDigest(f.layer.Digest), f.layer.Size)
	}
	if f.n >= f.watched {
		if err := f.room(); err != nil {
			return 0, err
		}
		f.watched = f.n + spaceStep
	}
	n, err := f.file.WriteAt(b, f.n)
	f.hash.Write(b[:n])
	f.grow(n)
	if f.n-f.out >= outStep {
		sys.Of(f.file).WriteOut(f.out, f.n-f.out)
		f.out = f.n
	}
	return n, err
}

// grow tells the readers of n more bytes. Only the fetch's own goroutine calls
// it, so that alone may read n without the lock.
func (f *fetch) grow(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n += int64(n)
	close(f.changed)
	f.changed = make(chan struct{})
}

// progress is how many bytes have come.
func (f *fetch) progress() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}
