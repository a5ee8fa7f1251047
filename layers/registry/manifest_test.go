package registry

import (
	"fmt"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"hull/layers/reference"
)

var zeros = "sha256:" + strings.Repeat("0", 64)

func TestParseDocument(t *testing.T) {
	for _, c := range []struct {
		body, header string
		want         string // its media type, or else its problem
	}{
		{`{"mediaType":"` + ociManifest + `","config":{}}`, "", ociManifest},
		{`{"mediaType":"` + ociManifest + `","config":{}}`, "text/html", ociManifest},
		{`{"config":{}}`, dockerManifest + "; charset=utf-8", dockerManifest},
		{`{"config":{}}`, "", ociManifest},
		{`{"config":{},"manifests":null}`, "application/json", ociManifest},
		{`{"manifests":[]}`, "application/json", ociIndex},
		{`{"manifests":[]}`, dockerIndex, dockerIndex},
		{`{"manifests":[],"layers":[]}`, "", "index as well"},
		{`{"manifests":[],"config":{}}`, ociIndex, "index as well"},
		{`{"manifests":[]}`, ociManifest, "written as an index"},
		{`{"layers":[]}`, dockerIndex, "written as a manifest"},
		{`{"mediaType":"text/html"}`, ociManifest, "text/html"},
		{`{}`, "text/html", "text/html"},
		{`{"schemaVersion":1}`, "", "schema 1"},
		{`{"schemaVersion":2,"fsLayers":[]}`, "", "schema 1"},
		{`{"layers":{}}`, "", "JSON"},
		{`{"layers":[7]}`, "", "JSON"},
		{`{"config":{"size":1e99}}`, "", "JSON"},
		{`{"config":{"size":"1"}}`, "", "JSON"},
		{`[]`, "", "JSON"},
		{`null`, "", ociManifest}, // which then has no configuration
		{``, "", "JSON"},
		{`{"config":{}} trailing`, "", "JSON"},
		{strings.Repeat("[", 100_000), "", "JSON"},
		{strings.Repeat(`{"layers":[`, 20_000), "", "JSON"},
		{`{"layers":[` + strings.Repeat("{},", maxEntries) + "{}]}", "", "more entries"},
	} {
		d, p := parseDocument([]byte(c.body), c.header)
		got := ""
		if p != nil {
			got = p.reason
		} else {
			got = d.MediaType
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%.60s (%s): got %q, want %q", c.body, c.header, got, c.want)
		}
	}
}

// TestEntryWithoutPlatform has an index that does not say for what its manifest
// is: the configuration is asked then. If some say, those are meant.
func TestEntryWithoutPlatform(t *testing.T) {
	host := v1.Platform{OS: "linux", Architecture: "amd64"}
	entry := `{"mediaType":"` + ociManifest + `","digest":"` + zeros + `","size":%d%s}`
	for list, want := range map[string]int64{
		fmt.Sprintf(entry, 1, ""): 1,
		fmt.Sprintf(entry, 1, "") + "," + fmt.Sprintf(entry, 2, `,"platform":{"os":"linux","architecture":"amd64"}`): 2,
		fmt.Sprintf(entry, 1, "") + "," + fmt.Sprintf(entry, 2, `,"platform":{"os":"linux","architecture":"arm"}`):   -1,
		fmt.Sprintf(entry, 1, `,"platform":{"os":"unknown","architecture":"unknown"}`):                               -1,
		`{"mediaType":"application/vnd.acme","digest":"` + zeros + `","size":1}`:                                     -1,
		``: -1,
	} {
		d, p := parseDocument([]byte(`{"manifests":[`+list+`]}`), "")
		if p != nil {
			t.Fatal(p)
		}
		got := int64(-1)
		if e, p := d.entry(host); p == nil {
			got = e.Size
		} else if p.kind != Platform {
			t.Errorf("%s: %v", list, p)
		}
		if got != want {
			t.Errorf("%s: chose %d, want %d", list, got, want)
		}
	}
	for _, bad := range []string{`"digest":"sha256:../../x","size":1`, `"digest":"` + zeros + `","size":-1`, `"digest":"` + zeros + `","size":99999999`} {
		d, p := parseDocument([]byte(`{"manifests":[{"mediaType":"`+ociManifest+`",`+bad+`}]}`), "")
		if p != nil {
			t.Fatal(p)
		}
		if _, p := d.entry(host); p == nil || p.kind == Platform {
			t.Errorf("%s: %v", bad, p)
		}
	}
}

func TestNormalize(t *testing.T) {
	for in, want := range map[string]string{
		"linux/amd64": "linux/amd64", "linux/x86_64": "linux/amd64", "Linux/AMD64/v1": "linux/amd64",
		"linux/amd64/2": "linux/amd64/v2", "linux/aarch64": "linux/arm64", "linux/arm64/v8": "linux/arm64",
		"linux/arm64/8": "linux/arm64", "linux/arm64/v9": "linux/arm64/v9", "linux/arm": "linux/arm/v7",
		"linux/armhf": "linux/arm/v7", "linux/armel": "linux/arm/v6", "linux/arm/6": "linux/arm/v6",
		"linux/i686": "linux/386", "linux/riscv64": "linux/riscv64", "/": "/",
	} {
		parts := append(strings.Split(in, "/"), "")
		got := platformName(v1.Platform{OS: parts[0], Architecture: parts[1], Variant: parts[2]})
		if got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestParsePlatform(t *testing.T) {
	host := platformName(HostPlatform())
	for in, want := range map[string]string{
		"linux/amd64": "linux/amd64", "arm64": "linux/arm64", "aarch64": "linux/arm64", "linux": host, "LINUX": host,
		"linux/arm/v7": "linux/arm/v7", "linux/arm": "linux/arm/v7", "linux/arm/6": "linux/arm/v6", "armhf": "linux/arm/v7",
		"linux/amd64/v3": "linux/amd64/v3", "x86_64": "linux/amd64", "linux/arm64/v8.2": "linux/arm64/v8.2",
	} {
		if p, err := ParsePlatform(in); err != nil || platformName(p) != want {
			t.Errorf("%q is %s, %v; want %s", in, platformName(p), err, want)
		}
	}
	for _, in := range []string{
		"", "/", "linux/", "/amd64", "linux/amd64/", "linux/amd64/v1/x", "nosuch", "linux/nosuch", "windows", "windows/amd64", "darwin/arm64",
		"linux/arm/seven", "linux/arm/v", "linux/arm/v.7", "linux/arm/v123456789", "linux/arm64 ", "linux/arm64\n", "linux,arm64",
	} {
		p, err := ParsePlatform(in)
		if err == nil {
			t.Errorf("%q is %s", in, platformName(p))
		} else if strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("%q: %q", in, err)
		}
	}
}

func TestUnsuited(t *testing.T) {
	host := v1.Platform{OS: "linux", Architecture: "amd64"}
	var many []v1.Platform
	for i := range 1000 {
		many = append(many, v1.Platform{OS: "linux\n", Architecture: fmt.Sprint("a", i)})
	}
	for _, offered := range [][]v1.Platform{nil, {host}, {host, host}, many} {
		s := unsuited(host, offered)
		if len(s) > 400 || strings.ContainsAny(s, "\n\x1b") {
			t.Errorf("%d platforms: %q", len(offered), s)
		}
	}
}

func FuzzDocument(f *testing.F) {
	for _, s := range []string{
		`{"schemaVersion":2,"mediaType":"` + ociManifest + `","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` + zeros + `","size":7},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"` + zeros + `","size":7}]}`,
		`{"manifests":[{"mediaType":"` + ociManifest + `","digest":"` + zeros + `","size":7,"platform":{"os":"linux","architecture":"amd64","variant":"v9"}}]}`,
		`{"manifests":[{"platform":{"os":"","architecture":""}}]}`, `{"layers":null,"Layers":[{}]}`, `null`, `{"config":null}`,
		`{"config":{"digest":"sha256:` + strings.Repeat("../", 21) + `x"}}`, `{"schemaVersion":1}`, `{"layers":[[[[`,
		`{"rootfs":{"diff_ids":["` + zeros + `"]},"os":"linux","architecture":"amd64"}`,
	} {
		f.Add([]byte(s), "")
		f.Add([]byte(s), dockerIndex+";x")
	}
	host := v1.Platform{OS: "linux", Architecture: "amd64"}
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		if c, p := parseConfig(body, 1, host); p == nil {
			if !reference.IsDigest(c.RootFS.DiffIDs[0]) {
				t.Errorf("a bad diff ID is let through: %q", c.RootFS.DiffIDs)
			}
		}
		d, p := parseDocument(body, contentType)
		if p != nil {
			if p.kind == 0 || p.reason == "" {
				t.Errorf("a problem without a kind or reason: %+v", p)
			}
			return
		}
		if d.isIndex() {
			if e, p := d.entry(host); p == nil && !e.valid() {
				t.Errorf("a bad entry is let through: %+v", e)
			}
			return
		}
		if p := d.checkManifest(); p == nil {
			for _, l := range append(d.Layers, *d.Config) {
				if !l.valid() {
					t.Errorf("a bad descriptor is let through: %+v", l)
				}
			}
		}
	})
}

func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-0/1", "bytes 5-9/*", "bytes */5", "bytes 9-5/1", "bytes 0-18446744073709551615/1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		first, last, total, ok := parseContentRange(s)
		if ok && (first < 0 || last < first || total >= 0 && total <= last || total < -1) {
			t.Errorf("%q: %d-%d/%d", s, first, last, total)
		}
	})
}

func FuzzMessage(f *testing.F) {
	for _, s := range []string{`{"errors":[{"code":"X","message":"y"}]}`, `{"details":"\u001b[2J"}`, `{"errors":[`, "plain\x00text", "\xff\xfe"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, kind := range []string{"application/json", "text/plain"} {
			m, _ := readMessage(map[string][]string{"Content-Type": {kind}}, body)
			for _, c := range m {
				if c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 {
					t.Errorf("control character %q in %q", c, m)
				}
			}
			if len([]rune(m)) > maxMessage+1 {
				t.Errorf("%d characters", len(m))
			}
		}
	})
}
