package registry

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"hull/layers/reference"
)

// hashed is the password s3cret of alice, as htpasswd writes it.
const hashed = "alice:$2b$05$3b7QeuTIhQj3voKIfv8y7us9.sFHDhtxOLSRfhQ..tTpD00FCvhRO\n"

// debian runs Debian's docker-registry on a port of its own, which admits alice
// only, and returns its domain.
func debian(t *testing.T) string {
	t.Helper()
	binary, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Skip("docker-registry is not installed")
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "htpasswd"), []byte(hashed))
	write(t, filepath.Join(dir, "config.yml"), fmt.Appendf(nil, `version: 0.1
log: {level: info}
storage: {filesystem: {rootdirectory: %[1]s/data}}
http: {addr: "127.0.0.1:0"}
auth: {htpasswd: {realm: here, path: %[1]s/htpasswd}}
`, dir))
	cmd := exec.Command(binary, "serve", filepath.Join(dir, "config.yml"))
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	address := make(chan string)
	go func() { // ends with the process
		defer close(address)
		listening := regexp.MustCompile(`listening on (127\.0\.0\.1:[0-9]+)`)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				address <- m[1]
			}
		}
	}()
	domain, ok := <-address
	if !ok {
		t.Fatal("docker-registry does not start")
	}
	return domain
}

func named(t *testing.T, s string) reference.Reference {
	t.Helper()
	ref, err := reference.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// TestDebian has the server that most private registries run as the other end.
func TestDebian(t *testing.T) {
	domain := debian(t)
	alice := Credential{User: "alice", Password: "s3cret"}
	c := client(t, Options{Keychain: holding(alice)})
	p := fetchSample(t, newFake(t), client(t, Options{}), sample{repo: "app", tag: "1", layers: 3})
	t.Run("login", func(t *testing.T) {
		if kept, err := c.Login(t.Context(), domain, alice); err != nil || kept != alice {
			t.Error(err)
		}
		_, err := c.Login(t.Context(), domain, Credential{User: "alice", Password: "wr0ng"})
		failure(t, err, Denied)
		_, err = client(t, Options{}).Push(t.Context(), named(t, domain+"/team/app:1"), p.img, p.options())
		failure(t, err, Denied)
	})
	push := func(t *testing.T, to string, o PushOptions, want Stage) {
		t.Helper()
		p.events = nil
		target := named(t, domain+"/"+to)
		if _, err := c.Push(t.Context(), target, p.img, o); err != nil {
			t.Fatal(err)
		}
		if got := p.ends(); !slices.Equal(got, []Stage{want, want, want}) {
			t.Errorf("the layers end as %v", got)
		}
		p.there(t, c, target)
	}
	t.Run("push", func(t *testing.T) { push(t, "team/app:1", p.options(), Pushed) })
	t.Run("again", func(t *testing.T) { push(t, "team/app:2", p.options(), Present) })
	t.Run("mount", func(t *testing.T) {
		o := p.options()
		o.From = func(Layer) []string { return []string{"nosuch", "team/app"} }
		push(t, "mounted:1", o, Mounted)
	})
	t.Run("pieces", func(t *testing.T) {
		o := p.options()
		o.Chunk = 1000
		push(t, "pieces:1", o, Pushed)
	})
	t.Run("tags", func(t *testing.T) {
		got, err := c.Tags(t.Context(), named(t, domain+"/team/app"))
		slices.Sort(got)
		if err != nil || !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("%q, %v", got, err)
		}
		_, err = c.Tags(t.Context(), named(t, domain+"/nosuch"))
		failure(t, err, NotFound)
	})
	t.Run("search", func(t *testing.T) {
		got, err := c.Search(t.Context(), domain, "app", 0)
		if err != nil || len(got) != 1 || got[0].Name != "team/app" {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("skopeo", func(t *testing.T) { exchangeWith(t, c, p, domain) })
}

// exchangeWith has skopeo fetch what hull pushed, and bring it back for hull to
// fetch: the digests stay what they were.
func exchangeWith(t *testing.T, c *Client, p *pulled, domain string) {
	t.Helper()
	skopeo, err := exec.LookPath("skopeo")
	if err != nil {
		t.Skip("skopeo is not installed")
	}
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command(skopeo, append([]string{"--insecure-policy", "--tmpdir", dir}, args...)...)
		cmd.Env = append(os.Environ(), "HOME="+dir, "REGISTRY_AUTH_FILE="+filepath.Join(dir, "auth.json"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("skopeo %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	run("copy", "--src-tls-verify=false", "--src-creds=alice:s3cret", "docker://"+domain+"/team/app:1", "dir:"+dir+"/image")
	run("copy", "--dest-tls-verify=false", "--dest-creds=alice:s3cret", "dir:"+dir+"/image", "docker://"+domain+"/skopeo:1")
	p.there(t, c, named(t, domain+"/skopeo:1"))
}
