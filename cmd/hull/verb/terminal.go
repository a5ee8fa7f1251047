package verb

import (
	"sync"

	"golang.org/x/sys/unix"
)

func isTerminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
}

// terminal is the caller's, for which that of a command stands.
type terminal struct {
	fd     int
	tell   func(*unix.Winsize) // gives the command's terminal a size
	redraw bool                // the next size is to be seen as a change

	mu   sync.Mutex
	told unix.Winsize // the size that the command's terminal was given last
	keys bool         // what is typed goes to the command
	old  unix.Termios // what the terminal was
	set  unix.Termios // what enter made of it
	raw  bool
	over bool
}

// foreground tells whether the helper's job is the one that the terminal belongs to. One in the background must not
// change it: whoever is in the foreground, mostly a shell, would find it changed. A terminal that does not control the
// helper's session knows no jobs.
func (t *terminal) foreground() bool {
	group, err := unix.IoctlGetInt(t.fd, unix.TIOCGPGRP)
	return err != nil || group == unix.Getpgrp()
}

// wanting tells whether keys are to go to the command and do not, because the terminal is another job's.
func (t *terminal) wanting() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.keys && !t.raw && !t.over
}

// enter makes the terminal raw, so that every key goes to the command, if it is the helper's to change.
func (t *terminal) enter() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.raw || t.over || !t.keys || !t.foreground() {
		return
	}
	old, err := unix.IoctlGetTermios(t.fd, unix.TCGETS)
	if err != nil {
		return
	}
	now := *old
	now.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	now.Oflag &^= unix.OPOST
	now.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	now.Cflag = now.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	now.Cc[unix.VMIN], now.Cc[unix.VTIME] = 1, 0
	if unix.IoctlSetTermios(t.fd, unix.TCSETS, &now) != nil {
		return
	}
	if *old != t.set { // else it was never left: what it was before is known already
		t.old = *old
	}
	t.set, t.raw = now, true
}

// leave makes the terminal what it was before enter.
func (t *terminal) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.raw {
		_ = unix.IoctlSetTermios(t.fd, unix.TCSETS, &t.old)
		t.raw = false
	}
}

// end leaves the terminal for good.
func (t *terminal) end() {
	t.leave()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
}

// resumed is after a stop: a shell has had the terminal, and set it as it likes.
func (t *terminal) resumed() {
	t.mu.Lock()
	t.raw = false
	t.mu.Unlock()
	t.enter()
	t.resize()
}

// resize gives the command's terminal the size of the caller's, if that has another than before. It comes before what is
// typed, too: whoever changes the size and then types finds it changed, however late the signal is.
func (t *terminal) resize() {
	w, err := unix.IoctlGetWinsize(t.fd, unix.TIOCGWINSZ)
	if err != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if *w == t.told {
		return
	}
	if t.redraw {
		t.redraw = false
		t.tell(&unix.Winsize{Row: w.Row + 1, Col: w.Col})
	}
	t.told = *w
	t.tell(w)
}
