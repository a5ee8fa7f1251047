package probe

import (
	"context"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestProbe(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("HULL_TEST_PRIVILEGED") == "1" {
			t.Fatal("HULL_TEST_PRIVILEGED is 1, but this is not root")
		}
		t.Skip("needs root: it makes namespaces")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir := t.TempDir()
	for _, f := range Probe(ctx, dir) {
		t.Logf("%s (%s): %v", f.Name, f.Kernel, f.Err)
		if f.Needed && f.Err != nil {
			t.Errorf("%s: %v", f.Name, f.Err)
		}
		if f.Name == "" || f.Kernel == "" {
			t.Errorf("%+v", f)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
		t.Errorf("a process is left: %v", err)
	}
	for _, f := range Probe(ctx, "/nowhere") {
		if f.Name == "overlays in /nowhere" && f.Err == nil {
			t.Error("there are overlays in a directory that is not there")
		}
	}
}
