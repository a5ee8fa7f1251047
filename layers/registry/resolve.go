package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"hull/layers/reference"
)

// Resolve asks for the manifest that a reference names, chooses the client's
// platform if that is an index, and fetches the configuration. Errors are of
// type *Error.
func (c *Client) Resolve(ctx context.Context, ref reference.Reference) (*Image, error) {
	mirrors, passed := c.mirrors(ref)
	for _, m := range mirrors {
		img, err := c.hasty().resolve(ctx, ref, m)
		if err == nil {
			return img, nil
		}
		if !c.passOver(ctx, m, ref, err) {
			return nil, err
		}
		passed.add(m, err)
	}
	img, err := c.resolve(ctx, ref, nil)
	return img, passed.told(err)
}

// resolve does so at a mirror, or at the registry itself.
func (c *Client) resolve(ctx context.Context, ref reference.Reference, m *mirror) (*Image, error) {
	what := ref.Tag
	if ref.Digest != "" {
		what = ref.Digest
	}
	r := pull(opResolve, ref, "manifests/"+what).at(m)
	r.header = http.Header{"Accept": accept}
	body, contentType, err := c.document(ctx, r, "its manifest", descriptor{Digest: ref.Digest, Size: -1})
	if err != nil {
		return nil, err
	}
	img := &Image{Reference: ref, Digest: digestOf(body)}
	d, prob := parseDocument(body, contentType)
	chosen := false // by the index's word, which counts more than the configuration's
	for depth := 0; prob == nil && d.isIndex(); depth++ {
		if depth == maxDepth {
			return nil, r.fail(Protocol, "its index leads to ever more indexes", nil)
		}
		var entry *descriptor
		if entry, prob = d.entry(c.opt.Platform); prob != nil {
			break
		}
		chosen = chosen || entry.Platform != nil
		next := pull(opResolve, ref, "manifests/"+entry.Digest).at(m)
		next.header = r.header
		if body, contentType, err = c.document(ctx, next, "its manifest", *entry); err != nil {
			return nil, err
		}
		d, prob = parseDocument(body, contentType)
	}
	if prob == nil {
		prob = d.checkManifest()
	}
	if prob != nil {
		return nil, r.fail(prob.kind, prob.reason, nil)
	}
	img.Manifest, img.ManifestDigest, img.MediaType = body, digestOf(body), d.MediaType
	if err := c.configure(ctx, img, d, chosen, m); err != nil {
		return nil, err
	}
	return img, nil
}

// configure fetches the configuration, and fills in what only it says.
func (c *Client) configure(ctx context.Context, img *Image, d *document, chosen bool, m *mirror) error {
	r := pull(opResolve, img.Reference, "blobs/"+d.Config.Digest).at(m)
	body, _, err := c.document(ctx, r, "its configuration", *d.Config)
	if err != nil {
		return err
	}
	conf, prob := parseConfig(body, len(d.Layers), c.opt.Platform)
	if prob != nil {
		return r.fail(prob.kind, prob.reason, nil)
	}
	offered := []v1.Platform{conf.platform()}
	if !chosen && choose(c.opt.Platform, offered) < 0 {
		return r.fail(Platform, unsuited(c.opt.Platform, offered), nil)
	}
	img.fill(d, body, conf)
	return nil
}

// fill puts in what a manifest and its configuration say.
func (img *Image) fill(d *document, body []byte, conf *config) {
	img.Config, img.ConfigDigest, img.Platform = body, d.Config.Digest, platformName(conf.platform())
	img.Layers = make([]Layer, len(d.Layers))
	for i, l := range d.Layers {
		img.Layers[i] = Layer{Digest: l.Digest, MediaType: l.MediaType, Size: l.Size, DiffID: conf.RootFS.DiffIDs[i]}
	}
}

// Recall makes the Image again of a manifest and a configuration that were fetched
// before: config brings the latter by its digest. Nothing is asked of any registry.
// What is no manifest of an image is an *Error.
func (c *Client) Recall(manifest []byte, config func(digest string) ([]byte, error)) (*Image, error) {
	d, prob := parseDocument(manifest, "")
	if prob == nil {
		prob = d.checkManifest()
	}
	if prob != nil {
		return nil, &Error{Op: opResolve, Kind: prob.kind, Reason: prob.reason}
	}
	body, err := config(d.Config.Digest)
	if err != nil {
		return nil, err
	}
	conf, prob := parseConfig(body, len(d.Layers), c.opt.Platform)
	if prob != nil {
		return nil, &Error{Op: opResolve, Kind: prob.kind, Reason: prob.reason}
	}
	digest := digestOf(manifest)
	img := &Image{Digest: digest, Manifest: manifest, ManifestDigest: digest, MediaType: d.MediaType}
	img.fill(d, body, conf)
	return img, nil
}

// document fetches something small enough for memory, and verifies it against
// the digest and the size it is asked for by, where those are known.
func (c *Client) document(ctx context.Context, r *request, what string, want descriptor) (body []byte, contentType string, err error) {
	body, header, err := c.answer(ctx, r, what)
	if err != nil {
		return nil, "", err
	}
	if want.Size >= 0 && int64(len(body)) != want.Size {
		return nil, "", r.fail(Corrupt, what+" does not have the size it should", nil)
	}
	if want.Digest != "" && digestOf(body) != want.Digest {
		return nil, "", r.fail(Corrupt, what+" does not have the digest it should ("+want.Digest+")", nil)
	}
	return body, header.Get("Content-Type"), nil
}

// answer asks for something small enough for memory, as often as it takes.
func (c *Client) answer(ctx context.Context, r *request, what string) (body []byte, header http.Header, err error) {
	again := retrier{c: c}
	for {
		body, header, err = c.answerOnce(ctx, r, what)
		if err == nil {
			return body, header, nil
		}
		if err := again.next(ctx, err); err != nil {
			return nil, nil, err
		}
	}
}

func (c *Client) answerOnce(ctx context.Context, r *request, what string) (body []byte, header http.Header, err error) {
	ctx, stop := watched(ctx, c.opt.Stall)
	defer stop()
	resp, err := c.send(ctx, r, http.StatusOK)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	if resp.ContentLength > maxDocument {
		return nil, nil, r.unread(ctx, what, errTooLarge)
	}
	body, err = readAll(ctx, resp.Body, maxDocument)
	if err != nil {
		return nil, nil, r.unread(ctx, what, err)
	}
	return body, resp.Header, nil
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}
