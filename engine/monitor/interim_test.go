package monitor

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
)

// gap is two containers, one of which has a terminal, whose monitor was killed; the daemon of the next has not yet asked
// for what there is.
func gap(t *testing.T) (r *rig, goOn string) {
	t.Helper()
	r = newRig(t)
	r.await("up")
	goOn = filepath.Join(r.run, "go-on")
	dir := r.start("writer", "echo first; until test -e "+goOn+"; do sleep 0.02; done; echo last; exit 7")
	r.must(&message{Op: "start", ID: "tty", Dir: dir, Mode: "tty", Text: "until test -e " + goOn + "; do sleep 0.02; done; exit 5"})
	r.killMonitor()
	r.await("up")
	return r, goOn
}

// whole wants both to be there, and to end as they are to.
func (r *rig) whole(goOn string) {
	r.Helper()
	r.dial()
	r.must(&message{Op: "list"})
	held := map[string]bool{}
	for range 2 {
		held[r.await("held").ID] = true
	}
	if !held["writer"] || !held["tty"] {
		r.Fatalf("held: %v", held)
	}
	if err := os.WriteFile(goOn, nil, 0o600); err != nil {
		r.Fatal(err)
	}
	codes := map[string]int{}
	for range 2 {
		x := r.await("exit").Exit
		codes[x.ID] = x.Code
	}
	if codes["writer"] != 7 || codes["tty"] != 5 { // hung up, it would have been killed
		r.Errorf("exits: %v", codes)
	}
}

// A monitor that follows another may be killed before its daemon has anything, and so may those after it.
func TestKilledAgain(t *testing.T) {
	r, goOn := gap(t)
	for range 3 {
		r.killMonitor()
		r.await("up")
	}
	r.whole(goOn)
}

// That daemon may be killed too: then the monitor has everything, and the interim still.
func TestDaemonKilledThenMonitor(t *testing.T) {
	r, goOn := gap(t)
	r.killDaemon()
	r.await("up")
	r.killMonitor()
	r.await("up")
	r.whole(goOn)
}

// The interim may be killed: the daemon has everything a moment later.
func TestInterimKilled(t *testing.T) {
	r, goOn := gap(t)
	pidfd, ok := r.interim()
	if !ok {
		t.Fatal("there is no interim")
	}
	if err := unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0); err != nil {
		t.Fatal(err)
	}
	r.awaitDeath(pidfd)
	r.must(&message{Op: "list"})
	for range 2 {
		r.await("held")
	}
	r.killMonitor()
	r.await("up")
	r.whole(goOn)
}

// It is gone when the daemon has everything.
func TestInterimEnds(t *testing.T) {
	r, goOn := gap(t)
	pidfd, ok := r.interim()
	if !ok {
		t.Fatal("there is no interim")
	}
	r.whole(goOn)
	r.awaitDeath(pidfd)
}

// interim is the process that has started the monitor.
func (r *rig) interim() (pidfd int, ok bool) {
	r.Helper()
	stat, err := sys.ReadStat(r.monitorPID())
	if err != nil {
		r.Fatal(err)
	}
	pidfd, err = unix.PidfdOpen(stat.Parent, 0)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = unix.Close(pidfd) })
	env, err := os.ReadFile("/proc/" + itoa(stat.Parent) + "/environ")
	if err != nil {
		r.Fatal(err)
	}
	return pidfd, bytes.Contains(env, []byte(roleVar+"=interim\x00"))
}
