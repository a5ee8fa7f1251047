package tests

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// patience is how long anything awaited may take on a loaded machine.
const patience = 60 * time.Second

type mountKey struct{}

func of(ts *testscript.TestScript) *mounted {
	return ts.Value(mountKey{}).(*mounted)
}

// cmdMount runs `hull mount --background [FLAGS…]` on the script's directories
// and goes there.
func cmdMount(ts *testscript.TestScript, neg bool, args []string) {
	m := of(ts)
	err := ts.Exec(hull, m.mountArgs(args)...)
	if neg {
		if err == nil {
			ts.Fatalf("mount succeeded")
		}
		return
	}
	ts.Check(err)
	ts.Check(ts.Chdir(m.path("hull")))
}

// cmdUmount runs `hull umount [FLAGS…]`.
func cmdUmount(ts *testscript.TestScript, neg bool, args []string) {
	m := of(ts)
	if !neg {
		ts.Check(ts.Chdir("/"))
	}
	err := ts.Exec(hull, m.umountArgs(args)...)
	switch {
	case neg && err == nil:
		ts.Fatalf("umount succeeded")
	case !neg:
		ts.Check(err)
	}
}

// cmdShell runs one line of shell.
func cmdShell(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: sh 'COMMAND LINE'")
	}
	err := ts.Exec("sh", "-c", args[0])
	switch {
	case neg && err == nil:
		ts.Fatalf("succeeded")
	case !neg && err != nil:
		ts.Fatalf("failed: %v", err)
	}
}

// cmdAwait repeats a line of shell until it succeeds.
func cmdAwait(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: await 'COMMAND LINE'")
	}
	deadline := time.Now().Add(patience)
	for {
		err := ts.Exec("sh", "-c", args[0])
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("not within %v: %v", patience, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// cmdAs runs a line of shell as another user: as UID[:GID] 'LINE'.
func cmdAs(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: as UID[:GID] 'COMMAND LINE'")
	}
	uid, gid, found := strings.Cut(args[0], ":")
	if !found {
		gid = uid
	}
	err := ts.Exec("setpriv", "--reuid", uid, "--regid", gid, "--clear-groups", "sh", "-c", args[1])
	switch {
	case neg && err == nil:
		ts.Fatalf("succeeded")
	case !neg && err != nil:
		ts.Fatalf("failed: %v", err)
	}
}

// cmdCrash kills the daemon or the monitor of the script's mount, or both so that neither can start the other again. The
// daemon of a monitor that was killed gives its place to another: until it has ended, what is asked is answered by a tree
// that is about to go.
func cmdCrash(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: crash daemon|monitor|both")
	}
	m := of(ts)
	if args[0] == "both" {
		m.killAll()
		return
	}
	deadline := time.Now().Add(patience)
	for {
		if pids := m.role(args[0]); len(pids) > 0 {
			daemons := m.role("daemon")
			ts.Logf("kill -9 %d", pids[0])
			ts.Check(unix.Kill(pids[0], unix.SIGKILL))
			for slices.ContainsFunc(m.role("daemon"), func(pid int) bool { return args[0] == "monitor" && slices.Contains(daemons, pid) }) {
				if time.Now().After(deadline) {
					ts.Fatalf("the daemon of the monitor that was killed has not ended")
				}
				time.Sleep(5 * time.Millisecond)
			}
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("no %s runs", args[0])
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// cmdFault makes the in-process registry misbehave: fault REPOSITORY [FAULT [N]].
func cmdFault(ts *testscript.TestScript, _ bool, args []string) {
	reg := front(ts)
	switch len(args) {
	case 1:
		reg.set(args[0], "")
	case 2, 3:
		reg.set(args[0], strings.Join(args[1:], " "))
	default:
		ts.Fatalf("usage: fault REPOSITORY [FAULT [N]]")
	}
}

// cmdServed prints what the in-process registry was asked for in a repository
// since the last time: blobs (how many different ones were fetched), requests
// and bytes (of the one of which most was sent), uploads, mounts, manifests, refusals.
func cmdServed(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: served REPOSITORY")
	}
	ts.Check(ts.Exec("printf", "%s", front(ts).told(args[0])))
}

// front is what stands before the script's registry.
func front(ts *testscript.TestScript) *faulty {
	if f, ok := fronts.Load(ts.Getenv("REG")); ok {
		return f.(*faulty)
	}
	return reg
}

// fronts are those before other registries than the in-process one, by address.
var fronts sync.Map

// mounted is one script's hull.
type mounted struct{ base string }

// ground is where a hull of a test's own is to be mounted. What that leaves behind fails the test.
func ground(t testing.TB, name string) *mounted {
	t.Helper()
	base, err := os.MkdirTemp("", "hull-"+name+"-")
	if err != nil {
		t.Fatal(err)
	}
	m := &mounted{base: base}
	t.Cleanup(func() {
		for _, p := range m.end() {
			t.Errorf("left behind: %s", p)
		}
	})
	return m
}

func (m *mounted) mount(t testing.TB, flags ...string) {
	t.Helper()
	if out, err := exec.Command(hull, m.mountArgs(flags)...).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
}

func (m *mounted) path(name string) string { return m.base + "/" + name }

func (m *mounted) mountArgs(more []string) []string {
	theGuard.tell(m.base)
	args := []string{"mount", "--background", "--store", m.path("store"), "--run", m.path("run")}
	return append(append(args, more...), m.path("hull"))
}

func (m *mounted) umountArgs(more []string) []string {
	args := []string{"umount"} // the mount table tells which hull it is
	return append(append(args, more...), m.path("hull"))
}

// role finds this mount's processes of a role by their command line.
func (m *mounted) role(role string) []int {
	var out []int
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		b, err := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		if err != nil {
			continue
		}
		words := strings.Split(string(b), "\x00")
		if len(words) > 1 && words[1] == role && strings.Contains(string(b), m.base) {
			out = append(out, pid)
		}
	}
	return out
}

// end stops and unmounts what the script left, and says what then remains.
func (m *mounted) end() []string {
	var problems []string
	if m.isMounted() {
		out, err := exec.Command(hull, m.umountArgs([]string{"--stop"})...).CombinedOutput()
		if err != nil {
			problems = append(problems, fmt.Sprintf("a mount (%v: %s)", err, out))
			_ = unix.Unmount(m.path("hull"), unix.MNT_DETACH)
		}
	}
	deadline := time.Now().Add(patience)
	for _, role := range []string{"interim", "monitor", "daemon"} {
		for len(m.role(role)) > 0 {
			if time.Now().After(deadline) {
				problems = append(problems, fmt.Sprintf("a %s, pid %v", role, m.role(role)))
				for _, pid := range m.role(role) {
					_ = unix.Kill(pid, unix.SIGKILL)
				}
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	for _, g := range m.groups() {
		problems = append(problems, "a control group: "+g)
	}
	if m.isMounted() {
		problems = append(problems, "a mount in the host's table")
		_ = unix.Unmount(m.path("hull"), unix.MNT_DETACH)
	}
	problems = append(problems, m.strangeEvents()...)
	if err := os.RemoveAll(m.base); err != nil {
		problems = append(problems, err.Error())
	}
	return problems
}

// groups finds this hull's control groups, which are named after its store.
func (m *mounted) groups() []string {
	sum := sha256.Sum256([]byte(m.path("store")))
	var out []string
	for _, depth := range []string{"", "/*", "/*/*", "/*/*/*"} {
		found, _ := filepath.Glob("/sys/fs/cgroup" + depth + "/hull/" + hex.EncodeToString(sum[:6]))
		out = append(out, found...)
	}
	return out
}

func (m *mounted) isMounted() bool {
	b, err := os.ReadFile("/proc/self/mountinfo")
	return err == nil && strings.Contains(string(b), " "+m.path("hull")+" ")
}
