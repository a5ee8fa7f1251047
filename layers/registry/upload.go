package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// upload sends what the registry lacks of a blob whose upload has begun.
func (k *cargo) upload(ctx context.Context) error {
	if k.chunk == 0 || k.chunk >= k.layer.Size {
		return k.commit(ctx, 0)
	}
	if k.unsure {
		if err := k.recover(ctx); err != nil {
			return err
		}
	}
	for k.offset < k.layer.Size {
		if err := k.piece(ctx); err != nil {
			return err
		}
	}
	return k.commit(ctx, k.layer.Size)
}

// to makes a request to where the upload goes on.
func (k *cargo) to(method string) *request {
	r := k.request(method, "blobs/uploads/")
	r.target = k.location
	return r
}

// bytes is n bytes of the blob from an offset on, to be sent.
func (k *cargo) bytes(offset, n int64) *source {
	return &source{
		open:   func() (io.ReadCloser, error) { return k.open(offset) },
		length: n,
		report: func(sent int64) { k.tell(Transfer{Stage: Pushing, Done: offset + sent}) },
	}
}

// piece sends the next piece.
func (k *cargo) piece(ctx context.Context) error {
	n := min(k.chunk, k.layer.Size-k.offset)
	r := k.to(http.MethodPatch)
	r.header = http.Header{
		"Content-Type":  {"application/octet-stream"},
		"Content-Range": {fmt.Sprintf("%d-%d", k.offset, k.offset+n-1)},
	}
	r.body = k.bytes(k.offset, n)
	resp, err := k.c.ask(ctx, r, http.StatusAccepted, http.StatusNoContent, http.StatusCreated)
	if err != nil {
		return k.lost(err, k.offset == 0)
	}
	// A server may keep less than it was sent.
	reached := k.offset + n
	if end, ok := uploaded(resp); ok && end < reached && end > k.offset {
		reached = end
	}
	if err := k.move(r, resp); err != nil {
		return err
	}
	k.offset, k.advanced = reached, true
	return nil
}

// recover asks how much arrived before the connection broke.
func (k *cargo) recover(ctx context.Context) error {
	r := k.to(http.MethodGet)
	resp, err := k.c.ask(ctx, r, http.StatusNoContent, http.StatusOK, http.StatusAccepted)
	if err != nil {
		return k.lost(err, false)
	}
	end, ok := uploaded(resp)
	if !ok || end > k.layer.Size {
		end = -1
	}
	if resp.Header.Get("Location") != "" {
		if err := k.move(r, resp); err != nil {
			return err
		}
	}
	if end < 0 {
		k.location = nil
		e := r.fail(Protocol, "it does not say how much of a layer it has", nil)
		e.temporary = true
		return e
	}
	k.offset, k.unsure = end, false
	return nil
}

// commit ends the upload, with all of the blob or with what has been sent before.
func (k *cargo) commit(ctx context.Context, sent int64) error {
	r := k.to(http.MethodPut)
	u := *k.location
	query := u.Query()
	query.Set("digest", k.layer.Digest)
	u.RawQuery = query.Encode()
	r.target = &u
	r.header = http.Header{"Content-Type": {"application/octet-stream"}}
	r.body = k.bytes(sent, k.layer.Size-sent)
	resp, err := k.c.ask(ctx, r, http.StatusCreated, http.StatusOK, http.StatusNoContent)
	// However it ended, this address is used up; whether the blob is there will be
	// asked at the next attempt.
	k.location = nil
	if err != nil {
		return k.lost(err, k.chunk > 0)
	}
	return r.confirm(resp, k.layer.Digest)
}

// lost decides how an upload goes on that has met a failure. pieces says that it
// may be the registry's way of saying that it takes no pieces, or takes them
// wrongly: then the blob is sent whole.
func (k *cargo) lost(err error, pieces bool) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	switch {
	case e.Status == 0, e.Status >= 500 && e.Status != http.StatusNotImplemented: // perhaps it has some of it, or all
		k.unsure = true
	case e.Kind == Denied, e.Kind == Rate, e.Kind == Timeout:
		k.unsure = true
	case pieces:
		k.chunk, k.location = 0, nil
		e.temporary = true
	case e.Kind == Corrupt && e.Status != http.StatusRequestedRangeNotSatisfiable:
		k.location = nil
	default:
		// An upload that it has forgotten, or is in disorder about.
		e.temporary = k.location != nil || e.codes["BLOB_UPLOAD_UNKNOWN"] || e.codes["BLOB_UPLOAD_INVALID"]
		k.location = nil
	}
	return e
}

// uploaded reads how many bytes an answer says have arrived. "0-0" is what many
// servers say of none; that one byte arrived does not happen.
func uploaded(resp *http.Response) (int64, bool) {
	s := strings.TrimPrefix(resp.Header.Get("Range"), "bytes=")
	first, last, ok := strings.Cut(s, "-")
	start, okStart := number(first)
	end, okEnd := number(last)
	if !ok || !okStart || !okEnd || start != 0 {
		return 0, false
	}
	if end == 0 {
		return 0, true
	}
	return end + 1, true
}
