package registry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// store puts a blob into the registry, as a layer.
func store(t *testing.T, f *fake, body []byte) Layer {
	t.Helper()
	d := f.blob(t, "app", body)
	return Layer{Digest: d.Digest, Size: d.Size}
}

// cutAfter sends n bytes of what is asked for, and breaks the connection. What
// it sends is counted.
func cutAfter(n int, body []byte, sent *atomic.Int64) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		first, last := 0, len(body)-1
		if s := r.Header.Get("Range"); s != "" {
			if _, err := fmt.Sscanf(s, "bytes=%d-%d", &first, &last); err != nil {
				return false
			}
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, len(body)))
		}
		w.Header().Set("Content-Length", strconv.Itoa(last-first+1))
		if first > 0 {
			w.WriteHeader(http.StatusPartialContent)
		}
		part := body[first : last+1]
		whole := len(part) <= n
		part = part[:min(n, len(part))]
		sent.Add(int64(len(part))) // before they go: who has them all looks at once
		_, _ = w.Write(part)
		if !whole {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		return true
	}
}

func TestBlob(t *testing.T) {
	f := newFake(t)
	body := noise(1, 300_000)
	l := store(t, f, body)
	c := client(t, Options{})
	for _, offset := range []int64{0, 1, 299_999, 300_000} {
		f.fail(nil)
		var got bytes.Buffer
		if err := c.Blob(t.Context(), f.ref(t, "app:1"), l, &got, offset); err != nil {
			t.Fatalf("from %d: %v", offset, err)
		}
		if !bytes.Equal(got.Bytes(), body[offset:]) {
			t.Errorf("from %d: other bytes", offset)
		}
		want := []string{""}
		switch offset {
		case 0:
		case 300_000:
			want = []string{}
		default:
			want = []string{fmt.Sprintf("bytes=%d-299999", offset)}
		}
		same(t, fmt.Sprintf("ranges from %d", offset), spans(f.asked("blobs/")), want)
	}
	for _, offset := range []int64{-1, 300_001} {
		failure(t, c.Blob(t.Context(), f.ref(t, "app:1"), l, io.Discard, offset), Protocol)
	}
	failure(t, c.Blob(t.Context(), f.ref(t, "app:1"), Layer{Digest: "sha256:../..", Size: 1}, io.Discard, 0), Protocol)
}

// TestBlobResumes breaks the connection again and again. No byte may be sent
// twice.
func TestBlobResumes(t *testing.T) {
	f := newFake(t)
	body := noise(2, 100_000)
	l := store(t, f, body)
	var sent atomic.Int64
	f.fail(cutAfter(30_000, body, &sent))
	var got bytes.Buffer
	if err := client(t, Options{}).Blob(t.Context(), f.ref(t, "app:1"), l, &got, 0); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), body) {
		t.Error("other bytes")
	}
	if sent.Load() != int64(len(body)) {
		t.Errorf("%d bytes were sent for a blob of %d", sent.Load(), len(body))
	}
	same(t, "ranges", spans(f.asked("blobs/")), []string{"", "bytes=30000-99999", "bytes=60000-99999", "bytes=90000-99999"})
}

// TestBlobGivesUp breaks every connection early: as often as Retries says, and
// what has come is the caller's to go on from.
func TestBlobGivesUp(t *testing.T) {
	f := newFake(t)
	body := noise(3, 100_000)
	l := store(t, f, body)
	var sent atomic.Int64
	f.fail(cutAfter(10, body, &sent))
	c := client(t, Options{Retries: 3})
	var got bytes.Buffer
	failure(t, c.Blob(t.Context(), f.ref(t, "app:1"), l, &got, 0), Unavailable)
	if !bytes.Equal(got.Bytes(), body[:40]) {
		t.Errorf("got %d bytes, want the first 40", got.Len())
	}
	f.fail(nil)
	if err := c.Blob(t.Context(), f.ref(t, "app:1"), l, &got, int64(got.Len())); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), body) {
		t.Error("other bytes")
	}
}

// TestBlobCountsProgress breaks more connections than Retries allows in a row,
// each after enough to count as progress.
func TestBlobCountsProgress(t *testing.T) {
	f := newFake(t)
	body := noise(4, 4*blobProgress+5)
	l := store(t, f, body)
	var sent atomic.Int64
	f.fail(cutAfter(blobProgress, body, &sent))
	var got bytes.Buffer
	if err := client(t, Options{Retries: 1}).Blob(t.Context(), f.ref(t, "app:1"), l, &got, 0); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), body) {
		t.Error("other bytes")
	}
}

// TestBlobOfUnknownLength has answers that say no length beforehand.
func TestBlobOfUnknownLength(t *testing.T) {
	f := newFake(t)
	body := noise(8, 100)
	l := store(t, f, body)
	chunked := func(b []byte) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			_ = http.NewResponseController(w).Flush()
			_, _ = w.Write(b)
			return true
		}
	}
	c := client(t, Options{Retries: 2})
	ref := f.ref(t, "app:1")
	f.fail(chunked(body))
	var got bytes.Buffer
	if err := c.Blob(t.Context(), ref, l, &got, 0); err != nil || !bytes.Equal(got.Bytes(), body) {
		t.Errorf("got %d bytes, %v", got.Len(), err)
	}
	got.Reset()
	f.fail(chunked(append(bytes.Clone(body), '!')))
	failure(t, c.Blob(t.Context(), ref, l, &got, 0), Corrupt)
	if got.Len() > len(body) {
		t.Errorf("%d bytes were written of a layer of %d", got.Len(), len(body))
	}
	f.fail(chunked(body[:50]))
	failure(t, c.Blob(t.Context(), ref, l, io.Discard, 0), Unavailable)
}

func TestBlobStalls(t *testing.T) {
	f := newFake(t)
	body := noise(9, 1000)
	l := store(t, f, body)
	// The first half comes, then nothing; the next attempt is whole. A loaded
	// machine may stall more often, hence the many retries.
	f.fail(times(1, func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write(body[:500])
		_ = http.NewResponseController(w).Flush()
		return block(w, r)
	}))
	c := client(t, Options{Stall: 300 * time.Millisecond, Retries: 1000})
	var got bytes.Buffer
	if err := c.Blob(t.Context(), f.ref(t, "app:1"), l, &got, 0); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), body) {
		t.Error("other bytes")
	}
	f.fail(block)
	c = client(t, Options{Stall: 20 * time.Millisecond, Retries: 1})
	failure(t, c.Blob(t.Context(), f.ref(t, "app:1"), l, io.Discard, 0), Timeout)
}

// stoppedWriter demands that the watch is stopped while it writes.
type stoppedWriter struct {
	t *testing.T
	w *watch
}

func (w stoppedWriter) Write(p []byte) (int, error) {
	if w.w.timer.Stop() {
		w.t.Error("the time that a write takes counts as a stall")
	}
	return len(p), nil
}

// TestSlowDiskIsNoStall looks at the watch itself, because time tells nothing on
// a loaded machine.
func TestSlowDiskIsNoStall(t *testing.T) {
	ctx, stop := watched(t.Context(), time.Hour)
	defer stop()
	w := ctx.Value(watchKey{}).(*watch)
	body := watchedReader{ctx, bytes.NewReader(noise(10, 3*blobBuffer))}
	n, err := copyBlob(ctx, stoppedWriter{t, w}, body, 3*blobBuffer)
	if n != 3*blobBuffer || err != nil {
		t.Errorf("copied %d bytes, %v", n, err)
	}
	if !w.timer.Stop() {
		t.Error("the watch is not armed after the last write")
	}
}

type fullDisk struct{ room int }

func (d *fullDisk) Write(p []byte) (int, error) {
	n := min(len(p), d.room)
	d.room -= n
	if n < len(p) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

func TestBlobWriterFails(t *testing.T) {
	f := newFake(t)
	l := store(t, f, noise(11, 1000))
	err := client(t, Options{}).Blob(t.Context(), f.ref(t, "app:1"), l, &fullDisk{room: 10}, 0)
	if failure(t, err, Write); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("the writer's error is lost: %v", err)
	}
	if n := len(f.asked("blobs/")); n > 1 {
		t.Errorf("it was asked for %d times", n)
	}
}

// TestBlobIsStubborn demands that a registry which goes down between two attempts
// at a blob is waited for, other than at the first question.
func TestBlobIsStubborn(t *testing.T) {
	r := retrier{c: client(t, Options{Retries: 2}), stubborn: true}
	down := &Error{Kind: Unavailable, temporary: true, dialing: true}
	for range 2 {
		if err := r.next(t.Context(), down); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.next(t.Context(), down); err == nil {
		t.Error("a third retry")
	}
	r = retrier{c: client(t, Options{Retries: 2})}
	if err := r.next(t.Context(), down); err == nil {
		t.Error("a first question was repeated")
	}
}
