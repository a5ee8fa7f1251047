package credentials

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hull/layers/registry"
	"hull/tests/need"
)

// The ids of somebody whom the machine does not know.
const strangerUID, strangerGID, strangerGroup = 51234, 51235, 51236

// stranger is another user, with a home that is that user's own. Needs root.
func stranger(t *testing.T) User {
	t.Helper()
	need.Root(t, "it acts for others")
	// Not t.TempDir, which nobody else can enter.
	top, err := os.MkdirTemp("", "credentials-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	u := User{UID: strangerUID, GID: strangerGID, Groups: []uint32{strangerGroup}, Home: filepath.Join(top, "home"), Runtime: filepath.Join(top, "home")}
	if err := os.Chmod(top, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(u.Home, 0o700); err != nil {
		t.Fatal(err)
	}
	u.own(t)
	return u
}

// own gives all in the user's home to the user.
func (u User) own(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(u.Home, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(u.UID), int(u.GID))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestOther acts for another user: with that user's ids, whose files they are.
func TestOther(t *testing.T) {
	u := stranger(t)
	if _, err := Store(t.Context(), u, "ghcr.io", alice); err != nil {
		t.Fatal(err)
	}
	if got, err := Get(t.Context(), u, "ghcr.io"); err != nil || got != alice {
		t.Error(got, err)
	}
	cmd := exec.Command("stat", "-c", "%u:%g %a", u.file())
	if out, err := cmd.Output(); err != nil || strings.TrimSpace(string(out)) != fmt.Sprintf("%d:%d 600", strangerUID, strangerGID) {
		t.Errorf("the file is %s, %v", out, err)
	}
	if err := Erase(t.Context(), u, "ghcr.io"); err != nil {
		t.Error(err)
	}
	u.install(t, "who", `{ id -u; id -g; id -G; grep -i '^Cap[PE]' /proc/self/status; ls /proc/self/fd | wc -w; } > "$HOME/who"
		echo '{"Username":"a","Secret":"b"}'`)
	u.configure(t, `{"credsStore":"who"}`)
	u.own(t)
	if _, err := Get(t.Context(), u, "ghcr.io"); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%d\n%d\n%d %d\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n4\n", strangerUID, strangerGID, strangerGID, strangerGroup)
	if got := read(t, filepath.Join(u.Home, "who")); got != want {
		t.Errorf("a helper runs as\n%s\nwant\n%s", got, want)
	}
}

// TestOtherReachesNothing has users who place links to what is not theirs.
func TestOtherReachesNothing(t *testing.T) {
	u := stranger(t)
	secret := filepath.Join(t.TempDir(), "secret.json")
	write(t, secret, `{"auths":{"ghcr.io":{"auth":"cm9vdDpzM2NyZXQ="}}}`)
	if err := os.Mkdir(filepath.Dir(u.file()), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, u.file()); err != nil {
		t.Fatal(err)
	}
	u.own(t)
	before := read(t, secret)
	_, err := Get(t.Context(), u, "ghcr.io")
	failure(t, err, Denied)
	_, err = Store(t.Context(), u, "ghcr.io", alice)
	failure(t, err, Denied)
	failure(t, Erase(t.Context(), u, "ghcr.io"), Denied)
	if read(t, secret) != before {
		t.Error("it was written to")
	}
	// Root's file in the user's home.
	os.Remove(u.file())
	write(t, u.file(), before)
	_, err = Get(t.Context(), u, "ghcr.io")
	failure(t, err, Denied)
	// A home that the user may not write to.
	os.RemoveAll(filepath.Dir(u.file()))
	if err := os.Chown(u.Home, 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(u.Home, 0o755); err != nil {
		t.Fatal(err)
	}
	_, err = Store(t.Context(), u, "ghcr.io", alice)
	failure(t, err, Denied)
	if got, err := Get(t.Context(), u, "ghcr.io"); err != nil || got != (registry.Credential{}) {
		t.Error(got, err)
	}
}

// TestAsOther runs this package's tests of a user's own logins as that user, and
// that one user can not act for another.
func TestAsOther(t *testing.T) {
	if os.Getenv("HULL_TEST_STRANGER") != "" {
		_, err := Get(t.Context(), User{UID: 1, GID: 1, Home: "/"}, "ghcr.io")
		failure(t, err, Denied)
		return
	}
	u := stranger(t)
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		t.Skip("setpriv is not installed")
	}
	binary := filepath.Join(filepath.Dir(u.Home), "tests")
	copyFile(t, "/proc/self/exe", binary)
	cmd := exec.Command(setpriv, fmt.Sprintf("--reuid=%d", u.UID), fmt.Sprintf("--regid=%d", u.GID), "--clear-groups",
		binary, "-test.run", "^(TestAsOther|TestRoundTrip|TestHelper)$")
	cmd.Dir = u.Home
	cmd.Env = []string{"HULL_TEST_STRANGER=1", "PATH=/usr/bin:/bin", "TMPDIR=" + u.Home}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
}
