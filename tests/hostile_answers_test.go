package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// registryAttacks are what a registry can do with documents and answers.
func registryAttacks() []attack {
	manifest := func(name, refuse string, v any) attack {
		return attack{name: name, refuse: refuse, image: func(h *hostile, repo string) { h.manifest(repo, v) }}
	}
	answer := func(name, refuse string, f http.HandlerFunc) attack {
		return attack{name: name, refuse: refuse, image: func(h *hostile, repo string) { h.at(repo, "manifests/1", f) }}
	}
	far := strings.Repeat("0", 64)
	descriptor := map[string]any{"mediaType": layerType, "digest": "sha256:" + far, "size": 1}
	return []attack{
		answer("manifest-of-a-gigabyte", "larger than hull accepts", endless(`{"schemaVersion":2,"x":"`, "x")),
		answer("manifest-claims-a-gigabyte", "larger than hull accepts", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1073741824")
			_, _ = w.Write([]byte("{"))
		}),
		manifest("manifest-of-many-layers", "more entries|more than", map[string]any{"config": descriptor, "layers": repeat(descriptor, 20_000)}),
		manifest("manifest-of-501-layers", "501 layers", map[string]any{
			"mediaType": manifestType, "config": map[string]any{"mediaType": configType, "digest": "sha256:" + far, "size": 1}, "layers": repeat(descriptor, 501),
		}),
		manifest("deep-json", "well-formed", []byte(strings.Repeat(`{"layers":[`, 300_000))),
		manifest("brackets", "well-formed", []byte(strings.Repeat(`[`, 4<<20))),
		manifest("no-json", "well-formed", []byte("\x00\x1b[2J")),
		manifest("schema-1", "schema 1", []byte(`{"schemaVersion":1,"fsLayers":[{"blobSum":"sha256:`+far+`"}],"history":[]}`)),
		manifest("index-and-manifest", "as well", map[string]any{"config": descriptor, "manifests": []any{}}),
		manifest("digest-leads-out", "digest", []byte(`{"mediaType":"`+manifestType+`","config":{"mediaType":"`+configType+`","digest":"sha256:../../../../../../../../../../../../../../../../../../../../../etc/x","size":1},"layers":[]}`)),
		manifest("size-negative", "digest|size|well-formed|configuration", []byte(`{"mediaType":"`+manifestType+`","config":{"mediaType":"`+configType+`","digest":"sha256:`+far+`","size":-1},"layers":[]}`)),
		manifest("config-claims-a-gigabyte", "larger than hull accepts", map[string]any{
			"mediaType": manifestType, "config": map[string]any{"mediaType": configType, "digest": "sha256:" + far, "size": 1 << 30}, "layers": []any{},
		}),
		{name: "config-of-a-gigabyte", refuse: "larger than hull accepts", image: func(h *hostile, repo string) {
			h.at(repo, "blobs/sha256:"+far, endless(`{"x":"`, "x"))
			h.manifest(repo, map[string]any{"mediaType": manifestType, "config": map[string]any{"mediaType": configType, "digest": "sha256:" + far, "size": 10}, "layers": []any{}})
		}},
		{name: "config-full-of-things", refuse: "more than any image has", image: func(h *hostile, repo string) {
			l := layer(tarOf(put("f", ""))).filled()
			h.at(repo, "blobs/"+l.digest, serve(l))
			ports := map[string]any{}
			for i := range 200_000 {
				ports[fmt.Sprint(i)] = map[string]any{}
			}
			h.imageOf(repo, map[string]any{
				"os": "linux", "architecture": "amd64", "rootfs": map[string]any{"type": "layers", "diff_ids": []string{l.diffID}}, "config": map[string]any{"Volumes": ports},
			}, l)
		}},
		{name: "config-full-of-history", refuse: "more than any image has", image: func(h *hostile, repo string) {
			l := layer(tarOf(put("f", ""))).filled()
			h.at(repo, "blobs/"+l.digest, serve(l))
			h.imageOf(repo, json.RawMessage(`{"os":"linux","architecture":"amd64","history":[`+strings.Repeat("{},", 1_200_000)+`{}],"rootfs":{"type":"layers","diff_ids":["`+l.diffID+`"]}}`), l)
		}},
		{name: "config-of-another-digest", refuse: "digest", image: func(h *hostile, repo string) {
			h.at(repo, "blobs/sha256:"+far, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) })
			h.manifest(repo, map[string]any{"mediaType": manifestType, "config": map[string]any{"mediaType": configType, "digest": "sha256:" + far, "size": 2}, "layers": []any{}})
		}},
		{name: "index-of-itself", refuse: "digest", image: func(h *hostile, repo string) {
			text := []byte(`{"mediaType":"` + indexType + `","manifests":[{"mediaType":"` + indexType + `","digest":"sha256:` + far + `","size":000}]}`)
			text = bytes.Replace(text, []byte("000}"), fmt.Appendf(nil, "%d}", len(text)), 1) // of its own size, if not of its digest
			_, answer := document(indexType, text)
			h.at(repo, "manifests/1", answer)
			h.at(repo, "manifests/sha256:"+far, answer)
		}},
		{name: "index-of-indexes", refuse: "ever more indexes", image: func(h *hostile, repo string) {
			text, answer := document(manifestType, []byte("{}"))
			for range 200 {
				h.at(repo, "manifests/"+digestOf(text), answer)
				text, answer = document(indexType, map[string]any{"mediaType": indexType, "manifests": []any{map[string]any{"mediaType": indexType, "digest": digestOf(text), "size": len(text)}}})
			}
			h.at(repo, "manifests/1", answer)
		}},
		manifest("huge-index", "more entries", map[string]any{"mediaType": indexType, "manifests": repeat(descriptor, 20_000)}),
		{name: "foreign-layer", refuse: "no such image|part of this image", image: func(h *hostile, repo string) {
			l := layer(tarOf(put("f", ""))).filled()
			l.mediaType = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
			l.urls = []string{"file:///etc/passwd", h.URL + "/stolen", "http://169.254.169.254/latest/meta-data/"}
			h.imageOf(repo, map[string]any{"os": "linux", "architecture": "amd64", "rootfs": map[string]any{"type": "layers", "diff_ids": []string{l.diffID}}}, l)
		}},
		{name: "the-same-layer-often", wanted: "f", image: func(h *hostile, repo string) {
			l := layer(tarOf(put("f", "")))
			h.image(repo, repeat(l, 100)...)
		}},
		{name: "layer-of-another-kind", refuse: "cannot unpack", image: func(h *hostile, repo string) {
			h.image(repo, blob{body: []byte("x"), mediaType: "application/x-squashfs"})
		}},
		{name: "layer-of-another-digest", refuse: "digest", image: func(h *hostile, repo string) {
			l := layer(tarOf(put("f", ""))).filled()
			l.digest = "sha256:" + far
			h.image(repo, l)
		}},
		{name: "layer-longer-than-promised", refuse: "bytes there|longer", image: func(h *hostile, repo string) {
			l := layer(tarOf(put("f", "")))
			h.image(repo, l)
			l = l.filled()
			l.size += 10
			l.body = append(l.body, "0123456789"...)
			h.at(repo, "blobs/"+layer(tarOf(put("f", ""))).filled().digest, serve(l))
		}},
		{name: "layer-of-an-exabyte", refuse: "free", image: func(h *hostile, repo string) {
			h.image(repo, blob{body: []byte("x"), size: 1 << 60})
		}},
		answer("redirect-circle", "in a circle", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }),
		answer("redirect-without-end", "more than", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path+"?"+r.URL.RawQuery+"x", http.StatusTemporaryRedirect)
		}),
		answer("redirect-to-a-file", "redirects to an address of the kind file", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(http.StatusFound)
		}),
		answer("terminal-codes-in-an-error", "you may not", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`{"errors":[{"code":"DENIED","message":"\u001b]0;owned\u0007\u001b[2J\u202eyou may not\r\n\u0000pull"}]}`))
		}),
		answer("terminal-codes-in-plain-text", "you may not", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte("\x1b[31myou may not\x9b2J\xff\xfe\n"))
		}),
		manifest("terminal-codes-in-a-kind", "kind", []byte(`{"mediaType":"\u001b[2J\u0007x"}`)),
		answer("error-without-end", "denied", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			endless(`{"errors":[{"code":"DENIED","message":"`, "no ")(w, r)
		}),
		answer("realm-elsewhere", "token server", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="file:///etc/passwd",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		}),
		answer("realm-in-plain-http", "https|token server", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://169.254.169.254/latest/token",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		}),
		{name: "token-without-end", refuse: "larger than hull accepts", image: func(h *hostile, repo string) {
			h.at(repo, "token", endless(`{"token":"`, "t"))
			h.at(repo, "manifests/1", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("WWW-Authenticate", `Bearer realm="`+h.URL+`/v2/`+repo+`/token",service="x"`)
				w.WriteHeader(http.StatusUnauthorized)
			})
		}},
		answer("challenges-without-end", "kind of login", func(w http.ResponseWriter, _ *http.Request) {
			for range 500 {
				w.Header().Add("WWW-Authenticate", strings.Repeat("Negotiate x, ", 20))
			}
			w.WriteHeader(http.StatusUnauthorized)
		}),
	}
}

func repeat[T any](v T, n int) []T {
	list := make([]T, n)
	for i := range list {
		list[i] = v
	}
	return list
}
