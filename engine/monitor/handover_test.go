package monitor

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// killMonitor kills the parent of the daemon that spoke last.
func (r *rig) killMonitor() {
	r.Helper()
	if err := unix.Kill(r.monitorPID(), unix.SIGKILL); err != nil {
		r.Fatal(err)
	}
}

// dial connects to whatever monitor serves the run directory now.
func (r *rig) dial() {
	r.Helper()
	_ = r.control.Close()
	for by := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		var err error
		if r.control, err = Dial(r.context(), r.run); err == nil {
			return
		}
		if time.Now().After(by) {
			r.Fatal(err)
		}
	}
}

// upgrade has the monitor execute this test's own program in its place.
func (r *rig) upgrade() {
	r.Helper()
	program, err := os.Open("/proc/self/exe")
	if err != nil {
		r.Fatal(err)
	}
	defer func() { _ = program.Close() }()
	if err := r.control.Upgrade(r.context(), program, []byte("monitor")); err != nil {
		r.Fatal(err)
	}
}

// TestHandOver has a container that writes, one with a terminal, a session and somebody attached go on with another
// monitor: after one that was killed, several times, and after one that executed another program.
func TestHandOver(t *testing.T) {
	changes := map[string]func(*rig){
		"killed":   (*rig).killMonitor,
		"upgraded": (*rig).upgrade,
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) { testHandOver(t, change) })
	}
}

func testHandOver(t *testing.T, change func(*rig)) {
	r := newRig(t)
	r.await("up")
	goOn := filepath.Join(r.run, "go-on")
	dir := r.start("writer", "i=0; while test $i -lt 20000; do i=$((i+1)); echo line-$i; done; until test -e "+goOn+"; do sleep 0.02; done; echo last; exit 7")
	near := r.attach("writer")
	r.must(&message{Op: "start", ID: "tty", Dir: dir, Mode: "tty", Text: "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done"})
	statusNear, far, err := NewStatus()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = statusNear.Close() }()
	m := &message{Op: "session", ID: "writer", Key: "first", Report: true, Payload: []byte("label"), Text: "until test -e " + goOn + "; do sleep 0.02; done; exit 3"}
	m.put(slotStatus, far)
	r.must(m)
	_ = far.Close()
	for range 3 {
		change(r)
		r.await("up")
		r.dial()
		r.must(&message{Op: "list"})
		held := map[string]bool{}
		for range 3 {
			held[r.await("held").ID] = true
		}
		if !held["writer"] || !held["tty"] || !held["writer/first/label"] {
			t.Fatalf("held: %v", held)
		}
	}
	r.start("later", "exit 0") // the new monitor's own child
	if x := r.await("exit").Exit; x.ID != "later" || x.Code != 0 {
		t.Fatalf("exit: %+v", x)
	}
	if err := os.WriteFile(goOn, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s := r.status(statusNear); s.Code != 3 {
		t.Errorf("the session's status: %+v", s)
	}
	exits := map[string]*Exit{}
	for range 2 {
		x := r.await("exit").Exit
		exits[x.ID+x.Session] = x
	}
	if x := exits["writer"]; x == nil || x.Code != 7 || x.Unknown {
		t.Errorf("writer's exit: %+v", x)
	}
	if x := exits["writerfirst"]; x == nil || x.Code != 3 {
		t.Errorf("the session's exit: %+v", x)
	}
	if x, err := ReadExit(dir); err != nil || x.Code != 7 {
		t.Errorf("the record: %+v, %v", x, err)
	}
	r.must(&message{Op: "forget", ID: "writer"})
	if s := r.status(near); s.Code != 7 {
		t.Errorf("the attached one's status: %+v", s)
	}
	checkLines(t, r.file(filepath.Join(dir, "log")))
}

func checkLines(t *testing.T, log string) {
	t.Helper()
	n := 0
	for _, line := range lines(log) {
		if line = strings.TrimSuffix(line, "\r"); line == "ready" || line == "last" {
			continue
		}
		if n++; line != fmt.Sprintf("line-%d", n) {
			t.Fatalf("line %d of the log is %q", n, line)
		}
	}
	if n != 20000 {
		t.Errorf("the log has %d lines", n)
	}
}
