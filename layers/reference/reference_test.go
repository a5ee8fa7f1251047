package reference

import (
	"errors"
	"strings"
	"testing"
)

var digest = "sha256:" + strings.Repeat("0123456789abcdef", 4)

// good are references, what they mean, and how Docker prints them.
var good = []struct {
	in       string
	want     Reference
	familiar string
}{
	{"redis", Reference{"docker.io", "library/redis", "latest", ""}, "redis:latest"},
	{"redis:7", Reference{"docker.io", "library/redis", "7", ""}, "redis:7"},
	{"library/redis:7", Reference{"docker.io", "library/redis", "7", ""}, "redis:7"},
	{"docker.io/redis:7", Reference{"docker.io", "library/redis", "7", ""}, "redis:7"},
	{"docker.io/library/redis", Reference{"docker.io", "library/redis", "latest", ""}, "redis:latest"},
	{"index.docker.io/redis", Reference{"docker.io", "library/redis", "latest", ""}, "redis:latest"},
	{"index.docker.io/acme/app:1", Reference{"docker.io", "acme/app", "1", ""}, "acme/app:1"},
	{"registry-1.docker.io/acme/app", Reference{"registry-1.docker.io", "acme/app", "latest", ""}, "registry-1.docker.io/acme/app:latest"},
	{"docker.io:443/library/redis", Reference{"docker.io:443", "library/redis", "latest", ""}, "docker.io:443/library/redis:latest"},
	{"docker.io/redis@" + digest, Reference{"docker.io", "library/redis", "", digest}, "redis@" + digest},
	{"redis:7@" + digest, Reference{"docker.io", "library/redis", "", digest}, "redis@" + digest},
	{"oscarwin/hello-world:3.0", Reference{"docker.io", "oscarwin/hello-world", "3.0", ""}, "oscarwin/hello-world:3.0"},
	{"library/a/b", Reference{"docker.io", "library/a/b", "latest", ""}, "library/a/b:latest"},
	{"a/b/c/d:x", Reference{"docker.io", "a/b/c/d", "x", ""}, "a/b/c/d:x"},
	{"ghcr.io/acme/app:1.2", Reference{"ghcr.io", "acme/app", "1.2", ""}, "ghcr.io/acme/app:1.2"},
	{"ghcr.io/app", Reference{"ghcr.io", "app", "latest", ""}, "ghcr.io/app:latest"},
	{"ghcr.io/library/app", Reference{"ghcr.io", "library/app", "latest", ""}, "ghcr.io/library/app:latest"},
	{"localhost/app", Reference{"localhost", "app", "latest", ""}, "localhost/app:latest"},
	{"localhost:5000/team/app:1", Reference{"localhost:5000", "team/app", "1", ""}, "localhost:5000/team/app:1"},
	{"localhost:5000/app@" + digest, Reference{"localhost:5000", "app", "", digest}, "localhost:5000/app@" + digest},
	{"myreg:5000/app", Reference{"myreg:5000", "app", "latest", ""}, "myreg:5000/app:latest"},
	{"127.0.0.1:5000/app:v1", Reference{"127.0.0.1:5000", "app", "v1", ""}, "127.0.0.1:5000/app:v1"},
	{"[::1]:5000/app", Reference{"[::1]:5000", "app", "latest", ""}, "[::1]:5000/app:latest"},
	{"[2001:db8::1]/app", Reference{"[2001:db8::1]", "app", "latest", ""}, "[2001:db8::1]/app:latest"},
	{"Registry/app", Reference{"Registry", "app", "latest", ""}, "Registry/app:latest"},
	{"REG.example.com:1/app", Reference{"REG.example.com:1", "app", "latest", ""}, "REG.example.com:1/app:latest"},
	{"a-b.c-d.example/x", Reference{"a-b.c-d.example", "x", "latest", ""}, "a-b.c-d.example/x:latest"},
	{"registry/app", Reference{"docker.io", "registry/app", "latest", ""}, "registry/app:latest"},
	{"ghcr.io", Reference{"docker.io", "library/ghcr.io", "latest", ""}, "ghcr.io:latest"},
	{"a.b", Reference{"docker.io", "library/a.b", "latest", ""}, "a.b:latest"},
	{"localhost", Reference{"docker.io", "library/localhost", "latest", ""}, "localhost:latest"},
	{"localhost:5000", Reference{"docker.io", "library/localhost", "5000", ""}, "localhost:5000"},
	{"docker.io/localhost/app", Reference{"docker.io", "localhost/app", "latest", ""}, "docker.io/localhost/app:latest"},
	{"docker.io/an.org/app", Reference{"docker.io", "an.org/app", "latest", ""}, "docker.io/an.org/app:latest"},
	{"x_y__z-a---b.c", Reference{"docker.io", "library/x_y__z-a---b.c", "latest", ""}, "x_y__z-a---b.c:latest"},
	{"a:_", Reference{"docker.io", "library/a", "_", ""}, "a:_"},
	{"a:V1.2_3-x", Reference{"docker.io", "library/a", "V1.2_3-x", ""}, "a:V1.2_3-x"},
	{"a:" + strings.Repeat("t", 128), Reference{"docker.io", "library/a", strings.Repeat("t", 128), ""}, "a:" + strings.Repeat("t", 128)},
	{"x.io/" + strings.Repeat("a", 255), Reference{"x.io", strings.Repeat("a", 255), "latest", ""}, "x.io/" + strings.Repeat("a", 255) + ":latest"},
	{strings.Repeat("a", 64) + ":1", Reference{"docker.io", "library/" + strings.Repeat("a", 64), "1", ""}, strings.Repeat("a", 64) + ":1"},
	{strings.Repeat("a", 12), Reference{"docker.io", "library/" + strings.Repeat("a", 12), "latest", ""}, strings.Repeat("a", 12) + ":latest"},
}

// bad are strings that Docker refuses too, and a word of the reason.
var bad = []struct{ in, reason string }{
	{"", "empty"},
	{strings.Repeat("a", 64), "ID"},
	{"Redis", "lower case"},
	{"acme/App", "lower case"},
	{"docker.io/Acme/app", "lower case"},
	{" redis", "may hold"},
	{"redis ", "may hold"},
	{"redis\n", "may hold"},
	{"redis\x00", "may hold"},
	{"rédis", "may hold"},
	{"redis:", "missing"},
	{"redis:/", "port"},
	{"redis:-a", "must begin"},
	{"redis:.a", "must begin"},
	{"redis:a/b", "registry"},
	{"redis:a:b", "may hold"},
	{"redis:a\tb", "may hold"},
	{"a/b:c/d", "may hold"},
	{"a:" + strings.Repeat("t", 129), "longer"},
	{":7", "missing"},
	{"@" + digest, "missing"},
	{"redis@", "sha256"},
	{"redis@sha256:", "64"},
	{"redis@sha256:abc", "64"},
	{"redis@" + strings.ToUpper(digest), "sha256"},
	{"redis@sha256:" + strings.Repeat("A", 64), "lower case"},
	{"redis@sha256:" + strings.Repeat("g", 64), "64"},
	{"redis@" + digest + "0", "64"},
	{"redis@" + digest + "@" + digest, "64"},
	{"redis@md5:" + strings.Repeat("a", 32), "sha256"},
	{"redis@" + digest + ":7", "64"},
	{"/redis", "empty"},
	{"redis/", "empty"},
	{"acme//app", "empty"},
	{"//", "empty"},
	{"ghcr.io/", "missing"},
	{"ghcr.io/:1", "missing"},
	{".", "begin and end"},
	{"..", "begin and end"},
	{"../etc/passwd", "empty part"},
	{"acme/../app", "begin and end"},
	{"acme/./app", "begin and end"},
	{".hidden", "begin and end"},
	{"a..b", "too many"},
	{"a___b", "too many"},
	{"a._b", "too many"},
	{"a-_b", "too many"},
	{"-a", "begin and end"},
	{"a-", "begin and end"},
	{"_a", "begin and end"},
	{"a_/b", "begin and end"},
	{"a~b", "may hold"},
	{"a\\b", "may hold"},
	{"a%2fb", "may hold"},
	{"a?b=c", "may hold"},
	{"a#b", "may hold"},
	{"http://ghcr.io/app", "port"},
	{"https://ghcr.io/app", "port"},
	{"user:pass@ghcr.io/app", "sha256"},
	{"-x.io/app", "hyphen"},
	{"x-.io/app", "hyphen"},
	{"x..io/app", "empty part"},
	{".io/app", "empty part"},
	{"x.io./app", "empty part"},
	{"x_y.io/app", "may hold"},
	{"x.io:/app", "port"},
	{"x.io:0/app", "port"},
	{"x.io:65536/app", "port"},
	{"x.io:000080/app", "port"},
	{"x.io:+80/app", "port"},
	{"x.io:8a/app", "port"},
	{"x.io:80:90/app", "port"},
	{"[::1/app", "bracket"},
	{"[]:5000/app:1", "too short"},
	{"[::g]:5000/app", "hex"},
	{"[::1]5000/app", "colon"},
	{"[::1]:/app", "port"},
	{"[fe80::1%25eth0]:1/app", "hex"},
	{strings.Repeat("a.", 130) + "io/app", "longer"},
	{"x.io/" + strings.Repeat("a", 256), "longer"},
	{strings.Repeat("a", 248), "longer"}, // with library/ 256
}

func TestParse(t *testing.T) {
	for _, c := range good {
		got, err := Parse(c.in)
		if err != nil {
			t.Errorf("Parse(%q): %v", c.in, err)
			continue
		}
		if got != c.want {
			t.Errorf("Parse(%q) = %#v, want %#v", c.in, got, c.want)
		}
		if f := got.Familiar(); f != c.familiar {
			t.Errorf("Parse(%q).Familiar() = %q, want %q", c.in, f, c.familiar)
		}
		roundTrip(t, got)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range bad {
		got, err := Parse(c.in)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("Parse(%q) = %#v, %v; want an *Error", c.in, got, err)
			continue
		}
		if e.Input != c.in || !strings.Contains(e.Reason, c.reason) {
			t.Errorf("Parse(%q): %v; want a reason with %q", c.in, err, c.reason)
		}
		if got != (Reference{}) {
			t.Errorf("Parse(%q) gives %#v beside an error", c.in, got)
		}
	}
}

func TestErrorIsSafeToPrint(t *testing.T) {
	_, err := Parse("\x1b]0;pwned\a\n" + strings.Repeat("é", 500))
	for _, r := range err.Error() {
		if r < ' ' || r == 0x7f {
			t.Fatalf("control character %q in %q", r, err)
		}
	}
	if len(err.Error()) > 400 {
		t.Errorf("the message has %d bytes", len(err.Error()))
	}
}

// roundTrip demands that both printed forms read back as the same reference.
func roundTrip(t *testing.T, r Reference) {
	t.Helper()
	for _, s := range []string{r.String(), r.Familiar()} {
		again, err := Parse(s)
		if err != nil || again != r {
			t.Errorf("Parse(%q) = %#v, %v; want %#v", s, again, err, r)
		}
	}
	if !strings.HasPrefix(r.String(), r.Repository()) || !strings.HasPrefix(r.Familiar(), r.FamiliarName()) {
		t.Errorf("%#v: %q, %q do not begin with %q, %q", r, r.String(), r.Familiar(), r.Repository(), r.FamiliarName())
	}
}

func TestWithDigest(t *testing.T) {
	r, err := Parse("localhost:5000/app:1")
	if err != nil {
		t.Fatal(err)
	}
	if got := r.WithDigest(digest).String(); got != "localhost:5000/app@"+digest {
		t.Errorf("got %q", got)
	}
}

func TestIsDomain(t *testing.T) {
	for s, want := range map[string]bool{
		"localhost": true, "localhost:5000": true, "ghcr.io": true, "ghcr.io:443": true,
		"127.0.0.1": true, "127.0.0.1:5000": true, "[::1]": true, "[::1]:5000": true,
		"my.app:1": true, "a.b.c.d": true,
		"redis": false, "redis:7": false, "myreg:5000": false, "": false, "redis:latest": false,
		"localhost:": false, "localhost:x": false, "ghcr.io:": false, "ghcr.io:v1": false,
		".hidden": false, "..": false, ".": false, ".Trash-1000": false, "x.": false, "a..b": false,
		"redis@" + digest: false, "a.b@" + digest: false, "[::1": false, "a_b.c": false, "Foo": false,
		"ghcr.io:70000": false,
	} {
		if got := IsDomain(s); got != want {
			t.Errorf("IsDomain(%q) = %v, want %v", s, got, want)
		}
	}
}

func TestID(t *testing.T) {
	long, short := strings.Repeat("0123456789abcdef", 4), "0123456789ab"
	for _, c := range []struct {
		in, digest string
		short, ok  bool
	}{
		{long, "sha256:" + long, false, true},
		{"sha256:" + long, "sha256:" + long, false, true},
		{short, "sha256:" + short, true, true},
		{"sha256:" + short, "sha256:" + short, true, true},
		{long[:63], "", false, false},
		{short + "c", "", false, false},
		{short[:11], "", false, false},
		{strings.ToUpper(short), "", false, false},
		{"sha512:" + long, "", false, false},
		{"redis", "", false, false},
		{"", "", false, false},
		{"sha256:", "", false, false},
		{"../../../../..", "", false, false},
	} {
		digest, short, ok := ID(c.in)
		if digest != c.digest || short != c.short || ok != c.ok {
			t.Errorf("ID(%q) = %q, %v, %v", c.in, digest, short, ok)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range good {
		f.Add(c.in)
	}
	for _, c := range bad {
		f.Add(c.in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Parse(s)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Reason == "" {
				t.Fatalf("Parse(%q): %v", s, err)
			}
			return
		}
		roundTrip(t, r)
		if (r.Tag == "") == (r.Digest == "") {
			t.Errorf("Parse(%q) = %#v: not one of tag and digest", s, r)
		}
		// The parts become parts of paths.
		for part := range strings.SplitSeq(r.String(), "/") {
			if part == "" || part[0] == '.' || strings.ContainsAny(part, "\x00\\ ") {
				t.Errorf("Parse(%q) has the part %q", s, part)
			}
		}
		if IsDomain(r.Domain) && !looksLikeDomain(r.Domain) {
			t.Errorf("the domain of %q is one to the tree but not to Docker", s)
		}
	})
}
