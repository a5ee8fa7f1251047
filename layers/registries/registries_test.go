package registries

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

func open(t *testing.T, dir string) *Book {
	t.Helper()
	b, err := Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWhatIsKeptComesBack(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	if _, err := b.Add("myhost:5000"); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		b.SetInsecure("myhost:5000", "true\n"), b.SetMirror("docker.io", "https://mirror.gcr.io\nlocalhost:5001\n"),
		b.SetUser("myhost:5000", 7, "alice"), b.SetUser("myhost:5000", 8, "bob"), b.SetUser("myhost:5000", 8, ""),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "broken.io.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	b = open(t, dir)
	if l := b.List(); len(l) != 2 || l[0].Domain != "docker.io" || l[1].Domain != "myhost:5000" {
		t.Fatal(l)
	}
	r, _ := b.Find("myhost:5000")
	if !b.Insecure("myhost:5000") || b.Insecure("docker.io") || r.Insecure != "true\n" || len(r.Users) != 1 || r.Users[7] != "alice" {
		t.Error(r)
	}
	if m := b.Mirrors("docker.io"); len(m) != 2 || m[0] != "https://mirror.gcr.io" {
		t.Error(m)
	}
	if err := b.Remove("myhost:5000"); err != nil {
		t.Error(err)
	}
	if _, ok := open(t, dir).Find("myhost:5000"); ok {
		t.Error("it is still there")
	}
}

func TestRefusals(t *testing.T) {
	b := open(t, t.TempDir())
	add := func(domain string) error { _, err := b.Add(domain); return err }
	for what, c := range map[string]struct {
		err  error
		want Kind
	}{
		"a bare name":    {add("myhost"), Invalid},
		"an alias":       {add("index.docker.io"), Invalid},
		"a path":         {add("ghcr.io/acme"), Invalid},
		"nonsense":       {add("..:1"), Invalid},
		"white space":    {add("gh cr.io"), Invalid},
		"docker.io":      {add("docker.io"), Exists},
		"docker.io goes": {b.Remove("docker.io"), Fixed},
		"unknown":        {b.SetUser("ghcr.io", 0, "x"), NotFound},
		"unknown goes":   {b.Remove("ghcr.io"), NotFound},
		"insecure":       {b.SetInsecure("docker.io", "perhaps"), Invalid},
		"mirror":         {b.SetMirror("docker.io", "ftp://x"), Invalid},
	} {
		if c.err == nil || KindOf(c.err) != c.want {
			t.Errorf("%s: %v", what, c.err)
		}
	}
}
