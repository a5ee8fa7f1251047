package registry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
)

// source is what a request sends: opened anew each time that it must be sent
// again, because a login was asked for or a connection broke.
type source struct {
	open   func() (io.ReadCloser, error)
	length int64
	report func(sent int64) // told what has gone so far; may be nil

	all []*outgoing
}

// outgoing is a source on its way. Its bytes count as progress of the attempt,
// time spent reading the disk does not.
type outgoing struct {
	ctx    context.Context //nolint:containedctx // a reader's context is its request's
	from   io.ReadCloser
	left   int64
	sent   int64
	report func(int64)

	once   sync.Once
	closed chan struct{}

	mu  sync.Mutex
	err error // of from
}

// attach makes the source the body of a request.
func (s *source) attach(ctx context.Context, req *http.Request) (*outgoing, error) {
	if s.length == 0 {
		req.Body = http.NoBody // an unknown length, otherwise
		return nil, nil
	}
	from, err := s.open()
	if err != nil {
		return nil, err
	}
	o := &outgoing{ctx: ctx, from: from, left: s.length, report: s.report, closed: make(chan struct{})}
	s.all = append(s.all, o)
	req.Body, req.ContentLength = o, s.length
	return o, nil
}

// settle waits until the transport has let go of everything: it may read for a
// moment after an answer has come. The attempt's context must have ended.
func (s *source) settle() {
	for _, o := range s.all {
		<-o.closed
	}
	s.all = nil
}

// Read is called by the transport.
func (o *outgoing) Read(p []byte) (int, error) {
	if o.left == 0 {
		return 0, io.EOF
	}
	resume := pause(o.ctx)
	n, err := o.from.Read(p[:min(int64(len(p)), o.left)])
	resume()
	o.left -= int64(n)
	o.sent += int64(n)
	if n > 0 && o.report != nil {
		o.report(o.sent)
	}
	if o.left == 0 {
		patience(o.ctx)
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // it is shorter than it is on record
	}
	if err != nil {
		o.mu.Lock()
		o.err = err
		o.mu.Unlock()
	}
	return n, err
}

// Close is called by the transport, when it is through or gives up.
func (o *outgoing) Close() error {
	var err error
	o.once.Do(func() {
		err = o.from.Close()
		close(o.closed)
	})
	return err
}

// failure is what went wrong on this side, if anything did.
func (o *outgoing) failure() error {
	if o == nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// ask makes one attempt at a question whose answer is in its headers.
func (c *Client) ask(ctx context.Context, r *request, ok ...int) (*http.Response, error) {
	ctx, stop := watched(ctx, c.opt.Stall)
	resp, err := c.send(ctx, r, ok...)
	if err == nil {
		discard(resp)
	}
	stop()
	if r.body != nil {
		r.body.settle()
	}
	return resp, err
}
