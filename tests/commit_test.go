package tests

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hull/tests/image"
)

// changes is what the containers do to their files. Everything they have touched gets
// one time, so that it is the same in both.
const changes = `
echo added > /etc/added; ln -s added /etc/sym; ln /etc/added /etc/hard; rm /etc/motd; chown 12:34 /etc/group; chmod 4711 /usr/bin/garbage
rm -r /var/log; mkdir /var/log; echo l > /var/log/l; rm /usr/bin/noexec; mkdir -m 1770 /usr/bin/noexec; echo x > /usr/bin/noexec/x
rm -r /tmp; echo file > /tmp; mv /usr/bin/od /usr/bin/moved; mkdir -p /srv/a/b/c; chown 65534:100 /srv/a/b; mknod /srv/fifo p; dd if=/dev/zero of=/srv/sparse bs=1 count=1 seek=1000000 2>/dev/null
echo appended >> /etc/passwd; ln /usr/bin/cat /usr/bin/cat2; rm /bin; ln -s usr/sbin /bin
for d in /etc /var /srv; do find $d -xdev -exec touch -hd @1700000000 {} + ; done 2>/dev/null
touch -hd @1700000000 / /bin /tmp /usr /usr/bin /usr/bin/moved /usr/bin/noexec /usr/bin/noexec/x /usr/bin/cat /usr/bin/garbage
exit 0
`

// TestLikeDocker does the same in a container of Docker's and one of hull's: what
// commit makes of them, and what export gives of them, is the same.
func TestLikeDocker(t *testing.T) {
	docker := docker(t)
	set, err := image.Set()
	if err != nil {
		t.Fatal(err)
	}
	at := dockerRegistry(t)
	if err := image.Push(at, map[string]any{"base:1": set["team/app:1"]}); err != nil {
		t.Fatal(err)
	}
	base := at + "/base:1"
	sh := mountHull(t)
	settings := []string{
		"-e", "MODE=changed", "-e", "MORE=a b", "-w", "/var", "-u", "0", "-l", "team=others", "-l", "new=1",
		"--entrypoint", "sh", "--stop-signal", "SIGINT", "-v", "/volume", "-v", "named:/named", "-p", "7070/udp", "--expose", "7071", "--name", "like-docker", base, "-c", changes,
	}
	docker("pull", "-q", base)
	docker(append([]string{"run", "--network", "none"}, settings...)...)
	sh("./pull " + base)
	sh("./run " + quoted(settings))

	docker("commit", "like-docker", "theirs:1")
	sh(`echo "commit ours:1" > containers/like-docker/ctl`)
	sh(`images/ours:1/save > $DIR/ours.tar`)
	docker("load", "-q", "-i", sh.dir()+"/ours.tar")
	if got, want := line(sh("cat images/ours:1/id")), line(docker("image", "inspect", "--format", "{{.Id}}", "ours:1")); got != want {
		t.Errorf("the image is %s here and %s there", got, want)
	}
	t.Run("config", func(t *testing.T) {
		for _, field := range []string{
			".Config.Env", ".Config.Cmd", ".Config.Entrypoint", ".Config.WorkingDir", ".Config.User", ".Config.Labels", ".Config.ExposedPorts",
			".Config.Volumes", ".Config.StopSignal", ".Config.OnBuild", ".Config.Healthcheck", ".Author", ".Comment", ".Os", ".Architecture", ".Variant", "len .RootFS.Layers",
		} {
			ask := func(image string) string {
				return line(docker("image", "inspect", "--format", "{{json ("+field+")}}", image))
			}
			ours, theirs := ask("ours:1"), ask("theirs:1")
			if field == ".Config.Env" { // Docker does not always keep the order in which they were given
				ours, theirs = sorted(t, ours), sorted(t, theirs)
			}
			if ours != theirs {
				t.Errorf("%s is %s, with Docker %s", field, ours, theirs)
			}
		}
		history := func(image string) string {
			return docker("history", "--no-trunc", "--format", "{{.CreatedBy}} | {{.Size}} | {{.Comment}}", image)
		}
		if ours, theirs := history("ours:1"), history("theirs:1"); ours != theirs {
			t.Errorf("the history is\n%swith Docker\n%s", ours, theirs)
		}
	})
	mounts := exception{
		why:   "what is made to mount on: of it Docker keeps what the container has touched",
		paths: ".dockerenv etc/mtab", forget: func(f *fields) { *f = fields{} },
	}
	t.Run("layer", func(t *testing.T) {
		ours, theirs := treeOf(t, overlay(t, dockerLayers(t, "ours:1"))), treeOf(t, overlay(t, dockerLayers(t, "theirs:1")))
		sameTree(t, ours, theirs, mounts)
		// And as hull unpacks what Docker has packed.
		docker("save", "-o", sh.dir()+"/theirs.tar", "theirs:1")
		store := openStore(t)
		f, err := os.Open(sh.dir() + "/theirs.tar")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := store.Load(t.Context(), f, 0); err != nil {
			t.Fatal(err)
		}
		sameTree(t, treeOf(t, viewed(t, store, "theirs:1")), theirs, mounts)
	})
	t.Run("again", func(t *testing.T) {
		sh(`echo "commit ours:2" > containers/like-docker/ctl`)
		layers := func(tag string) string {
			_, list, _ := strings.Cut(sh("cat images/ours:"+tag+"/manifest.json"), `"layers":`)
			return list
		}
		if one, two := layers("1"), layers("2"); one != two || one == "" {
			t.Errorf("committed twice, the layers are %s and %s", one, two)
		}
	})
	t.Run("history", func(t *testing.T) {
		sh(`echo ls > containers/like-docker/config/command; echo "commit ours:3" > containers/like-docker/ctl; images/ours:3/save > $DIR/ours.tar`)
		docker("load", "-q", "-i", sh.dir()+"/ours.tar")
		// How long ago it was made is told a moment later there, and makes the column as wide.
		fresh, wide := regexp.MustCompile(`(?m)^([0-9a-f]{12} +)(Less|About|[0-9]+) .*? ago +`), regexp.MustCompile(`  +`)
		timeless := func(s string) string { return wide.ReplaceAllString(fresh.ReplaceAllString(s, "$1"), "  ") }
		ours := timeless(sh("cat images/ours:3/history"))
		if theirs := timeless(docker("history", "ours:3")); ours != theirs || strings.Count(ours, "<missing>") != 4 {
			t.Errorf("it is\n%swith Docker\n%s", ours, theirs)
		}
		if ours, theirs := sh("cat images/"+base+"/history"), docker("history", base); ours != theirs {
			t.Errorf("it is\n%swith Docker\n%s", ours, theirs)
		}
	})
	t.Run("export", func(t *testing.T) {
		sh(`containers/like-docker/export > $DIR/ours-export.tar`)
		docker("export", "-o", sh.dir()+"/theirs-export.tar", "like-docker")
		sameTree(t, tarTree(t, sh.dir()+"/ours-export.tar"), tarTree(t, sh.dir()+"/theirs-export.tar"), exception{
			why:   "what they make to mount on; Docker exports more of it",
			paths: ".dockerenv dev dev/console dev/pts dev/shm etc/hostname etc/hosts etc/mtab etc/resolv.conf proc sys", forget: func(f *fields) { *f = fields{} },
		})
	})
	t.Run("runs", func(t *testing.T) {
		const look = "cat /etc/added /var/log/l; stat -c '%a %u:%g %n' /usr/bin/garbage /usr/bin/noexec; id -u; pwd; echo $MODE"
		args := []string{"--rm", "--network", "none", "ours:1", "-c", look}
		theirs := docker(append([]string{"run"}, args...)...)
		if ours := sh("./run --rm ours:1 -c " + quoted(args[5:])); ours != theirs || !strings.Contains(ours, "4711 0:0") {
			t.Errorf("it prints\n%swith Docker\n%s", ours, theirs)
		}
	})
}

// hullShell runs a line of shell in a mount of hull's.
type hullShell func(line string) string

// dir is a directory for what the lines write; they know it as $DIR.
func (sh hullShell) dir() string { return line(sh("echo $DIR")) }

// mountHull mounts hull as long as the test runs.
func mountHull(t testing.TB) hullShell {
	t.Helper()
	m := ground(t, "peers")
	if err := os.Mkdir(m.path("files"), 0o700); err != nil {
		t.Fatal(err)
	}
	output(t, exec.Command(hull, m.mountArgs(nil)...))
	return func(line string) string {
		t.Helper()
		cmd := exec.Command("sh", "-c", line)
		cmd.Dir = m.path("hull")
		cmd.Env = append(os.Environ(), "DIR="+m.path("files"))
		return output(t, cmd)
	}
}

// quoted is words for a shell.
func quoted(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
	}
	return strings.Join(out, " ")
}

func line(s string) string { return strings.TrimSuffix(s, "\n") }

// tarTree is what a tar file holds, as treeOf tells of a directory. Of the names of
// one file the first in order is the file.
func tarTree(t testing.TB, file string) tree {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out, links := tree{}, map[string]string{}
	r := tar.NewReader(f)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		name := strings.Trim(strings.TrimPrefix(h.Name, "./"), "/")
		if name == "" {
			name = "."
		}
		if h.Typeflag == tar.TypeLink {
			links[name] = h.Linkname
			continue
		}
		out[name] = tarFields(t, h, r)
	}
	for name, to := range links {
		had, ok := out[to]
		if !ok {
			t.Fatalf("%s: %q is a link to %q, which comes later or never", file, name, to)
		}
		had.linked = to
		out[name] = had
	}
	return out
}

func tarFields(t testing.TB, h *tar.Header, r io.Reader) fields {
	t.Helper()
	f := fields{
		mode: fmt.Sprintf("%04o", h.Mode&0o7777), owner: fmt.Sprintf("%d:%d", h.Uid, h.Gid),
		mtime: fmt.Sprintf("%d.%09d", h.ModTime.Unix(), h.ModTime.Nanosecond()), target: h.Linkname,
	}
	for kind, types := range map[uint32]string{
		unix.S_IFREG: "\x000", unix.S_IFDIR: "5", unix.S_IFLNK: "2", unix.S_IFIFO: "6", unix.S_IFCHR: "3", unix.S_IFBLK: "4",
	} {
		if strings.IndexByte(types, h.Typeflag) >= 0 {
			f.kind = kinds[kind]
		}
	}
	switch h.Typeflag {
	case tar.TypeReg:
		sum := sha256.New()
		if _, err := io.Copy(sum, r); err != nil {
			t.Fatal(err)
		}
		f.size, f.content = strconv.FormatInt(h.Size, 10), hex.EncodeToString(sum.Sum(nil)[:8])
	case tar.TypeChar, tar.TypeBlock:
		f.rdev = fmt.Sprintf("%d:%d", h.Devmajor, h.Devminor)
	}
	for key, value := range h.PAXRecords {
		if name, ok := strings.CutPrefix(key, "SCHILY.xattr."); ok {
			f.xattrs += fmt.Sprintf("%s:%x", name, value)
		}
	}
	return f
}

// sorted orders a list of texts in JSON.
func sorted(t *testing.T, list string) string {
	t.Helper()
	var texts []string
	if err := json.Unmarshal([]byte(list), &texts); err != nil {
		t.Fatalf("%v: %s", err, list)
	}
	slices.Sort(texts)
	return strings.Join(texts, "\n")
}
