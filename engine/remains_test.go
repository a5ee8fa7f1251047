package engine

import (
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// namespace is something that can be told from whether anybody has it open still, as a network namespace is.
func namespace(t *testing.T, w *world) (has func() bool) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeAll(read, write) })
	w.launch.network = write
	return func() bool {
		fds := []unix.PollFd{{Fd: int32(read.Fd()), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, 0); err != nil {
			t.Error(err)
		}
		return fds[0].Revents&unix.POLLHUP == 0
	}
}

// What a run leaves to the kernel stays until all is quiet, and then goes.
func TestRemains(t *testing.T) {
	w := warmWorld(t, 1)
	has := namespace(t, w)
	w.create("web", "sleep", true)
	w.launch.network.Close()
	group := w.groupOf("web")
	w.ok(w.e.Stop(t.Context(), "web", 0))
	w.until("the cgroup is gone", func() bool { return !slices.Contains(w.in(), group) })
	w.until("the namespace is gone", func() bool { return !has() })
}

// It stays as long as there is no quiet, but for what the next run needs; the end of the engine takes all.
func TestRemainsWithoutQuiet(t *testing.T) {
	w := restlessWorld(t, 1)
	has := namespace(t, w)
	w.create("web", "sleep", true)
	w.launch.network.Close()
	w.launch.network = nil
	group := w.groupOf("web")
	w.ok(w.e.Stop(t.Context(), "web", 0))
	w.ok(w.e.Start(t.Context(), "web"))
	if !slices.Contains(w.in(), group) || !has() {
		t.Errorf("of %s and the namespace are left: %v, %v", group, w.in(), has())
	}
	w.create("own", "sleep", false)
	w.ok(w.e.Set(t.Context(), "own", "userns", "host")) // no process is made beforehand for it
	w.ok(w.e.Start(t.Context(), "own"))
	own := w.groupOf("own")
	if c, _ := w.e.Find("own"); own != c.ID {
		t.Errorf("the cgroup is called %s", own)
	}
	w.ok(w.e.Stop(t.Context(), "own", 0))
	if slices.Contains(w.in(), own) {
		t.Errorf("a cgroup of the container's name is left: %v", w.in())
	}
	w.ok(w.e.Remove(t.Context(), "own", true))
	w.ok(w.e.Stop(t.Context(), "web", 0))
	w.ok(w.e.Close())
	if left := w.in(); len(left) > 0 || has() {
		t.Errorf("left are the cgroups %v; the namespace: %v", left, has())
	}
}
