package tests

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestStoreWithoutMapping has the store on a file system that cannot show its files under other ids. A container with
// users of its own does not start there, instead of having the host's; the sentence names the setting.
func TestStoreWithoutMapping(t *testing.T) {
	needs(t)
	m, err := trial("unmapped", func(m *mounted) error {
		for _, dir := range []string{"lower", "upper", "work", "store"} {
			if err := os.Mkdir(m.path(dir), 0o711); err != nil {
				return err
			}
		}
		// An overlay is one.
		return unix.Mount("hull-test", m.path("store"), "overlay", 0, "lowerdir="+m.path("lower")+",upperdir="+m.path("upper")+",workdir="+m.path("work"))
	}, "mkdir -p $I/true:1 && $I/true:1/wait")
	if m != nil {
		defer func() {
			if err := endOnDisk(m); err != nil {
				t.Error(err)
			}
		}()
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := m.shell("mkdir $I/true:1/containers/c")
	if err == nil || !strings.Contains(out, "peration not supported") {
		t.Errorf("%v, %s", err, out)
	}
	said, err := m.shell("cat error; ls containers")
	if err != nil || !strings.Contains(said, "config/userns") || strings.Contains(said, "\nc\n") {
		t.Error(errors.Join(err, errors.New(said)))
	}
}
