package registry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"hull/layers/reference"
)

func TestResolveRetries(t *testing.T) {
	f := newFake(t)
	f.push(t, sample{repo: "app", tag: "1"})
	c := client(t, Options{Retries: 3})
	abort := func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }
	for name, fault := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"500":   statusFault("manifests/", 500, nil, ""),
		"503":   statusFault("manifests/", 503, http.Header{"Retry-After": {"0"}}, ""),
		"429":   statusFault("manifests/", 429, http.Header{"Retry-After": {"0"}}, ""),
		"cut":   statusFault("manifests/", 200, http.Header{"Content-Length": {"5000"}}, "{"),
		"abort": func(w http.ResponseWriter, r *http.Request) bool { return abort(w, r) },
	} {
		if name != "abort" { // which counts otherwise: each scheme breaks
			f.fail(times(3, fault))
			if _, err := c.Resolve(t.Context(), f.ref(t, "app:1")); err != nil {
				t.Errorf("%s three times: %v", name, err)
			}
			f.fail(fault)
			if _, err := c.Resolve(t.Context(), f.ref(t, "app:1")); err == nil {
				t.Errorf("%s for ever: no error", name)
			}
			if n := len(f.asked("manifests/")); n != 4 {
				t.Errorf("%s for ever: asked %d times", name, n)
			}
			continue
		}
		f.fail(fault)
		_, err := c.Resolve(t.Context(), f.ref(t, "app:1"))
		failure(t, err, Unavailable)
	}
}

// TestRetryAfterTooLong has a server ask for more than hull waits; a back-off of
// an hour would make the test time out if it waited at all.
func TestRetryAfterTooLong(t *testing.T) {
	f := newFake(t)
	f.push(t, sample{repo: "app", tag: "1"})
	c := client(t, Options{Backoff: time.Hour})
	f.fail(statusFault("manifests/", 429, http.Header{"Retry-After": {"3600"}}, ""))
	_, err := c.Resolve(t.Context(), f.ref(t, "app:1"))
	if e := failure(t, err, Rate); !strings.Contains(e.Reason, "1h0m0s") {
		t.Errorf("the reason does not say how long: %s", e.Reason)
	}
	// With a deadline before the next attempt, the failure comes at once too.
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	f.fail(statusFault("manifests/", 503, nil, ""))
	_, err = c.Resolve(ctx, f.ref(t, "app:1"))
	failure(t, err, Unavailable)
}

// TestDownIsKnownAtOnce has nobody listening. It must not be retried: the
// back-off is an hour.
func TestDownIsKnownAtOnce(t *testing.T) {
	s := httptest.NewServer(nil)
	domain := s.Listener.Addr().String()
	s.Close()
	_, err := client(t, Options{Backoff: time.Hour}).Resolve(t.Context(), reference.Reference{Domain: domain, Path: "app", Tag: "1"})
	e := failure(t, err, Unavailable)
	if !errors.Is(e, syscall.ECONNREFUSED) || e.Host != domain {
		t.Errorf("got %+v", e)
	}
}

// block answers nothing until the client goes away.
func block(_ http.ResponseWriter, r *http.Request) bool {
	<-r.Context().Done()
	return true
}

func TestStall(t *testing.T) {
	f := newFake(t)
	f.push(t, sample{repo: "app", tag: "1"})
	f.fail(block)
	c := client(t, Options{Stall: 20 * time.Millisecond, Retries: 2})
	_, err := c.Resolve(t.Context(), f.ref(t, "app:1"))
	failure(t, err, Timeout)
	// Headers, then nothing.
	f.fail(func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "{")
		_ = http.NewResponseController(w).Flush()
		return block(w, r)
	})
	_, err = c.Resolve(t.Context(), f.ref(t, "app:1"))
	failure(t, err, Timeout)
}

func TestCancel(t *testing.T) {
	f := newFake(t)
	f.push(t, sample{repo: "app", tag: "1"})
	ctx, cancel := context.WithCancel(t.Context())
	f.fail(func(w http.ResponseWriter, r *http.Request) bool {
		cancel()
		return block(w, r)
	})
	_, err := client(t, Options{}).Resolve(ctx, f.ref(t, "app:1"))
	if e := failure(t, err, Cancelled); !errors.Is(e, context.Canceled) {
		t.Errorf("got %+v", e)
	}
	// While it waits for its next attempt.
	ctx, cancel = context.WithCancel(t.Context())
	f.fail(func(w http.ResponseWriter, r *http.Request) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		_ = http.NewResponseController(w).Flush()
		cancel()
		return true
	})
	_, err = client(t, Options{Backoff: time.Hour}).Resolve(ctx, f.ref(t, "app:1"))
	failure(t, err, Cancelled)
	ctx, cancel = context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	_, err = client(t, Options{}).Resolve(ctx, f.ref(t, "app:1"))
	failure(t, err, Timeout)
}
