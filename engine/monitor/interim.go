package monitor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

// Between the death of a daemon whose monitor was killed and the moment at which the next monitor's daemon has all that
// is held, that monitor would be the only one to have it. So all that while an interim has it too: a process of its own,
// which starts the monitor, another one if that is killed, and ends when the daemon has everything.
//
// Who is to start the next monitor is decided by one byte in a pipe. Its write end goes to the monitor and by it to each
// of its daemons. A daemon that has everything writes the byte, and from then on a monitor's death is its business; to one
// that has not written it, that is none. So it is one of both, whoever is killed when.

// interimAttempts bounds how many monitors that are killed at once are followed by another.
const interimAttempts = 20

// Interim goes on from handover, the descriptor that Client.Succeed gave the process as its last argument, until a daemon
// has all that is held. next gives the command that is a monitor, to which the same is given: see Options.Handover. It
// returns nil when a daemon has everything, or a monitor has ended by itself, which has ended then what it could.
func Interim(handover *os.File, next func() *exec.Cmd) error {
	h, err := peek(handover)
	if err != nil {
		return err
	}
	for range interimAttempts {
		relieved, killed, err := succeedOnce(handover, h, next())
		if err != nil || relieved || !killed {
			return err
		}
	}
	return &Error{Op: "succeed", Kind: Failed, Sentence: fmt.Sprintf("%d monitors in a row were killed; hull mount finds the containers", interimAttempts)}
}

// peek reads a handover and leaves it to who it is for.
func peek(f *os.File) (*handover, error) {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<40))
	if err != nil {
		return nil, err
	}
	h := &handover{}
	return h, json.Unmarshal(b, h)
}

// succeedOnce starts a monitor, and waits until a daemon has everything or the monitor has ended.
func succeedOnce(handover *os.File, h *handover, cmd *exec.Cmd) (relieved, killed bool, err error) {
	relief, give, err := os.Pipe()
	if err != nil {
		return false, false, err
	}
	defer func() { _ = relief.Close() }()
	p := passing{first: firstPassed}
	for fd := firstPassed; fd < h.Interim; fd++ {
		p.pass(fd)
	}
	p.pass(rawFD(give))
	cmd.Args = append(cmd.Args, handoverArg)
	pid, err := p.start(cmd, handover)
	_ = give.Close()
	if err != nil {
		return false, false, err
	}
	if n, _ := relief.Read(make([]byte, 1)); n == 1 {
		return true, false, nil
	}
	var status unix.WaitStatus
	for {
		if _, err := unix.Wait4(pid, &status, 0, nil); !errors.Is(err, unix.EINTR) {
			return false, status.Signaled(), os.NewSyscallError("wait4", err)
		}
	}
}

// tellInterim gives a daemon that is about to be started, to whom near leads, what it has to tell the interim with.
func (s *server) tellInterim(near int) error {
	if s.interim == nil {
		return nil
	}
	m := &message{Op: opInterim}
	m.put(slotInterim, s.interim)
	body, rights, err := m.pack()
	if err == nil {
		_, err = unix.SendmsgN(near, body, rights, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
	}
	return err
}

// follow notes that there is an interim, which has all that is held as long as this daemon has not.
func (k *keep) follow(interim *os.File) {
	k.mu.Lock()
	defer k.mu.Unlock()
	closed(k.interim)
	k.interim = interim
}

// whole notes that this daemon keeps all that is held, and relieves the interim.
func (k *keep) whole() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.interim == nil || k.left {
		return
	}
	_, _ = k.interim.Write([]byte{1}) // if it fails there is no interim any more
	k.interim = closed(k.interim)
}
