package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"hull/layers/reference"
)

// Sizes that Blob works by: of its buffer, and of what an attempt must bring for
// the counting of failures to start anew. A server that breaks off earlier each
// time is given up with.
const (
	blobBuffer   = 128 << 10
	blobProgress = 1 << 20
)

// Blob writes a layer's blob to w, from offset on. A connection that breaks is
// resumed where it broke, so that w gets every byte once and in order, over as
// many connections as it takes. Nothing is verified but the size: w's owner
// hashes. If Blob fails, a later call may go on from what w has got. Errors are
// of type *Error, of Kind Write if they are w's.
func (c *Client) Blob(ctx context.Context, ref reference.Reference, l Layer, w io.Writer, offset int64) error {
	r := pull(opBlob, ref, "blobs/"+l.Digest)
	if !reference.IsDigest(l.Digest) || l.Size < 0 || offset < 0 || offset > l.Size {
		return r.fail(Protocol, fmt.Sprintf("a layer of %d bytes cannot be fetched from byte %d on", l.Size, offset), nil)
	}
	mirrors, passed := c.mirrors(ref)
	for _, m := range mirrors {
		if offset == l.Size {
			return nil
		}
		n, err := c.hasty().blobOnce(ctx, pull(opBlob, ref, "blobs/"+l.Digest).at(m), l, w, offset)
		offset += n
		if err != nil && !c.passOver(ctx, m, ref, err) {
			return err
		}
		passed.add(m, err)
	}
	again := retrier{c: c, stubborn: true}
	for offset < l.Size {
		n, err := c.blobOnce(ctx, r, l, w, offset)
		offset += n
		if n >= blobProgress {
			again.failed = 0
		}
		if err == nil && offset < l.Size {
			// The server chose to send less than it was asked for.
			short := r.fail(Unavailable, fmt.Sprintf("a layer broke off after %d of %d bytes", offset, l.Size), nil)
			short.temporary = true
			err = short
		}
		if err == nil {
			return nil
		}
		if err := again.next(ctx, err); err != nil {
			return passed.told(err)
		}
	}
	return nil
}

// blobOnce makes one attempt, and returns how many bytes it brought.
func (c *Client) blobOnce(ctx context.Context, r *request, l Layer, w io.Writer, offset int64) (int64, error) {
	ctx, stop := watched(ctx, c.opt.Stall)
	defer stop()
	statuses := []int{http.StatusOK}
	r.header = nil
	if offset > 0 {
		// Closed, because some servers do not know open ranges.
		r.header = http.Header{"Range": {fmt.Sprintf("bytes=%d-%d", offset, l.Size-1)}}
		statuses = append(statuses, http.StatusPartialContent)
	}
	resp, err := c.send(ctx, r, statuses...)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body := io.Reader(watchedReader{ctx, resp.Body})
	length := l.Size - offset
	if resp.StatusCode == http.StatusPartialContent {
		if length, err = checkRange(r, resp, offset, l.Size); err != nil {
			return 0, err
		}
	} else {
		if resp.ContentLength >= 0 && resp.ContentLength != l.Size {
			return 0, r.fail(Corrupt, fmt.Sprintf("a layer has %d bytes there, and %d in its manifest", resp.ContentLength, l.Size), nil)
		}
		// A server that knows no ranges sends everything again.
		if _, err := io.CopyN(io.Discard, body, offset); err != nil {
			return 0, r.cut(ctx, err, l)
		}
	}
	n, err := copyBlob(ctx, w, body, length)
	if err != nil {
		if e, ok := errors.AsType[*writeError](err); ok {
			return n, r.fail(Write, "it cannot be stored: "+printable(e.err.Error()), e.err)
		}
		return n, r.cut(ctx, err, l)
	}
	if offset+n == l.Size {
		return n, r.checkEnd(body)
	}
	return n, nil
}

// checkRange demands of a partial answer that it begins where it was asked to
// and belongs to a whole of the right size; it may be shorter. It returns its
// length.
func checkRange(r *request, resp *http.Response, offset, size int64) (int64, error) {
	first, last, total, ok := parseContentRange(resp.Header.Get("Content-Range"))
	if !ok || first != offset || last >= size || total >= 0 && total != size {
		if ok && total >= 0 && total != size {
			return 0, r.fail(Corrupt, fmt.Sprintf("a layer has %d bytes there, and %d in its manifest", total, size), nil)
		}
		return 0, r.fail(Protocol, "asked for the rest of a layer, it sends something else", nil)
	}
	length := last - first + 1
	if resp.ContentLength >= 0 && resp.ContentLength != length {
		return 0, r.fail(Protocol, "it sends another length than it says", nil)
	}
	return length, nil
}

// parseContentRange reads "bytes 5-9/100"; a total of "*" is -1.
func parseContentRange(s string) (first, last, total int64, ok bool) {
	s, ok = strings.CutPrefix(s, "bytes ")
	span, whole, slash := strings.Cut(s, "/")
	a, b, dash := strings.Cut(span, "-")
	if !ok || !slash || !dash {
		return 0, 0, 0, false
	}
	first, okFirst := number(a)
	last, okLast := number(b)
	total, okTotal := number(whole)
	if whole == "*" {
		total, okTotal = -1, true
	}
	ok = okFirst && okLast && okTotal && first <= last && (total < 0 || last < total)
	return first, last, total, ok
}

// number reads decimal digits and nothing else.
func number(s string) (int64, bool) {
	n, err := strconv.ParseUint(s, 10, 63)
	return int64(n), err == nil
}

// writeError is an error of the caller's writer.
type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }

// copyBlob copies n bytes. Time that w takes does not count as a stall.
func copyBlob(ctx context.Context, w io.Writer, body io.Reader, n int64) (done int64, err error) {
	buf := make([]byte, min(n, blobBuffer))
	for done < n {
		got, err := body.Read(buf[:min(n-done, int64(len(buf)))])
		if got > 0 {
			resume := pause(ctx)
			put, werr := w.Write(buf[:got])
			resume()
			done += int64(max(put, 0))
			if werr == nil && put != got {
				werr = io.ErrShortWrite
			}
			if werr != nil {
				return done, &writeError{werr}
			}
		}
		if done == n {
			break
		}
		if errors.Is(err, io.EOF) {
			return done, io.ErrUnexpectedEOF
		}
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// checkEnd demands that a body is over. Reading its end also lets its connection
// be used again.
func (r *request) checkEnd(body io.Reader) error {
	var one [1]byte
	if n, _ := io.ReadFull(body, one[:]); n > 0 {
		return r.fail(Corrupt, "a layer is longer than its manifest says", nil)
	}
	return nil
}

// cut makes an Error of a blob that ended too early.
func (r *request) cut(ctx context.Context, err error, l Layer) *Error {
	e := r.broken(ctx, err)
	if e.temporary && e.Kind == Unavailable {
		e.Reason = fmt.Sprintf("the connection broke within a layer of %d bytes", l.Size)
	}
	return e
}
