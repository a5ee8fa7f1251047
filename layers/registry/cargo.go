package registry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
)

// cargo is a blob on its way to a registry. It remembers between attempts how far
// it has come.
type cargo struct {
	*push
	layer   Layer
	open    func(offset int64) (io.ReadCloser, error)
	foreign bool
	quiet   bool // the caller is not told of it

	location *url.URL // of the upload under way; nil if there is none
	offset   int64    // what the registry has of it
	unsure   bool     // offset is a guess, since a connection broke
	chunk    int64    // size of the pieces; 0 is the whole
	offered  bool     // other repositories have been tried
	advanced bool     // by a piece, since the last failure
}

func (p *push) cargo(l Layer) *cargo {
	k := &cargo{push: p, layer: l}
	if p.o.Chunk > 0 && l.Size > p.o.Chunk {
		k.chunk = p.o.Chunk
	}
	return k
}

func (k *cargo) tell(t Transfer) {
	if k.o.Progress != nil && !k.quiet {
		t.Layer = k.layer
		k.o.Progress(t)
	}
}

// carry brings the blob to where it should be, over as many attempts as it takes.
func (k *cargo) carry(ctx context.Context) error {
	if k.foreign {
		k.tell(Transfer{Stage: Skipped})
		return nil
	}
	// The configuration is the first that is asked about: whether a registry
	// answers at all is to be known at once.
	again := retrier{c: k.c, stubborn: !k.quiet}
	for {
		end, err := k.attempt(ctx)
		if err == nil {
			k.tell(end)
			return nil
		}
		if k.advanced {
			k.advanced, again.failed = false, 0
		}
		if err := again.next(ctx, err); err != nil {
			return err
		}
	}
}

// attempt goes as far as it can, and returns how the blob got there.
func (k *cargo) attempt(ctx context.Context) (Transfer, error) {
	if k.location == nil {
		if there, err := k.present(ctx); there || err != nil {
			return Transfer{Stage: Present}, err
		}
		if from, err := k.mount(ctx); from != "" || err != nil {
			return Transfer{Stage: Mounted, From: from}, err
		}
	}
	if k.location == nil {
		r := k.request(http.MethodPost, "blobs/uploads/")
		resp, err := k.c.ask(ctx, r, http.StatusAccepted, http.StatusCreated)
		if err != nil {
			return Transfer{}, err
		}
		if err := k.begin(r, resp); err != nil {
			return Transfer{}, err
		}
	}
	k.tell(Transfer{Stage: Pushing, Done: k.offset})
	return Transfer{Stage: Pushed}, k.upload(ctx)
}

// present asks whether the registry has the blob already. A refusal is a no: the
// upload, whose answers have a text, will be refused as well.
func (k *cargo) present(ctx context.Context) (bool, error) {
	_, err := k.c.ask(ctx, k.request(http.MethodHead, "blobs/"+k.layer.Digest), http.StatusOK)
	var e *Error
	if errors.As(err, &e) && !e.temporary && e.Status != 0 {
		return false, nil
	}
	return err == nil, err
}

// mount offers the registry to take the blob from another of its repositories,
// and returns which. A registry that will not may begin an upload instead.
func (k *cargo) mount(ctx context.Context) (from string, err error) {
	if k.offered || k.quiet || k.o.From == nil {
		return "", nil
	}
	for i, from := range k.o.From(k.layer) {
		if i == maxMounts {
			break
		}
		if from == k.target.Path {
			continue
		}
		r := k.request(http.MethodPost, "blobs/uploads/")
		r.query = url.Values{"mount": {k.layer.Digest}, "from": {from}}.Encode()
		r.scope += " repository:" + from + ":pull"
		resp, err := k.c.ask(ctx, r, http.StatusCreated, http.StatusAccepted)
		var e *Error
		switch {
		case err == nil && resp.StatusCode == http.StatusCreated:
			return from, r.confirm(resp, k.layer.Digest)
		case err == nil:
			// It begins an upload instead, which will do if it is the last.
			k.abandon(ctx)
			if err := k.begin(r, resp); err != nil {
				return "", err
			}
		case errors.As(err, &e) && (e.temporary || e.Status == 0 && e.Kind != Denied):
			return "", err
		}
		// It may not like the other repository, or its login may not reach there.
	}
	k.offered = true
	return "", nil
}

// maxMounts is how many repositories are tried as a layer's source.
const maxMounts = 4

// abandon tells the registry that an upload it began will not be used. It would
// find out by itself, some day.
func (k *cargo) abandon(ctx context.Context) {
	if k.location != nil {
		_, _ = k.c.ask(ctx, k.to(http.MethodDelete), http.StatusNoContent)
		k.location = nil
	}
}

// begin takes down where an upload goes on.
func (k *cargo) begin(r *request, resp *http.Response) error {
	if err := k.move(r, resp); err != nil {
		return err
	}
	k.offset, k.unsure = 0, false
	if least, ok := number(resp.Header.Get("OCI-Chunk-Min-Length")); ok && k.chunk > 0 {
		k.chunk = max(k.chunk, least)
	}
	return nil
}

// move follows an upload to its next address. Credentials go along only to the
// registry itself, and the blob to nowhere that a redirect would not be followed.
func (k *cargo) move(r *request, resp *http.Response) error {
	text, asked := resp.Header.Get("Location"), resp.Request.URL
	u, err := asked.Parse(text)
	if err != nil || text == "" || u.Host == "" {
		k.location = nil
		return r.fail(Protocol, "it does not say where to send a layer", err)
	}
	u.Fragment, u.User = "", nil
	if u.Host == r.host() {
		if asked.Host == u.Host {
			u.Scheme = asked.Scheme // proxies before registries get it wrong
		}
		k.location = u
		return nil
	}
	if asked.Scheme == "https" && u.Scheme != "https" {
		return r.fail(Protocol, "it wants a layer to be sent on over "+printable(u.Scheme)+" instead of https", nil)
	}
	if reason := inward(u.Host); reason != "" && !isLoopback(r.host()) {
		return r.fail(Protocol, "it wants a layer to be sent to "+printable(u.Host)+", and "+reason, nil)
	}
	k.location = u
	return nil
}
