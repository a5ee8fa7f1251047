package monitor

import (
	"context"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// upgrade is another program that is to take the monitor's place, in its process: children and descriptors stay.
type upgrade struct {
	args    []string // its arguments but for the last, the handover's number
	program *os.File
	reply   reply
}

// Upgrade has the monitor execute a program in its own place, and that start a daemon of the same; payload goes to
// Options.Again. It returns when the new daemon is ready: no container has noticed anything. If the program cannot be
// executed all is as before, with a new daemon.
func (c *Control) Upgrade(ctx context.Context, program *os.File, payload []byte) error {
	m := &message{Op: opUpgrade, Payload: payload, Version: handoverVersion}
	m.put(slotProgram, program)
	return c.do(ctx, m)
}

// upgrade begins with the daemon's end: what it has begun and not finished the next one finds.
func (s *server) upgrade(m *message, r reply) {
	refuse := func(kind Kind, sentence string) {
		r(&Error{Op: string(opUpgrade), Kind: kind, Sentence: sentence})
	}
	program := m.take(slotProgram)
	switch {
	case program == nil || s.o.Again == nil:
		refuse(Invalid, "no program was given")
	case m.Version != handoverVersion:
		refuse(Invalid, "the hull that runs and this one are too far apart; unmount with --stop and mount again")
	case s.ending != nil:
		refuse(Busy, "the mount is ending")
	case s.upgrading != nil:
		refuse(Busy, "another upgrade is under way")
	case !s.mount.wanted:
		refuse(Failed, "nothing is mounted; hull mount does it, and finds the containers")
	default:
		args, err := s.o.Again(m.Payload)
		if err != nil {
			refuse(Invalid, err.Error())
			break
		}
		s.upgrading = &upgrade{args: args, program: program, reply: r}
		if s.daemon != nil {
			_ = signalTo(s.daemon.pidfd, unix.SIGKILL)
			return
		}
		s.cancel(s.mount.restart)
		s.exchange()
		return
	}
	closed(program)
}

// forgo gives an upgrade up that has not come to its exchange: the mount is to end.
func (s *server) forgo() {
	if u := s.upgrading; u != nil {
		s.upgrading = nil
		closed(u.program)
		u.reply(&Error{Op: string(opUpgrade), Kind: Busy, Sentence: "the mount is ending"})
	}
}

// exchange executes the other program, now that no daemon lives. It returns only if that cannot be.
func (s *server) exchange() {
	u := s.upgrading
	s.upgrading = nil
	err := s.become(u)
	s.log.Error("another program could not take the monitor's place", "err", err)
	u.reply(&Error{Op: string(opUpgrade), Kind: Failed, Sentence: "the program could not be executed, and hull goes on as before: " + err.Error()})
	closed(u.program)
	s.startDaemon()
}

func (s *server) become(u *upgrade) error {
	s.syncing.Wait()
	s.syncExits()
	s.syncing.Wait()
	var open []int
	pass := func(fd int) int {
		open = append(open, fd)
		return fd
	}
	h := s.handOver(pass)
	f, err := h.file()
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	number := pass(rawFD(f))
	for _, fd := range open { // nothing else is started meanwhile: that is the loop's work
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return os.NewSyscallError("fcntl", err)
		}
	}
	err = syscall.Exec("/proc/self/fd/"+strconv.Itoa(rawFD(u.program)), append(u.args, strconv.Itoa(number)), os.Environ())
	for _, fd := range open {
		unix.CloseOnExec(fd)
	}
	return os.NewSyscallError("execve", err)
}

// handOver is all that this monitor knows; pass is told of each descriptor and gives its number.
func (s *server) handOver(pass func(fd int) int) *handover {
	h := &handover{Wanted: true, Lock: pass(rawFD(s.control.lock)), Listener: pass(s.control.fd)}
	if s.interim != nil {
		h.Interim = pass(rawFD(s.interim))
	}
	add := func(m *message) {
		for _, slot := range m.Slots {
			m.Numbers = append(m.Numbers, pass(rawFD(m.files[slot])))
		}
		h.Held = append(h.Held, m)
	}
	for _, c := range s.containers {
		add(c.message(opAdopt))
		for _, t := range c.statuses {
			add(t.message(opAttach))
		}
	}
	for t := range s.sessions {
		add(t.message(opSession))
	}
	h.Lent = map[string]int{}
	for name, fd := range s.lent {
		h.Lent[name] = pass(fd)
	}
	for p := range s.control.peers {
		h.Peers = append(h.Peers, handedPeer{Number: pass(p.fd), Owed: p.owed})
	}
	return h
}
