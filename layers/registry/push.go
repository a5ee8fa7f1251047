package registry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"hull/layers/reference"
)

// Defaults of PushOptions.
const (
	pushParallel = 5
	pushChunk    = 64 << 20
)

// Stage is how far a layer of a push is.
type Stage int

// The stages of a layer, in the order they are passed; of the last four a layer
// reaches one.
const (
	Waiting Stage = iota + 1
	Queued        // as many others as may be on their way are before it
	Pushing
	Pushed
	Present // the registry has it already
	Mounted // the registry took it from another of its repositories
	Skipped // it may not be distributed, and is left where its manifest says
)

// Transfer tells of a layer of a push.
type Transfer struct {
	Layer Layer
	Stage Stage
	Done  int64  // bytes sent, while Pushing; it falls back when some are sent again
	From  string // the repository, when Mounted: "library/redis"
}

// PushOptions say where a push finds what it sends.
type PushOptions struct {
	// Open opens a layer's blob at an offset, as it was fetched. It may be asked
	// several times, by several goroutines; what it returns is closed before Push
	// returns. It is not asked for what the registry has.
	Open func(l Layer, offset int64) (io.ReadCloser, error)
	// From names repositories of the same registry, as "library/redis", that may
	// have a layer: what was pulled from or pushed to one needs not be sent. May
	// be nil.
	From func(l Layer) []string
	// Progress is told of every change, by the goroutine that makes it, several at
	// once. It must not block. May be nil.
	Progress func(Transfer)
	// Parallel is how many layers are sent at once; 0 means 5.
	Parallel int
	// Chunk is the size above which a layer is sent in pieces of that size, so
	// that a broken connection costs no more than one; 0 means 64 MiB, negative
	// never. Registries that take no pieces get it whole.
	Chunk int64
}

// push is a push under way.
type push struct {
	c      *Client
	target reference.Reference
	o      PushOptions
}

// Push brings an image to the repository and tag of target, byte for byte as it
// was fetched, and returns the digest it has there: that of img's manifest. The
// manifest comes last, so that nobody sees a part. A push that failed or was
// cancelled may be repeated, and sends only what is missing. Errors are of type
// *Error, of Kind Read if Open's reader failed.
func (c *Client) Push(ctx context.Context, target reference.Reference, img *Image, o PushOptions) (digest string, err error) {
	if o.Parallel <= 0 {
		o.Parallel = pushParallel
	}
	if o.Chunk == 0 {
		o.Chunk = pushChunk
	}
	p := &push{c, target, o}
	if err := p.check(img); err != nil {
		return "", err
	}
	// The configuration alone at first: it brings the login that all need, and
	// one failure where the registry is not there.
	conf := p.cargo(Layer{Digest: img.ConfigDigest, Size: int64(len(img.Config))})
	conf.quiet = true
	conf.open = func(offset int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(img.Config[offset:])), nil
	}
	if err := conf.carry(ctx); err != nil {
		return "", err
	}
	layers := p.layers(img)
	for _, l := range layers[min(o.Parallel, len(layers)):] {
		l.tell(Transfer{Stage: Queued})
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(o.Parallel)
	for _, l := range layers {
		g.Go(func() error { return l.carry(gctx) })
	}
	if err := g.Wait(); err != nil {
		return "", err
	}
	return img.ManifestDigest, p.manifest(ctx, img)
}

// check demands that an image is whole before anything of it is sent.
func (p *push) check(img *Image) error {
	r := p.request(http.MethodPut, "manifests/")
	d, prob := parseDocument(img.Manifest, img.MediaType)
	if prob == nil && d.isIndex() {
		prob = &problem{Protocol, "an index is not an image"}
	}
	if prob == nil {
		prob = d.checkManifest()
	}
	if prob != nil {
		return r.fail(prob.kind, prob.reason, nil)
	}
	same := slices.EqualFunc(d.Layers, img.Layers, func(a descriptor, b Layer) bool {
		return a.Digest == b.Digest && a.Size == b.Size
	})
	switch {
	case digestOf(img.Manifest) != img.ManifestDigest, digestOf(img.Config) != img.ConfigDigest,
		d.Config.Digest != img.ConfigDigest, !same:
		return r.fail(Corrupt, "its record here does not fit its manifest", nil)
	case p.target.Digest != "" && p.target.Digest != img.ManifestDigest:
		return r.fail(Protocol, "what is pushed to a digest must have it, and this image's is "+img.ManifestDigest, nil)
	}
	return nil
}

// layers lists what there is to carry, each blob once, the highest first as docker
// does: the lowest, which others have most often, come last to be looked for.
func (p *push) layers(img *Image) []*cargo {
	var all []*cargo
	seen := map[string]bool{img.ConfigDigest: true}
	for _, l := range slices.Backward(img.Layers) {
		if seen[l.Digest] {
			continue
		}
		seen[l.Digest] = true
		k := p.cargo(l)
		k.open = func(offset int64) (io.ReadCloser, error) { return p.o.Open(l, offset) }
		k.foreign = isForeign(l.MediaType)
		k.tell(Transfer{Stage: Waiting})
		all = append(all, k)
	}
	return all
}

// isForeign reports whether a layer is not to be distributed, as those of Windows.
func isForeign(mediaType string) bool {
	return strings.Contains(mediaType, ".foreign.") || strings.Contains(mediaType, ".nondistributable.")
}

// request makes a request for a part of the target's repository.
func (p *push) request(method, part string) *request {
	return &request{
		op: opPush, ref: p.target, method: method,
		path:  "/v2/" + p.target.Path + "/" + part,
		scope: "repository:" + p.target.Path + ":pull,push",
	}
}

// manifest brings the manifest, which makes the image visible.
func (p *push) manifest(ctx context.Context, img *Image) error {
	what := p.target.Tag
	if p.target.Digest != "" {
		what = p.target.Digest
	}
	again := retrier{c: p.c, stubborn: true}
	for {
		r := p.request(http.MethodPut, "manifests/"+what)
		r.header = http.Header{"Content-Type": {img.MediaType}}
		r.body = &source{
			open:   func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(img.Manifest)), nil },
			length: int64(len(img.Manifest)),
		}
		resp, err := p.c.ask(ctx, r, http.StatusCreated, http.StatusOK, http.StatusAccepted)
		if err == nil {
			return r.confirm(resp, img.ManifestDigest)
		}
		if err := again.next(ctx, err); err != nil {
			return err
		}
	}
}

// confirm demands that the registry has what it was sent, as far as it says.
func (r *request) confirm(resp *http.Response, digest string) error {
	if got := resp.Header.Get("Docker-Content-Digest"); got != "" && got != digest {
		return r.fail(Corrupt, fmt.Sprintf("what was sent as %s has become %s there", digest, printable(got)), nil)
	}
	return nil
}
