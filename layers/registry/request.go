package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"

	"hull/layers/reference"
)

// request is one question to a registry, which may take several HTTP requests:
// to find the scheme it speaks, to be authorised, to follow where it redirects.
type request struct {
	op     string // for errors: "resolve", "blob"
	ref    reference.Reference
	name   string // for errors, in place of the reference
	method string
	path   string      // "/v2/library/redis/manifests/7"
	query  string      // encoded
	scope  string      // what a token must allow: "repository:library/redis:pull"; several with spaces between
	header http.Header // may be nil

	server string   // the host that is asked, if it is not the one of ref's domain
	scheme string   // "" = whichever it speaks; "http" only where the user says so
	target *url.URL // where an upload goes on: instead of all the above
	body   *source  // what is sent; nil = nothing

	refresh string // a login's answer
}

func (r *request) host() string {
	if r.server != "" {
		return r.server
	}
	return hostOf(r.ref.Domain)
}

// subject is what an error is about.
func (r *request) subject() string {
	if r.name != "" {
		return r.name
	}
	return r.ref.Familiar()
}

// pull makes a request for a part of a repository: "manifests/7".
func pull(op string, ref reference.Reference, part string) *request {
	return &request{
		op: op, ref: ref, method: http.MethodGet,
		path:  "/v2/" + ref.Path + "/" + part,
		scope: "repository:" + ref.Path + ":pull",
	}
}

// send asks once and returns an answer whose status is one of ok. The caller
// closes its body. Errors are of type *Error.
func (c *Client) send(ctx context.Context, r *request, ok ...int) (*http.Response, error) {
	key := tokenKey{r.host(), r.scope}
	auth := c.tokens.get(key)
	resp, err := c.exchange(ctx, r, auth)
	if err != nil {
		return nil, err
	}
	// Only the registry itself is answered; where it redirects to gets nothing.
	if resp.StatusCode == http.StatusUnauthorized && resp.Request.URL.Host == r.host() {
		if auth != "" {
			c.tokens.drop(key, auth)
		}
		all, scheme := challenges(resp.Header), resp.Request.URL.Scheme
		discard(resp)
		if auth, err = c.authorize(ctx, r, scheme, all); err != nil {
			return nil, err
		}
		if resp, err = c.exchange(ctx, r, auth); err != nil {
			return nil, err
		}
		if resp.StatusCode == http.StatusUnauthorized {
			c.tokens.drop(key, auth)
		}
	}
	if slices.Contains(ok, resp.StatusCode) {
		return resp, nil
	}
	defer resp.Body.Close()
	e := r.refused(resp)
	if e.Status == http.StatusUnauthorized && strings.HasPrefix(auth, "Basic ") && r.op != opLogin {
		e.Reason = "it does not accept the login stored for it"
	}
	return nil, e
}

// discard ends an answer in a way that keeps its connection, if little is left.
func discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 16<<10)
	resp.Body.Close()
}

// exchange sends one HTTP request and follows its redirects. Where plain http is
// allowed it finds out whether that is what the registry speaks: https is tried
// first, as by Docker.
func (c *Client) exchange(ctx context.Context, r *request, auth string) (*http.Response, error) {
	host := r.host()
	switch {
	case r.target != nil:
		return c.over(ctx, r, r.target.Scheme, auth)
	case r.scheme != "":
		return c.over(ctx, r, r.scheme, auth)
	case !c.transports.lax(host, host):
		return c.over(ctx, r, "https", auth)
	}
	if scheme := c.schemes.get(host); scheme != "" {
		resp, err := c.over(ctx, r, scheme, auth)
		if err == nil || !isUnspoken(err) {
			return resp, err
		}
		if e := r.ended(ctx, err); e != nil {
			return nil, e
		}
		c.schemes.forget(host)
	}
	resp, err := c.over(ctx, r, "https", auth)
	if err == nil {
		c.schemes.set(host, "https")
		return resp, nil
	}
	if !isUnspoken(err) {
		return nil, err
	}
	if e := r.ended(ctx, err); e != nil { // it was not over yet when that answer came
		return nil, e
	}
	if resp, err = c.over(ctx, r, "http", auth); err != nil {
		return nil, err
	}
	c.schemes.set(host, "http")
	return resp, nil
}

// over sends the request over one scheme.
func (c *Client) over(ctx context.Context, r *request, scheme, auth string) (*http.Response, error) {
	u := url.URL{Scheme: scheme, Host: r.host(), Path: r.path, RawQuery: r.query}
	if r.target != nil {
		u = *r.target
	}
	about := onBehalf(ctx, r.host())
	if r.scheme == "http" {
		about = plainly(about, r.host())
	}
	req, err := http.NewRequestWithContext(about, r.method, u.String(), nil)
	if err != nil {
		return nil, r.fail(Protocol, "its address cannot be used", err)
	}
	var sent *outgoing
	if r.body != nil {
		if sent, err = r.body.attach(ctx, req); err != nil {
			return nil, r.fail(Read, "a part of the image cannot be read here: "+printable(err.Error()), err)
		}
	}
	maps.Copy(req.Header, r.header)
	req.Header.Set("User-Agent", c.opt.UserAgent)
	if auth != "" && u.Host == r.host() {
		req.Header.Set("Authorization", auth)
	}
	progress(ctx)
	if r.method == http.MethodPut {
		patience(ctx) // for a commit without a body
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if bad := sent.failure(); bad != nil && ctx.Err() == nil {
			return nil, r.fail(Read, "a part of the image cannot be read here: "+printable(bad.Error()), bad)
		}
		return nil, r.broken(ctx, err)
	}
	progress(ctx)
	return resp, nil
}

// isUnspoken reports whether a failure may mean that the other end does not
// speak this scheme: a TLS hello answered by something else or cut off, or a
// port that only the other scheme has.
func isUnspoken(err error) bool {
	var record tls.RecordHeaderError
	return errors.Is(err, http.ErrSchemeMismatch) || errors.As(err, &record) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		isDialing(err)
}

// schemes remembers by host what it speaks.
type schemes struct {
	mu    sync.Mutex
	known map[string]string
}

func (s *schemes) get(host string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[host]
}

func (s *schemes) set(host, scheme string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[host] = scheme
}

func (s *schemes) forget(host string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, host)
}
