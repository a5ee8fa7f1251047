package tests

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// hostile is a registry that answers each path with what a test has put there:
// nothing of it need be true.
type hostile struct {
	*httptest.Server
	addr string

	mu      sync.Mutex
	answers map[string]http.HandlerFunc // by path
	secrets []string                    // what came in Authorization headers
}

func newHostile(t *testing.T) *hostile {
	t.Helper()
	h := &hostile{answers: map[string]http.HandlerFunc{}}
	h.Server = httptest.NewUnstartedServer(h)
	h.Config.ErrorLog = log.New(discard{}, "", 0)
	h.Config.SetKeepAlivesEnabled(false) // so that no idle connection passes for a descriptor left open
	h.Start()
	t.Cleanup(h.Close)
	h.addr = strings.TrimPrefix(h.URL, "http://")
	return h
}

func (h *hostile) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	answer := h.answers[r.URL.Path]
	if a := r.Header.Get("Authorization"); a != "" {
		h.secrets = append(h.secrets, a)
	}
	h.mu.Unlock()
	switch {
	case answer != nil:
		answer(w, r)
	case r.URL.Path == "/v2/":
	default:
		http.NotFound(w, r)
	}
}

// at answers a path below a repository: "manifests/1".
func (h *hostile) at(repo, part string, answer http.HandlerFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answers["/v2/"+repo+"/"+part] = answer
}

// blob is a part of an image, and what is claimed of it.
type blob struct {
	body      []byte
	stream    func(io.Writer) // in place of body: digest and size are then claimed
	digest    string          // "" is that of body
	size      int64           // 0 is that of body
	mediaType string          // "" is a gzip layer
	diffID    string          // "" is made of plain
	plain     []byte          // the uncompressed layer
	urls      []string
}

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	indexType    = "application/vnd.oci.image.index.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar"
)

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// layer is a gzip layer of a tar.
func layer(plain []byte) blob { return blob{body: squeeze(plain), plain: plain} }

// squeeze compresses with gzip.
func squeeze(b []byte) []byte {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		panic(err)
	}
	_, err = z.Write(b)
	if e := z.Close(); err != nil || e != nil {
		panic(fmt.Sprint(err, e))
	}
	return out.Bytes()
}

func (b blob) descriptor() map[string]any {
	d := map[string]any{"mediaType": b.mediaType, "digest": b.digest, "size": b.size}
	if b.urls != nil {
		d["urls"] = b.urls
	}
	return d
}

// filled is the blob with what it does not say taken from its body.
func (b blob) filled() blob {
	if b.digest == "" {
		b.digest = digestOf(b.body)
	}
	if b.size == 0 {
		b.size = int64(len(b.body))
	}
	if b.mediaType == "" {
		b.mediaType = layerType + "+gzip"
	}
	if b.diffID == "" {
		b.diffID = digestOf(b.plain)
	}
	return b
}

func serve(b blob) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.FormatInt(b.size, 10))
		if b.stream != nil {
			b.stream(w)
			return
		}
		_, _ = w.Write(b.body)
	}
}

// document answers with a JSON document.
func document(mediaType string, v any) ([]byte, http.HandlerFunc) {
	text, ok := v.([]byte)
	if !ok {
		var err error
		if text, err = json.Marshal(v); err != nil {
			panic(err)
		}
	}
	return text, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", mediaType)
		_, _ = w.Write(text)
	}
}

// image puts an image of these layers at repo:1.
func (h *hostile) image(repo string, layers ...blob) {
	ids := make([]string, len(layers))
	for i := range layers {
		layers[i] = layers[i].filled()
		ids[i] = layers[i].diffID
		h.at(repo, "blobs/"+layers[i].digest, serve(layers[i]))
	}
	h.imageOf(repo, map[string]any{
		"os": "linux", "architecture": "amd64", "rootfs": map[string]any{"type": "layers", "diff_ids": ids}, "config": map[string]any{"Labels": map[string]string{"repo": repo}},
	}, layers...)
}

// imageOf puts an image with a config of its own there; the layers are served already.
func (h *hostile) imageOf(repo string, config any, layers ...blob) {
	text, answer := document(configType, config)
	c := blob{body: text, mediaType: configType}.filled()
	h.at(repo, "blobs/"+c.digest, answer)
	list := make([]any, len(layers))
	for i, l := range layers {
		list[i] = l.descriptor()
	}
	h.manifest(repo, map[string]any{"schemaVersion": 2, "mediaType": manifestType, "config": c.descriptor(), "layers": list})
}

// manifest puts any document at repo:1.
func (h *hostile) manifest(repo string, v any) {
	text, answer := document(manifestType, v)
	h.at(repo, "manifests/1", answer)
	h.at(repo, "manifests/"+digestOf(text), answer)
}

// endless sends b again and again until the client has had enough.
func endless(head string, b string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", manifestType)
		if _, err := io.WriteString(w, head); err != nil {
			return
		}
		chunk := []byte(strings.Repeat(b, 1+64<<10/len(b)))
		for range 1 << 30 / len(chunk) { // a gigabyte
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
}
