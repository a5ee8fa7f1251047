package rootfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRewrite(t *testing.T) {
	nowhere := func(string) ([]string, bool) { return nil, false }
	// a/link leads to /x/y/z, as a process inside would see it.
	inside := func(path string) ([]string, bool) {
		if path == "/a/link/.." || path == "/link/.." {
			return []string{"x", "y"}, true
		}
		return nil, false
	}
	for _, c := range []struct {
		target, dir string
		resolve     func(string) ([]string, bool)
		want        string
	}{
		{"file", "", nowhere, "file"},
		{"file", "a/b", nowhere, "file"},
		{"./a/./b//c/", "a", nowhere, "./a/./b//c/"},
		{"../up", "a", nowhere, "../up"},
		{"../../up", "a/b", nowhere, "../../up"},
		{"/", "", nowhere, "."},
		{"/", "a/b", nowhere, "../.."},
		{"/etc/passwd", "", nowhere, "etc/passwd"},
		{"/etc/passwd", "usr/lib", nowhere, "../../etc/passwd"},
		{"//etc//passwd/", "usr", nowhere, "../etc/passwd/"},
		{"/../../etc", "a", nowhere, "../etc"},
		{"..", "", nowhere, "."},
		{"../../..", "a", nowhere, ".."},
		{"../../../../../../etc/shadow", "a/b", nowhere, "../../etc/shadow"},
		{"../etc/shadow", "", nowhere, "etc/shadow"},
		{"b/../../../../etc", "a", nowhere, "../etc"},
		{"b/..", "a", nowhere, "../a"},
		{"link/../file", "a", inside, "../x/y/file"},
		{"/link/../../file", "", nowhere, "file"},
		{"/link/..", "d/e", inside, "../../x/y"},
	} {
		var dir []string
		if c.dir != "" {
			dir = strings.Split(c.dir, "/")
		}
		if got := rewrite(c.target, dir, c.resolve); got != c.want {
			t.Errorf("%s in /%s: %s, not %s", c.target, c.dir, got, c.want)
		}
	}
}

// Whatever a target is, what is shown of it never climbs beyond the top, and no `..` comes after a name.
func FuzzRewrite(f *testing.F) {
	f.Add("../../x", "a", true)
	f.Add("/..//./a/../..", "a/b/c", false)
	f.Add("a/../../../../..", "", true)
	f.Fuzz(func(t *testing.T, target, path string, resolves bool) {
		if strings.ContainsRune(target+path, 0) {
			t.Skip()
		}
		var dir []string
		for name := range strings.SplitSeq(path, "/") {
			if name != "" && name != "." && name != ".." {
				dir = append(dir, name)
			}
		}
		shown := rewrite(target, dir, func(string) ([]string, bool) { return []string{"somewhere"}, resolves })
		if strings.HasPrefix(shown, "/") {
			t.Fatalf("%q in %q is shown as %q", target, dir, shown)
		}
		climbs, named := 0, false
		for p := range strings.SplitSeq(shown, "/") {
			switch p {
			case "", ".":
			case "..":
				climbs++
				if named || climbs > len(dir) {
					t.Fatalf("%q in %q is shown as %q", target, dir, shown)
				}
			default:
				named = true
			}
		}
	})
}

// hostile makes links that try to get out of a tree, at several depths, and gives their paths.
func hostile(t *testing.T, dir, secret string) []string {
	t.Helper()
	var links []string
	add := func(path, target string) {
		check(t, os.Symlink(target, filepath.Join(dir, path)))
		links = append(links, path)
	}
	deep := strings.Repeat("d/", 20) + "d"
	check(t, os.MkdirAll(filepath.Join(dir, deep), 0o755))
	check(t, os.Symlink("/"+deep, filepath.Join(dir, "down")))
	up := strings.Repeat("../", 40)
	add("absolute", secret)
	add("climbs", up+secret[1:])
	add("d/climbs", up+secret[1:])
	add(deep+"/climbs", up+secret[1:])
	add("through", "down/"+up+secret[1:])
	add("d/through", "../down/"+up+secret[1:])
	add("dots", "././d/.//../../"+up+secret[1:])
	add("missing", "missing/"+up+secret[1:])
	add("procfs", "/proc/self/root"+secret)
	// One inode at two depths: what is right for the deep name climbs too far for the other.
	check(t, os.Symlink(strings.Repeat("../", 21)+"x", filepath.Join(dir, deep, "twice")))
	check(t, unix.Linkat(unix.AT_FDCWD, filepath.Join(dir, deep, "twice"), unix.AT_FDCWD, filepath.Join(dir, "twice"), 0))
	links = append(links, deep+"/twice", "twice")
	return links
}

func TestLinksStayInside(t *testing.T) {
	shown, beneath, _ := writable(t)
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, secret, "secret")
	write(t, filepath.Join(beneath, "x"), "inside")
	write(t, filepath.Join(filepath.Dir(filepath.Dir(shown)), "x"), "secret") // just above the mount
	links := hostile(t, beneath, secret)
	for _, l := range links {
		path := filepath.Join(shown, l)
		if b, err := os.ReadFile(path); err == nil && string(b) != "inside" {
			t.Errorf("%s leads out: %q", l, b)
		}
		target, err := os.Readlink(path)
		check(t, err)
		if st, err := os.Lstat(path); err != nil || st.Size() != int64(len(target)) {
			t.Errorf("%s: the size is %d of a target of %d, %v", l, st.Size(), len(target), err)
		}
	}
	for _, l := range []string{"twice", strings.Repeat("d/", 21) + "twice"} {
		if b, err := os.ReadFile(filepath.Join(shown, l)); err != nil || string(b) != "inside" {
			t.Errorf("%s: %q, %v", l, b, err)
		}
	}
	if out := sh(t, shown, "find -L . -name secret -o -name shadow; find -L . -type f"); strings.Contains(out, "secret") {
		t.Error(out)
	}
	// A link that is moved here, with the kernel's tree, must show what is right for its new place.
	sh(t, shown, `mkdir -p m/n; mv d/climbs m/n/; test "$(readlink m/n/climbs)" = "../..`+secret+`"
mv m/n/climbs .; test "$(readlink climbs)" = "`+secret[1:]+`"
mv m/n .; ln -s /x n/abs; test "$(cat n/abs)" = inside; mkdir -p p/q/r; mv n p/q/r; test "$(cat p/q/r/n/abs)" = inside
mv p/q/r/n .; test "$(cat n/abs)" = inside`)
}

// A directory that the container moves must not move in the kernel's tree under somebody who stands in it: the `..` of
// the links there were counted for where it was.
func TestMovedBeneath(t *testing.T) {
	shown, beneath, _ := writable(t)
	check(t, os.MkdirAll(filepath.Join(beneath, "a/b/c"), 0o755))
	check(t, os.Symlink("/x", filepath.Join(beneath, "a/b/c/link")))
	write(t, filepath.Join(beneath, "x"), "inside")
	cwd, err := os.Open(filepath.Join(shown, "a/b/c"))
	check(t, err)
	defer cwd.Close()
	check(t, os.Rename(filepath.Join(beneath, "a/b/c"), filepath.Join(beneath, "c")))
	var old, now unix.Stat_t
	check(t, unix.Fstat(int(cwd.Fd()), &old))
	eventually(t, "c in its new place", func() bool { return unix.Lstat(filepath.Join(shown, "c"), &now) == nil })
	if now.Ino == old.Ino {
		t.Error("it is the same inode in both places")
	}
	if b, err := os.ReadFile(filepath.Join(shown, "c/link")); err != nil || string(b) != "inside" {
		t.Errorf("%q, %v", b, err)
	}
	if path, err := os.Readlink("/proc/self/fd/" + itoa(int(cwd.Fd()))); err != nil || strings.HasPrefix(path, filepath.Join(shown, "c")) {
		t.Errorf("who stood in it is now in %s, %v", path, err)
	}
}

func TestRenameOutOfTree(t *testing.T) {
	needRoot(t)
	one, two := t.TempDir(), t.TempDir()
	write(t, filepath.Join(one, "file"), "content")
	at, _ := mount(t, map[string]*lender{"one": {dir: one}, "two": {dir: two}})
	if err := os.Rename(filepath.Join(at, "one/file"), filepath.Join(at, "two/file")); err == nil {
		t.Error("a rename from one tree to another")
	}
	if err := os.Rename(filepath.Join(at, "one/file"), filepath.Join(at, "file")); err == nil {
		t.Error("a rename out of a tree")
	}
	sh(t, at, `mv one/file two/; test "$(cat two/file)" = content; ! test -e one/file`)
}
