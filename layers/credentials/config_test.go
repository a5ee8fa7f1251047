package credentials

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestGetFromFile(t *testing.T) {
	const bob = "Ym9iOnB3" // bob:pw
	for name, a := range map[string]struct {
		text, domain string
		want         secret
		fails        bool
	}{
		"nothing":          {``, "ghcr.io", secret{}, false},
		"blank":            {" \n", "ghcr.io", secret{}, false},
		"null":             {`{"auths":null}`, "ghcr.io", secret{}, false},
		"none":             {`{"auths":{}}`, "ghcr.io", secret{}, false},
		"empty":            {`{"auths":{"ghcr.io":{}}}`, "ghcr.io", secret{}, false},
		"plain":            {`{"auths":{"ghcr.io":{"auth":"` + bob + `"}}}`, "ghcr.io", secret{User: "bob", Password: "pw"}, false},
		"hub":              {`{"auths":{"https://index.docker.io/v1/":{"auth":"` + bob + `"}}}`, "docker.io", secret{User: "bob", Password: "pw"}, false},
		"hub, Podman's":    {`{"auths":{"docker.io":{"auth":"` + bob + `"}}}`, "docker.io", secret{User: "bob", Password: "pw"}, false},
		"hub, both":        {`{"auths":{"docker.io":{"auth":"eDp5"},"https://index.docker.io/v1/":{"auth":"` + bob + `"}}}`, "docker.io", secret{User: "bob", Password: "pw"}, false},
		"address":          {`{"auths":{"https://ghcr.io/v2/":{"auth":"` + bob + `"}}}`, "ghcr.io", secret{User: "bob", Password: "pw"}, false},
		"upper case":       {`{"auths":{"GHCR.io":{"auth":"` + bob + `"}}}`, "ghcr.io", secret{User: "bob", Password: "pw"}, false},
		"part of it":       {`{"auths":{"ghcr.io/team":{"auth":"` + bob + `"}}}`, "ghcr.io", secret{}, false},
		"longer name":      {`{"auths":{"ghcr.io.evil.test":{"auth":"` + bob + `"}}}`, "ghcr.io", secret{}, false},
		"other port":       {`{"auths":{"ghcr.io:5000":{"auth":"` + bob + `"}}}`, "ghcr.io", secret{}, false},
		"split":            {`{"auths":{"a":{"username":"bob","password":"pw"}}}`, "a", secret{User: "bob", Password: "pw"}, false},
		"identity token":   {`{"auths":{"a":{"auth":"Ym9iOg==","identitytoken":"t"}}}`, "a", secret{User: "bob", IdentityToken: "t"}, false},
		"registry token":   {`{"auths":{"a":{"registrytoken":"t"}}}`, "a", secret{RegistryToken: "t"}, false},
		"padding":          {`{"auths":{"a":{"auth":"Ym9iOnB3AAA="}}}`, "a", secret{User: "bob", Password: "pw"}, false},
		"twice":            {`{"auths":{"a":{"auth":"eDp5"},"a":{"auth":"` + bob + `"}}}`, "a", secret{User: "bob", Password: "pw"}, false},
		"no colon":         {`{"auths":{"a":{"auth":"Ym9i"}}}`, "a", secret{}, true},
		"not base64":       {`{"auths":{"a":{"auth":"!"}}}`, "a", secret{}, true},
		"not JSON":         {`{"auths":`, "a", secret{}, true},
		"list":             {`[]`, "a", secret{}, true},
		"list of logins":   {`{"auths":[]}`, "a", secret{}, true},
		"login is a list":  {`{"auths":{"a":[]}}`, "a", secret{}, true},
		"login of another": {`{"auths":{"b":[]}}`, "a", secret{}, false},
		"helper's name":    {`{"credsStore":"../../../tmp/x"}`, "a", secret{}, true},
		"helper is number": {`{"credHelpers":{"a":5}}`, "a", secret{}, true},
		"file by helpers":  {`{"credsStore":"nosuch","credHelpers":{"a":""},"auths":{"a":{"auth":"` + bob + `"}}}`, "a", secret{User: "bob", Password: "pw"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "config.json")
			write(t, path, a.text)
			got, found, err := get(t.Context(), path, a.domain)
			if (err != nil) != a.fails || got != a.want || found != (a.want != secret{}) {
				t.Errorf("got %+v, %v, %v", struct{ secret }{got}, found, err)
			}
		})
	}
}

// TestKeepsTheRest stores and erases in a file with much else in it.
func TestKeepsTheRest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	write(t, path, `{"zeta": 1e400, "HttpHeaders":{"X":"<&>"},
  "auths":{"b":{"auth":"eDp5","email":"b@x","future":[1, 2]},"a":{"auth":"eDp5"}},
 "detachKeys":"ctrl-e,e","currentContext":"\u00e4","plugins":{"big":123456789012345678901234567890}}`)
	if _, err := store(t.Context(), path, "b", secret{User: "bob", Password: "pw"}); err != nil {
		t.Fatal(err)
	}
	if err := erase(t.Context(), path, "a"); err != nil {
		t.Fatal(err)
	}
	want := `{
	"zeta": 1e400,
	"HttpHeaders": {
		"X": "<&>"
	},
	"auths": {
		"b": {
			"auth": "Ym9iOnB3",
			"email": "b@x",
			"future": [
				1,
				2
			]
		}
	},
	"detachKeys": "ctrl-e,e",
	"currentContext": "\u00e4",
	"plugins": {
		"big": 123456789012345678901234567890
	}
}`
	if got := read(t, path); got != want {
		t.Errorf("the file is\n%s\nwant\n%s", got, want)
	}
	// What is not changed is not written.
	before, _ := os.Stat(path)
	if err := erase(t.Context(), path, "nosuch"); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.Stat(path); !os.SameFile(before, after) {
		t.Error("it was written for nothing")
	}
	// Docker's key takes the place of other names for the hub.
	if _, err := store(t.Context(), path, "docker.io", secret{User: "x", Password: "y"}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(read(t, path), hub, "index.docker.io", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := store(t.Context(), path, "docker.io", secret{User: "bob", Password: "pw"}); err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); strings.Count(got, "docker.io") != 1 || !strings.Contains(got, hub) {
		t.Errorf("the file is\n%s", got)
	}
	if info, _ := os.Stat(path); info.Mode() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

// TestLinks keeps symbolic links, as people have them to where they keep such files.
func TestLinks(t *testing.T) {
	for name, links := range map[string]map[string]string{
		"relative": {"home/config.json": "../dotfiles/docker.json"},
		"absolute": {"home/config.json": "%/dotfiles/docker.json"},
		"two":      {"home/config.json": "next", "home/next": "../dotfiles/docker.json"},
		"through":  {"home/config.json": "there/docker.json", "home/there": "../dotfiles"},
	} {
		for _, exists := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				root := t.TempDir()
				target := filepath.Join(root, "dotfiles", "docker.json")
				write(t, target, `{"a":1}`)
				if !exists {
					os.Remove(target)
				}
				os.Mkdir(filepath.Join(root, "home"), 0o700)
				for from, to := range links {
					if err := os.Symlink(strings.ReplaceAll(to, "%", root), filepath.Join(root, from)); err != nil {
						t.Fatal(err)
					}
				}
				path := filepath.Join(root, "home", "config.json")
				if _, err := store(t.Context(), path, "b", secret{User: "bob", Password: "pw"}); err != nil {
					t.Fatal(err)
				}
				if got := read(t, target); !strings.Contains(got, "Ym9iOnB3") || strings.Contains(got, `"a": 1`) != exists {
					t.Errorf("the target is %s", got)
				}
				if info, err := os.Lstat(path); err != nil || info.Mode()&os.ModeSymlink == 0 {
					t.Errorf("the link has become %v, %v", info.Mode(), err)
				}
			})
		}
	}
}

// TestNotAFile has other things in the place of the file.
func TestNotAFile(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"pipe":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"circle":    func(path string) error { return os.Symlink("config.json", path) },
		"device":    func(path string) error { return os.Symlink("/dev/zero", path) },
		"huge": func(path string) error {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				return err
			}
			return os.Truncate(path, maxFile+1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			u := resident(t)
			if err := os.Mkdir(filepath.Dir(u.file()), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := make(u.file()); err != nil {
				t.Fatal(err)
			}
			_, err := Get(t.Context(), u, "ghcr.io")
			failure(t, err, Malformed)
			_, err = Store(t.Context(), u, "ghcr.io", alice)
			failure(t, err, Malformed)
			failure(t, Erase(t.Context(), u, "ghcr.io"), Malformed)
		})
	}
	u := resident(t)
	write(t, filepath.Join(u.Home, ".docker"), "a file")
	_, err := Store(t.Context(), u, "ghcr.io", alice)
	failure(t, err, Malformed)
}

// FuzzConfig reads whatever may stand in the file, and demands that a login put
// in comes out again and that the rest stays.
func FuzzConfig(f *testing.F) {
	for _, s := range []string{
		``, `{}`, `{"auths":{}}`, `{"auths":{"a":{"auth":"eDp5","x":1}},"y":[{}]}`, `{"a":1,"a":2}`, `{"auths":null}`,
		`{"auths":{"a":null}}`, `{"credsStore":"x"}`, `{"\u0061uths":{}}`, `[]`, `{"auths":{"a":5}}`, "{\"\xff\":1}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c := &config{path: "config.json", all: &object{}}
		if json.Unmarshal(text, c.all) != nil {
			return
		}
		_, _ = c.helper("a")
		_, _, _ = c.login("a")
		before := len(c.all.members)
		if c.setLogin("a", secret{User: "bob", Password: "pw"}) != nil {
			return
		}
		again := &config{path: "config.json", all: &object{}}
		if err := json.Unmarshal(c.all.bytes(), again.all); err != nil {
			t.Fatalf("%q becomes %q", text, c.all.bytes())
		}
		got, found, err := again.login("a")
		if err != nil || !found || got.User != "bob" || got.Password != "pw" || len(again.all.members) < before {
			t.Errorf("%q becomes %q: %v", text, c.all.bytes(), err)
		}
	})
}
