package verb

import (
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/logs"
	"hull/fs/wire"
)

// frame is what came from the daemon.
type frame struct {
	kind  byte
	body  []byte
	files []*os.File
	err   error
}

// await shows what the daemon prints until it answers. Without an answer it gives the status to end with, or that the
// call may be made again.
//
// A signal that would end a program ends the call: the daemon is told, and has a second to say that it is undone. A
// second signal does not wait even for that. Input that cannot be read to its end is no end of it: that, too, ends the
// call.
func (h *helper) await() (a *wire.Answer, files []*os.File, status int, again bool) {
	frames := make(chan frame)
	left := make(chan struct{})
	defer close(left)
	go receive(h.conn, frames, left)
	h.segments = nil
	ended := h.ending
	h.ending = 0
	unread := false
	var late <-chan time.Time
	if ended != 0 {
		late = time.After(time.Second)
	}
	for {
		select {
		case f := <-frames:
			if f.err != nil {
				h.show.end()
				switch {
				case ended != 0:
					return nil, nil, statusSignal + int(ended), false
				case unread:
					return nil, nil, h.failing(), false
				}
				return nil, nil, h.failing(), h.lost()
			}
			if f.kind != wire.KindAnswer {
				h.print(f)
				continue
			}
			h.show.end()
			a, err := wire.DecodeAnswer(f.body)
			if err != nil || len(a.Roles) != len(f.files) {
				h.complain("the daemon's answer makes no sense")
				return nil, nil, h.failing(), false
			}
			if ended != 0 && len(a.Roles) == 0 {
				return nil, nil, statusSignal + int(ended), false
			}
			if unread {
				a.Sentence, a.Code = "", h.failing() // what it says is what came of that
			}
			return a, f.files, 0, false
		case err := <-h.unread:
			unread = true
			h.show.end()
			h.complain("the input cannot be read: " + err.Error())
			_ = h.tell(wire.KindSignal, wire.EncodeSignal(int(syscall.SIGHUP)))
		case s := <-h.signals:
			n, ends := ending(s)
			if !ends {
				continue
			}
			if ended != 0 {
				h.show.end()
				return nil, nil, statusSignal + int(n), false
			}
			ended, late = n, time.After(time.Second)
			_ = h.tell(wire.KindSignal, wire.EncodeSignal(int(n)))
		case <-late:
			h.show.end()
			return nil, nil, statusSignal + int(ended), false
		}
	}
}

// lost tells whether a call whose daemon has died may be made again: one that changes nothing, or joins what goes on.
// Of others nobody here knows how far they came.
func (h *helper) lost() (again bool) {
	if h.verb == "wait" || h.verb == "pull" || h.verb == "follow" {
		return true
	}
	h.complain("the daemon went away before it answered: see whether what you asked for was done")
	return false
}

// receive passes on what comes until the answer or an error, or until nobody listens.
func receive(conn *wire.Conn, to chan<- frame, left <-chan struct{}) {
	for {
		var f frame
		f.kind, f.body, f.files, f.err = conn.Receive(wire.MaxBody)
		select {
		case to <- f:
		case <-left:
			return
		}
		if f.err != nil || f.kind == wire.KindAnswer {
			return
		}
	}
}

// print shows a frame that is no answer.
func (h *helper) print(f frame) {
	switch f.kind {
	case wire.KindPrint:
		h.show.print(string(f.body))
	case wire.KindSegment:
		if n, err := wire.DecodeSegment(f.body); err == nil && len(f.files) == 2 {
			h.segments = append(h.segments, logs.Segment{Number: n, Log: f.files[0], Index: f.files[1]})
		}
	case wire.KindMeter:
		if m, err := wire.DecodeMeter(f.body); err == nil {
			h.show.meter(m.Done, m.Total)
		}
	}
}

// ending tells whether a signal ends a program that has not asked for it.
func ending(s os.Signal) (syscall.Signal, bool) {
	switch n, _ := s.(syscall.Signal); n {
	case syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM,
		syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM:
		return n, true
	case syscall.SIGTSTP:
		stop()
	}
	return 0, false
}

// stop stops the helper, as SIGTSTP would have if it were not listened for. It returns when the helper is continued: a
// signal to the thread itself acts before the call returns, one to the process might act a little later.
func stop() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.Tgkill(unix.Getpid(), unix.Gettid(), unix.SIGSTOP)
}
