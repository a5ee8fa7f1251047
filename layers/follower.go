package layers

import (
	"context"
	"io"
)

// verdict waits for the fetch and says what ended an unpacking: err may be its
// own, or only show that the bytes it got were damaged, which their digest tells.
// again says that the damage was in what an earlier attempt had left.
func (f *fetch) verdict(ctx context.Context, err error) (again bool, cause error) {
	if err != nil && KindOf(err) != Corrupt {
		select {
		case <-f.done:
		default:
			return false, err // not the download's fault, and no use in waiting for it
		}
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if f.err != nil {
		return f.resumed && KindOf(f.err) == Corrupt, f.err
	}
	return false, err
}

// follower reads a fetch's file from its beginning and waits at its end until
// the fetch is over.
type follower struct {
	f    *fetch
	off  int64
	stop <-chan struct{} // ends the waiting: of the context of the unpacking that reads
}

func (r *follower) Read(b []byte) (int, error) {
	for {
		r.f.mu.Lock()
		n, changed, file := r.f.n, r.f.changed, r.f.file
		r.f.mu.Unlock()
		if r.off < n {
			got, err := file.ReadAt(b[:min(int64(len(b)), n-r.off)], r.off)
			r.off += int64(got)
			if got > 0 {
				return got, nil
			}
			return 0, err
		}
		select {
		case <-r.f.done:
			if r.f.err != nil {
				return 0, r.f.err
			}
			if r.off >= r.f.progress() {
				return 0, io.EOF
			}
		case <-changed:
		case <-r.stop:
			return 0, context.Canceled
		}
	}
}
