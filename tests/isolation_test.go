package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestIsolationBesidePeers prints the table of tests/isolation.sh, and demands that hull is as strict as the strictest of
// the peers in every row, and as strict as it says in those that they do not have.
func TestIsolationBesidePeers(t *testing.T) {
	needs(t)
	bin := peers(t)
	v := newVictim(t)
	v.must(t, "mkdir -p $I/host:1 && $I/host:1/wait")
	script, err := filepath.Abs("isolation.sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", script, addr+"/host:1")
	cmd.Env = append(os.Environ(), "HULL="+v.path("hull"),
		// What podman raises by itself may not be raised here, and its own runtime takes no hybrid cgroups.
		"PODMAN=podman --runtime runc", "PODMAN_FLAGS=--tls-verify=false --cgroup-parent="+dockerd.cgroup()+" --ulimit nofile=1024:1024 --ulimit nproc=1024:1024",
		"PATH="+bin+":/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin")
	t.Cleanup(func() { conmonGone(t) })
	out := output(t, cmd)
	t.Log("\n" + out)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if want := "what\thull\tdocker\tpodman"; lines[0] != want {
		t.Fatalf("the table's heads are %q, not %q", lines[0], want)
	}
	rows := map[string][]string{}
	for _, l := range lines[1:] {
		f := strings.Split(l, "\t")
		rows[f[0]] = f[1:]
	}
	for what, f := range rows {
		if !asStrict(what, f[0], f[1:]) {
			t.Errorf("%s: hull has %q, and the others %q", what, f[0], f[1:])
		}
	}
	for what, want := range map[string]string{
		"no_new_privs": "1", "seccomp": "filter", "namespace user": "own", "namespace cgroup": "own", "namespace mnt": "own", "namespace pid": "own",
		"namespace net": "own", "namespace ipc": "own", "namespace uts": "own", "capabilities CapEff": "00000000800405fb",
		"capabilities CapBnd": "00000000800405fb", "capabilities CapInh": "0000000000000000", "capabilities CapAmb": "0000000000000000",
		"devices": "full null random tty urandom zero", "most processes": "2048", "mount /proc/sys": "nodev noexec nosuid ro",
		"mknod /tmp/probe c 1 3": "refused", "mount -t tmpfs none /tmp": "refused", "hostname evil": "refused",
	} {
		f := rows[what]
		if f == nil {
			t.Errorf("there is no row %q", what)
			continue
		}
		if got := wordsInOrder(f[0]); got != wordsInOrder(want) {
			t.Errorf("%s: hull has %q, want %q", what, got, want)
		}
	}
}

// conmonGone removes the cgroups in which podman has its monitors, which end a little later than what they are for.
func conmonGone(t *testing.T) {
	deadline := time.Now().Add(patience)
	for _, pattern := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		groups, err := filepath.Glob(pattern + dockerd.cgroup() + "/conmon")
		if err != nil {
			t.Error(err)
		}
		for _, g := range groups {
			for err := unix.Rmdir(g); err != nil; err = unix.Rmdir(g) {
				if time.Now().After(deadline) {
					t.Errorf("%s: %v", g, err)
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		}
	}
}

// asStrict compares one row of the table.
func asStrict(what, own string, others []string) bool {
	for _, other := range others {
		switch kind, rest, _ := strings.Cut(what, " "); kind {
		case "namespace":
			if other == "own" && own != "own" {
				return false
			}
		case "capabilities":
			ours, err := strconv.ParseUint(own, 16, 64)
			theirs, otherErr := strconv.ParseUint(other, 16, 64)
			if err != nil || otherErr == nil && ours&^theirs != 0 {
				return false
			}
		case "sees":
			if other == "hidden" && own == "shown" {
				return false
			}
		case "mount":
			for f := range strings.FieldsSeq(other) { // of what is mounted, less may be done
				if rest[0] == '/' && f != "rw" && own != "" && !slices.Contains(strings.Fields(own), f) {
					return false
				}
			}
			fallthrough
		case "write", "mknod", "hostname":
			if other == "refused" && own != "refused" && own != "absent" {
				return false
			}
		}
	}
	return true
}

func wordsInOrder(words string) string {
	return strings.Join(slices.Sorted(strings.FieldsSeq(words)), " ")
}
