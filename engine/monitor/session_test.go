package monitor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/logs"
)

// session starts a session and gives the near end of its status socket.
func (r *rig) session(m *message) *os.File {
	r.Helper()
	near, far, err := NewStatus()
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = near.Close() })
	m.Op, m.Report = "session", true
	m.put(slotStatus, far)
	r.must(m)
	_ = far.Close()
	return near
}

// awaitExit waits for the exit of a session, or of who was attached.
func (r *rig) awaitExit(key string) *Exit {
	r.Helper()
	for {
		if e := r.await("exit").Exit; e.Session == key {
			return e
		}
	}
}

func (r *rig) awaitFile(path string) {
	r.Helper()
	for {
		if _, err := os.Stat(path); err == nil {
			return
		}
		if time.Now().After(r.by) {
			r.Fatalf("%s never appears", path)
		}
		time.Sleep(time.Millisecond)
	}
}

// Whoever waited for a session goes, and so it is hung up, with all of its process group; no daemon is needed for that.
// The container, and another session, go on.
func TestHangUp(t *testing.T) {
	r := newRig(t)
	r.await("up")
	r.start("web", "read x")
	mark, child, other := filepath.Join(r.run, "mark"), filepath.Join(r.run, "child"), filepath.Join(r.run, "other")
	near := r.session(&message{ID: "web", Key: "1", Text: "(trap 'echo gone > " + child + "; exit' HUP; touch " + child + ".up; while :; do sleep 0.05; done) & trap 'exit 5' HUP; touch " + mark + "; while :; do sleep 0.05; done"})
	r.session(&message{ID: "web", Key: "2", Text: "touch " + other + "; exec sleep 1000"})
	for _, name := range []string{mark, child + ".up", other} {
		r.awaitFile(name)
	}
	_ = near.Close()
	if e := r.awaitExit("1"); e.Code != 5 || e.ID != "web" {
		t.Errorf("exit %+v, want 5", e)
	}
	r.awaitFile(child)
	r.must(&message{Op: "list"})
	for _, want := range []string{"web", "web/2/"} {
		if held := r.await("held"); held.ID != want || held.Exit != nil {
			t.Errorf("held %q %+v, want %s", held.ID, held.Exit, want)
		}
	}
	r.must(&message{Op: "signal", ID: "web", Key: "2", Signal: int(unix.SIGTERM)})
	if e := r.awaitExit("2"); e.Signal != int(unix.SIGTERM) {
		t.Errorf("exit %+v, want SIGTERM's", e)
	}
	r.must(&message{Op: "signal", ID: "web", Key: "2", Signal: 9}) // it is over: no error
	r.must(&message{Op: "hang-up", ID: "web", Key: "2"})
}

// One that does not care is killed.
func TestHangUpInsists(t *testing.T) {
	r := newRig(t, "HULL_HANG_UP_WITHIN=10ms")
	r.await("up")
	r.start("web", "read x")
	mark := filepath.Join(r.run, "mark")
	near := r.session(&message{ID: "web", Key: "1", Text: "trap '' HUP; touch " + mark + "; while :; do sleep 0.05; done"})
	r.awaitFile(mark)
	r.must(&message{Op: "hang-up", ID: "web", Key: "1"})
	if s := r.status(near); s.Signal != int(unix.SIGKILL) {
		t.Errorf("status %+v, want SIGKILL's", s)
	}
}

// The next daemon is told what goes on in containers, by the labels that the last one gave it.
func TestSessionsOutliveDaemon(t *testing.T) {
	r := newRig(t)
	r.await("up")
	r.start("web", "read x")
	near := r.session(&message{ID: "web", Key: "1", Payload: []byte("label"), Text: "exec sleep 1000"})
	m, who := r.attachment("web", "2", nil)
	m.Payload = []byte("attached")
	r.must(m)
	r.killDaemon()
	r.await("up")
	r.must(&message{Op: "list"})
	for _, want := range []string{"web", "web/1/label", "web/2/attached"} {
		if held := r.await("held"); held.ID != want {
			t.Errorf("held %q, want %s", held.ID, want)
		}
	}
	_ = who.Close()
	if e := r.awaitExit("2"); e.Code != 0 {
		t.Errorf("exit %+v", e)
	}
	r.must(&message{Op: "signal", ID: "web", Key: "1", Signal: 15})
	if s := r.status(near); s.Signal != 15 {
		t.Errorf("status %+v", s)
	}
}

// attachment makes the message that attaches somebody, and gives the near end of the status socket.
func (r *rig) attachment(id, key string, keys *os.File) (*message, *os.File) {
	r.Helper()
	near, far, err := NewStatus()
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _, _ = near.Close(), far.Close() })
	m := &message{Op: "attach", ID: id, Key: key}
	m.put(slotStatus, far)
	m.put(slotKeys, keys)
	return m, near
}

// terminal starts a container on a terminal.
func (r *rig) terminal(id, command string) (dir string) {
	r.Helper()
	dir = filepath.Join(r.run, id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		r.Fatal(err)
	}
	r.must(&message{Op: "start", ID: id, Dir: dir, Text: command, Mode: "tty"})
	return dir
}

// typist attaches somebody who types, and gives where and the status socket.
func (r *rig) typist(id, key string) (keys, near *os.File) {
	r.Helper()
	reading, writing, err := os.Pipe()
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = writing.Close() })
	m, near := r.attachment(id, key, reading)
	r.must(m)
	_ = reading.Close()
	return writing, near
}

// Several type on one terminal, and set its size; a size that was set before something was typed is there before it.
func TestTyping(t *testing.T) {
	r := newRig(t)
	r.await("up")
	dir := r.terminal("web", "stty -echo; echo ready; read a; stty size; read b; echo $a $b; exit 3")
	r.awaitOutput(dir, "ready\r\n")
	first, near := r.typist("web", "1")
	second, other := r.typist("web", "2")
	if err := Resize(near, 50, 132); err != nil {
		t.Fatal(err)
	}
	for _, at := range []struct {
		f    *os.File
		text string
		want string
	}{{first, "one\n", "ready\r\n50 132\r\n"}, {second, "two\n", "ready\r\n50 132\r\none two\r\n"}} {
		if _, err := at.f.WriteString(at.text); err != nil {
			t.Fatal(err)
		}
		r.awaitOutput(dir, at.want)
	}
	if e := r.awaitExit(""); e.Code != 3 {
		t.Errorf("exit %+v", e)
	}
	r.must(&message{Op: "forget", ID: "web"})
	for _, f := range []*os.File{near, other} {
		if s := r.status(f); s.Code != 3 {
			t.Errorf("status %+v", s)
		}
	}
}

// Who is attached can be made to leave, and the container goes on.
func TestMadeToLeave(t *testing.T) {
	r := newRig(t)
	r.await("up")
	dir := r.terminal("web", "stty -echo; echo ready; read a; echo $a")
	r.awaitOutput(dir, "ready\r\n")
	keys, near := r.typist("web", "1")
	if _, err := keys.WriteString("typed\n"); err != nil { // what was typed before counts
		t.Fatal(err)
	}
	r.must(&message{Op: "hang-up", ID: "web", Key: "1"})
	if s := r.status(near); !s.Left {
		t.Errorf("status %+v, want that it has left", s)
	}
	r.awaitExit("1")
	r.awaitOutput(dir, "ready\r\ntyped\r\n")
}

// Of who is made to leave a container that has just ended the daemon hears, too: it has asked for that.
func TestMadeToLeaveAfterTheEnd(t *testing.T) {
	r := newRig(t)
	r.await("up")
	r.terminal("web", "exit 3")
	m, near := r.attachment("web", "1", nil)
	r.must(m)
	if e := r.awaitExit(""); e.Code != 3 {
		t.Errorf("exit %+v", e)
	}
	r.must(&message{Op: "hang-up", ID: "web", Key: "1"})
	if s := r.status(near); !s.Left {
		t.Errorf("status %+v, want that it has left", s)
	}
	r.awaitExit("1")
}

// A container that does not read its terminal makes nobody wait but who types there; once it reads, it gets everything.
func TestTypingStalls(t *testing.T) {
	r := newRig(t)
	r.await("up")
	gate := filepath.Join(r.run, "gate")
	if err := unix.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	const size = 1 << 20
	dir := r.terminal("web", "stty raw -echo; echo ready; read x < "+gate+"; head -c "+itoa(size)+" | tr -d x | wc -c")
	r.awaitOutput(dir, "ready\n")
	keys, _ := r.typist("web", "1")
	typed := make(chan error, 1)
	go func() {
		_, err := keys.WriteString(strings.Repeat("x", size))
		typed <- err
	}()
	other := r.start("db", "echo hello; read x") // the monitor has time for others
	r.awaitOutput(other, "hello\n")
	select {
	case err := <-typed:
		t.Fatalf("a megabyte was typed for nobody: %v", err)
	default:
	}
	r.open(gate)
	r.awaitOutput(dir, "ready\n0\n")
	if err := <-typed; err != nil {
		t.Error(err)
	}
	if got := r.output(dir, logs.Stderr); got != "" {
		t.Errorf("stderr %q", got)
	}
}
