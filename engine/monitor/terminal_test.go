package monitor

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// stuff puts something into the pipe through which a terminal's output is being moved, where a monitor that is killed in
// the midst of that leaves it.
func (d *fakeDaemon) stuff(id, text string) error {
	d.client.kept.mu.Lock()
	defer d.client.kept.mu.Unlock()
	one := d.client.kept.containers[id]
	if one == nil {
		return fmt.Errorf("%s is not kept", id)
	}
	i := slices.Index(one.message.Slots, slotBetween)
	if i < 0 {
		return fmt.Errorf("nothing is kept of %s that lies between its terminal and its log", id)
	}
	_, err := unix.Write(one.fds[i], []byte(text))
	return err
}

// What a monitor was moving from a terminal to the log when it was killed is the next one's, before all else.
func TestTerminalHalfMoved(t *testing.T) {
	for name, change := range map[string]func(*rig){"killed": (*rig).killMonitor, "upgraded": (*rig).upgrade} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.await("up")
			dir := filepath.Join(r.run, "tty")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			end := filepath.Join(r.run, "end")
			r.must(&message{Op: "start", ID: "tty", Dir: dir, Mode: "tty", Text: "until test -e " + end + "; do sleep 0.02; done; echo last; exit 6"})
			for i := range 3 { // what the next one knows of it is handed over again
				r.must(&message{Op: "stuff", ID: "tty", Text: fmt.Sprintf("half %d\r\n", i)})
				change(r)
				r.await("up")
				r.dial()
				r.must(&message{Op: "list"})
				if h := r.await("held"); h.ID != "tty" {
					t.Fatalf("held: %+v", h)
				}
			}
			if err := os.WriteFile(end, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if x := r.await("exit").Exit; x.Code != 6 && !x.Unknown {
				t.Errorf("exit: %+v", x)
			}
			if log := r.file(filepath.Join(dir, "log")); log != "half 0\r\nhalf 1\r\nhalf 2\r\nlast\r\n" {
				t.Errorf("the log: %q", log)
			}
		})
	}
}

// Whenever monitors are killed, all that a terminal's container writes is in its log once and in order.
func TestTerminalOutlivesMonitors(t *testing.T) {
	r := newRig(t, "HULL_RESTART_WITHIN=1ms")
	r.await("up")
	dir := filepath.Join(r.run, "tty")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	end := filepath.Join(r.run, "end")
	r.must(&message{Op: "start", ID: "tty", Dir: dir, Mode: "tty", Text: "i=0; until test -e " + end + "; do i=$((i+1)); echo line-$i; done; echo last $i"})
	l := r.openLog(dir)
	for range 20 {
		r.awaitGrowth(l, 1)
		r.killMonitor()
		r.await("up")
		r.dial()
		r.must(&message{Op: "list"}) // from then on the daemon can make another
		if h := r.await("held"); h.ID != "tty" {
			t.Fatalf("held: %+v", h)
		}
	}
	if err := os.WriteFile(end, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var log string
	for by := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if log = r.file(filepath.Join(dir, "log")); strings.Contains(log, "last ") && strings.HasSuffix(log, "\n") {
			break
		}
		if time.Now().After(by) {
			t.Fatalf("the last line does not come, after %d bytes", len(log))
		}
	}
	got := lines(log)
	for i, line := range got[:len(got)-1] {
		if want := fmt.Sprintf("line-%d\r", i+1); line != want {
			t.Fatalf("line %d is %q", i+1, line)
		}
	}
	if want := fmt.Sprintf("last %d\r", len(got)-1); got[len(got)-1] != want {
		t.Errorf("the last line is %q, not %q", got[len(got)-1], want)
	}
}
