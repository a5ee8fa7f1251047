package monitor

import (
	"errors"
	"os"
	"testing"
	"time"
)

func isKind(err error, k Kind) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == k
}

// The end of a mount goes on when the monitor is killed that was asked for it, and whoever asks again hears how it went.
func TestEndingOutlivesMonitor(t *testing.T) {
	for _, mode := range []Ending{Stop, Leave} {
		t.Run(string(mode), func(t *testing.T) {
			r := newRig(t)
			r.await("up")
			r.start("web", "read x")
			for range 2 { // the next monitor may be killed too
				got := r.umount(mode)
				if m := r.await("stop"); m.ID != string(mode) {
					t.Fatalf("the daemon is asked to %s", m.ID)
				}
				r.killMonitor()
				if err := <-got; !isKind(err, Lost) {
					t.Errorf("umount: %v", err)
				}
				r.await("up")
				r.dial()
				r.must(&message{Op: "list"})
				if h := r.await("held"); h.ID != "web" {
					t.Fatalf("held: %+v", h)
				}
			}
			r.await("stop")
			got := r.umount(mode)
			r.say(&message{Op: "done"})
			if err := <-got; err != nil {
				t.Errorf("umount: %v", err)
			}
			if mode == Stop {
				r.gone()
			}
		})
	}
}

// An end that was refused is not taken up again.
func TestRefusedEndingIsOver(t *testing.T) {
	r := newRig(t)
	r.await("up")
	r.start("web", "read x")
	for range 2 {
		got := r.umount(Ask)
		r.await("stop")
		r.must(&message{Op: "done", Text: "web"})
		if err := <-got; !isKind(err, Busy) {
			t.Fatalf("umount: %v", err)
		}
		r.killMonitor()
		r.await("up")
		r.dial()
		r.must(&message{Op: "list"})
		r.await("held")
	}
}

// The end of a mount comes before an upgrade that has not come to its exchange.
func TestEndingBeforeUpgrade(t *testing.T) {
	program, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	loop, err := newLoop()
	if err != nil {
		t.Fatal(err)
	}
	defer loop.close()
	var answer *Error
	s := &server{
		o: Options{}.filled(), loop: loop, timers: map[*time.Timer]bool{}, mount: mount{wanted: true},
		upgrading: &upgrade{program: program, reply: func(e *Error) { answer = e }},
	}
	e := &ending{mode: Stop, reply: func(*Error) {}}
	s.end(e)
	s.cancel(e.bound)
	if s.upgrading != nil || s.ending != e || answer == nil || answer.Kind != Busy {
		t.Errorf("upgrading %v, ending %v, answer %v", s.upgrading, s.ending, answer)
	}
}
