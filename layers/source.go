package layers

import (
	"context"
	"io"
	"os"

	"hull/layers/internal/sys"
)

// openBlob opens a layer's compressed bytes: a blob the store has, or one that
// is being fetched. end takes the error of the unpacking and returns the one that
// tells the cause, and whether it is worth another attempt.
func (s *Store) openBlob(ctx context.Context, p *pull, u *unpacking) (r io.Reader, end func(error) (bool, error), err error) {
	if file := s.openHad(u.layer.Digest); file != nil {
		u.phases.add(extracting)
		return file, func(err error) (bool, error) {
			_ = file.Close() // it was only read
			if KindOf(err) == Corrupt {
				return s.dropBlob(ctx, u.layer.Digest), err
			}
			return false, err
		}, nil
	}
	if path := p.files[u.layer.Digest]; path != "" {
		file, err := os.Open(path)
		if err != nil {
			return nil, nil, err
		}
		return file, func(err error) (bool, error) {
			_ = file.Close() // it was only read
			return false, err
		}, nil
	}
	f := u.kept
	if u.kept = nil; f == nil {
		f, err = s.wantBlob(p, u.layer) //nolint:contextcheck // it is shared, and outlives this unpacking
		if err != nil {
			return nil, nil, err
		}
		u.fetch.Store(f)
		f.phases.watch(func(phase string) {
			u.phases.add(phase)
			if phase == downloaded {
				u.phases.add(extracting)
			}
		})
	}
	return &follower{f: f, stop: ctx.Done()}, func(err error) (bool, error) {
		if u.tryAgain(err) {
			u.kept = f // it goes on meanwhile
			return false, err
		}
		defer s.releaseFetch(f)
		return f.verdict(ctx, err)
	}, nil
}

// openHad opens a blob the store has; nil if it has not.
func (s *Store) openHad(digest string) *os.File {
	s.mu.Lock()
	_, have := s.blobs[digest]
	s.mu.Unlock()
	if !have {
		return nil
	}
	file, err := sys.OpenRegular(s.blobPath(digest))
	if err != nil {
		return nil // somebody has removed it: fetch it
	}
	return file
}

// watched looks after the disk's free space while a layer is unpacked.
type watched struct {
	r    io.Reader
	n    int64
	room func() error
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.r.Read(b)
	if before := w.n / spaceStep; n > 0 {
		w.n += int64(n)
		if w.n/spaceStep != before {
			if e := w.room(); e != nil {
				return n, e
			}
		}
	}
	return n, err
}
