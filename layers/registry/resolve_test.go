package registry

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestResolve(t *testing.T) {
	f := newFake(t)
	d, blobs := f.push(t, sample{repo: "team/app", tag: "1", layers: 3})
	c := client(t, Options{})
	for _, name := range []string{"team/app:1", "team/app@" + d.Digest} {
		ref := f.ref(t, name)
		img, err := c.Resolve(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		if img.Reference != ref || img.Digest != d.Digest || img.ManifestDigest != d.Digest ||
			img.MediaType != ociManifest || img.Platform != "linux/amd64" ||
			digestOf(img.Manifest) != d.Digest || digestOf(img.Config) != img.ConfigDigest {
			t.Errorf("%s: got %+v", name, img)
		}
		if len(img.Layers) != 3 {
			t.Fatalf("%s: %d layers", name, len(img.Layers))
		}
		for i, l := range img.Layers {
			if l.Digest != digestOf(blobs[i]) || l.Size != int64(len(blobs[i])) || l.DiffID != digestOf([]byte(fmt.Sprint(i))) {
				t.Errorf("%s: layer %d is %+v", name, i, l)
			}
		}
	}
}

// What was fetched once says the same again, without any registry.
func TestRecall(t *testing.T) {
	f := newFake(t)
	f.push(t, sample{repo: "team/app", tag: "1", layers: 3})
	c := client(t, Options{})
	want, err := c.Resolve(t.Context(), f.ref(t, "team/app:1"))
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	config := func(digest string) ([]byte, error) {
		if digest != want.ConfigDigest {
			return nil, fmt.Errorf("asked for %s", digest)
		}
		return want.Config, nil
	}
	got, err := c.Recall(want.Manifest, config)
	if err != nil {
		t.Fatal(err)
	}
	got.Reference = want.Reference
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"", "{}", "[]", "text", string(want.Config), `{"manifests": []}`, strings.Replace(string(want.Manifest), "sha256:", "sha256:..", 1)} {
		if img, err := c.Recall([]byte(bad), config); err == nil {
			t.Errorf("of %q comes %+v", bad, img)
		}
	}
	gone := errors.New("it is not here")
	if _, err := c.Recall(want.Manifest, func(string) ([]byte, error) { return nil, gone }); !errors.Is(err, gone) {
		t.Errorf("without its configuration: %v", err)
	}
}

func TestResolveChoosesThePlatform(t *testing.T) {
	f := newFake(t)
	platforms := []v1.Platform{
		{OS: "windows", Architecture: "amd64"},
		{OS: "linux", Architecture: "arm", Variant: "v6"},
		{OS: "linux", Architecture: "arm64", Variant: "v8"},
		{OS: "linux", Architecture: "amd64", Variant: "v3"},
		{OS: "linux", Architecture: "amd64"},
		{OS: "linux", Architecture: "arm", Variant: "v7"},
		{OS: "linux", Architecture: "386"},
	}
	var entries []descriptor
	for i, p := range platforms {
		d, _ := f.push(t, sample{repo: "app", tag: fmt.Sprint("p", i), platform: p})
		entries = append(entries, d)
	}
	attestation, _ := f.push(t, sample{repo: "app", tag: "att"})
	attestation.Platform = &v1.Platform{OS: "unknown", Architecture: "unknown"}
	all := f.index(t, "app", "all", append([]descriptor{attestation}, entries...)...)
	f.index(t, "app", "outer", all)
	f.index(t, "app", "old", entries[6])
	for _, c := range []struct {
		tag, platform string
		want          int
	}{
		{"all", "linux/amd64", 4},
		{"all", "linux/amd64/v2", 4},
		{"all", "linux/amd64/v4", 3},
		{"all", "linux/arm64", 2},
		{"all", "linux/arm/v7", 5},
		{"all", "linux/arm/v8", 5},
		{"all", "linux/arm/v6", 1},
		{"all", "linux/386", 6},
		{"all", "windows/amd64", 0},
		{"outer", "linux/arm64", 2},
		{"old", "linux/amd64", 6},
	} {
		p, err := v1.ParsePlatform(c.platform)
		if err != nil {
			t.Fatal(err)
		}
		img, err := client(t, Options{Platform: *p}).Resolve(t.Context(), f.ref(t, "app:"+c.tag))
		if err != nil {
			t.Errorf("%s for %s: %v", c.tag, c.platform, err)
			continue
		}
		if img.ManifestDigest != entries[c.want].Digest {
			t.Errorf("%s for %s: chose %s", c.tag, c.platform, img.Platform)
		}
		if c.tag == "all" && img.Digest != all.Digest {
			t.Errorf("%s: its digest is %s, not the index's", c.tag, img.Digest)
		}
	}
	for _, p := range []v1.Platform{{OS: "linux", Architecture: "s390x"}, {OS: "linux", Architecture: "arm", Variant: "v5"}} {
		_, err := client(t, Options{Platform: p}).Resolve(t.Context(), f.ref(t, "app:all"))
		e := failure(t, err, Platform)
		if !strings.Contains(e.Reason, "linux/arm/v7") || !strings.Contains(e.Reason, platformName(p)) {
			t.Errorf("the reason names no platforms: %s", e.Reason)
		}
	}
	// Alone, without an index, the configuration decides.
	_, err := client(t, Options{}).Resolve(t.Context(), f.ref(t, "app:p2"))
	failure(t, err, Platform)
}

func TestResolveRefuses(t *testing.T) {
	f := newFake(t)
	layer := func(d map[string]any) func(map[string]any) {
		return func(m map[string]any) { m["layers"] = []any{d} }
	}
	many := []any{}
	for range maxLayers + 1 {
		many = append(many, map[string]any{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": zeros, "size": 1})
	}
	for tag, s := range map[string]struct {
		sample
		kind Kind
	}{
		"diffids-few":   {sample{layers: 2, diffIDs: []string{zeros}}, Corrupt},
		"diffids-bad":   {sample{layers: 1, diffIDs: []string{"../../etc/passwd"}}, Corrupt},
		"config-json":   {sample{configBlob: []byte("{")}, Corrupt},
		"config-number": {sample{configBlob: []byte("7")}, Corrupt},
		"config-size":   {sample{configSize: 1}, Corrupt},
		"config-huge":   {sample{configSize: maxDocument + 1}, TooLarge},
		"config-minus":  {sample{configSize: -1}, Protocol},
		"helm":          {sample{configType: "application/vnd.cncf.helm.config.v1+json"}, Protocol},
		"encrypted":     {sample{layers: 1, layerType: "application/vnd.oci.image.layer.v1.tar+gzip+encrypted"}, Protocol},
		"layers-many":   {sample{mutateFinal: func(m map[string]any) { m["layers"] = many }}, TooLarge},
		"layer-digest":  {sample{mutateFinal: layer(map[string]any{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": "sha256:..", "size": 1})}, Protocol},
		"layer-size":    {sample{mutateFinal: layer(map[string]any{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": zeros, "size": -1})}, Protocol},
		"both":          {sample{mutateFinal: func(m map[string]any) { m["manifests"] = []any{} }}, Protocol},
		"no-config":     {sample{mutateFinal: func(m map[string]any) { delete(m, "config") }}, Protocol},
		"schema1":       {sample{mutateFinal: func(m map[string]any) { m["schemaVersion"] = 1 }}, Protocol},
		"artifact":      {sample{mutateFinal: func(m map[string]any) { m["mediaType"] = "application/vnd.acme\x1b[2J" }}, Protocol},
		"absent-config": {sample{mutateFinal: func(m map[string]any) { m["config"].(map[string]any)["digest"] = zeros }}, NotFound},
	} {
		t.Run(tag, func(t *testing.T) {
			s.repo, s.tag = "app", tag
			f.push(t, s.sample)
			img, err := client(t, Options{}).Resolve(t.Context(), f.ref(t, "app:"+tag))
			failure(t, err, s.kind)
			if img != nil {
				t.Error("there is an image beside the error")
			}
		})
	}
}

// TestResolveCorrupt has a registry answer with other bytes than were asked for.
func TestResolveCorrupt(t *testing.T) {
	f := newFake(t)
	d, _ := f.push(t, sample{repo: "app", tag: "1", layers: 1})
	f.index(t, "app", "index", d)
	ref, byDigest := f.ref(t, "app:1"), f.ref(t, "app@"+d.Digest)
	img, err := client(t, Options{}).Resolve(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	other := func(part string) func(http.ResponseWriter, *http.Request) bool {
		return statusFault(part, http.StatusOK, http.Header{"Content-Type": {ociManifest}}, string(img.Manifest)+" ")
	}
	f.fail(other("manifests/"))
	_, err = client(t, Options{}).Resolve(t.Context(), byDigest)
	failure(t, err, Corrupt)
	f.fail(other("manifests/" + d.Digest))
	_, err = client(t, Options{}).Resolve(t.Context(), f.ref(t, "app:index"))
	failure(t, err, Corrupt)
	f.fail(statusFault("blobs/"+img.ConfigDigest, http.StatusOK, nil, strings.Repeat("x", len(img.Config))))
	_, err = client(t, Options{}).Resolve(t.Context(), ref)
	failure(t, err, Corrupt)
	f.fail(statusFault("manifests/", http.StatusOK, nil, "<html>"))
	_, err = client(t, Options{}).Resolve(t.Context(), ref)
	failure(t, err, Corrupt)
}

// endless writes until the client has had enough.
func endless(part, prefix, again string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, part) {
			return false
		}
		_, err := io.WriteString(w, prefix)
		for again = strings.Repeat(again, 1000); err == nil; {
			_, err = io.WriteString(w, again)
		}
		return true
	}
}

func TestResolveTooLarge(t *testing.T) {
	f := newFake(t)
	d, _ := f.push(t, sample{repo: "app", tag: "1"})
	c := client(t, Options{})
	ref := f.ref(t, "app:1")
	f.fail(endless("manifests/", `{"layers":[`, "{},"))
	_, err := c.Resolve(t.Context(), ref)
	failure(t, err, TooLarge)
	f.fail(endless("blobs/", `{"a":"`, "aaaaaaaaaa"))
	_, err = c.Resolve(t.Context(), ref)
	failure(t, err, TooLarge)
	f.fail(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Length", "1000000000000")
		w.WriteHeader(http.StatusOK)
		return true
	})
	_, err = c.Resolve(t.Context(), ref)
	failure(t, err, TooLarge)
	// Of a size that is read, but with more entries than memory is given for.
	for _, doc := range []string{
		`{"layers":[` + strings.Repeat("{},", 1<<20) + "{}]}",
		`{"manifests":[` + strings.Repeat("{},", 1<<20) + "{}]}",
	} {
		f.fail(statusFault("manifests/", http.StatusOK, nil, doc))
		_, err = c.Resolve(t.Context(), ref)
		failure(t, err, TooLarge)
	}
	f.fail(nil)
	// An index within an index within an index …
	for i := range maxDepth + 1 {
		d = f.index(t, "app", fmt.Sprint("depth", i), d)
	}
	if _, err := c.Resolve(t.Context(), f.ref(t, fmt.Sprint("app:depth", maxDepth-1))); err != nil {
		t.Errorf("%d indexes: %v", maxDepth, err)
	}
	_, err = c.Resolve(t.Context(), f.ref(t, fmt.Sprint("app:depth", maxDepth)))
	failure(t, err, Protocol)
}

func TestResolveStatuses(t *testing.T) {
	f := newFake(t)
	f.push(t, sample{repo: "app", tag: "1"})
	c := client(t, Options{})
	_, err := c.Resolve(t.Context(), f.ref(t, "app:nosuch"))
	if e := failure(t, err, NotFound); e.Status != http.StatusNotFound || e.Message == "" {
		t.Errorf("got %+v", e)
	}
	json := http.Header{"Content-Type": {"application/json"}}
	for _, s := range []struct {
		status  int
		header  http.Header
		body    string
		kind    Kind
		message string
	}{
		{403, json, `{"errors":[{"code":"DENIED","message":"requested access is \u001b[31mdenied"}]}`, Denied, "requested access is ?[31mdenied"},
		{404, json, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`, NotFound, "manifest unknown"},
		{404, json, `{"errors":"odd"}`, NotFound, ""},
		{404, http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, "404 page\nnot found", NotFound, "404 page not found"},
		{404, http.Header{"Content-Type": {"text/html"}}, "<h1>no</h1>", NotFound, ""},
		{400, json, `{"errors":[{"code":"NAME_INVALID","message":"bad"}]}`, NotFound, "bad"},
		{401, json, `{"errors":[{"code":"UNAUTHORIZED","message":"who?"}]}`, Denied, ""},
		{416, nil, "", Corrupt, ""},
		{418, nil, "", Protocol, ""},
		{204, nil, "", Protocol, ""},
		{500, http.Header{"Content-Type": {"text/html"}}, strings.Repeat("x", 1<<20), Unavailable, ""},
		{504, nil, "", Timeout, ""},
		{429, json, `{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}`, Rate, "slow down"},
	} {
		f.fail(statusFault("manifests/", s.status, s.header, s.body))
		_, err := c.Resolve(t.Context(), f.ref(t, "app:1"))
		e := failure(t, err, s.kind)
		if e.Message != s.message {
			t.Errorf("%d: the message is %q, want %q", s.status, e.Message, s.message)
		}
	}
}
