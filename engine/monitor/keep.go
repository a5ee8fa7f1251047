package monitor

import (
	"crypto/rand"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"hull/engine/logs"
)

// keep is what a daemon keeps of all that its monitor holds: for each container, session and attachment the message that
// gave it to the monitor, with duplicates of the descriptors. So no pipe breaks when the monitor is killed, and another
// one can go on from there: see Client.Succeed.
//
// It is filled by the goroutine that reads the monitor's answers, in their order: what the monitor has taken is here
// before its end can be known.
type keep struct {
	mu         sync.Mutex
	containers map[string]*kept // by ID
	others     map[string]*kept // sessions and attachments, by message.Hold
	interim    *os.File         // leads to who else has all that is held; nil if there is nobody, or this has it too
	left       bool             // the monitor's death was left to the interim
	lent       lent
	ready      bool   // this daemon was
	ending     Ending // it has been asked for this one, and has not refused; empty if it was not
}

// kept is one of them. Descriptors are numbers and not files: Go would watch those that do not block.
type kept struct {
	message message
	fds     []int // in the order of message.Slots
}

func newKeep() *keep {
	return &keep{containers: map[string]*kept{}, others: map[string]*kept{}, lent: lent{}}
}

// newHold makes the name under which a session or attachment is kept.
func newHold() string { return rand.Text() }

// duplicate is what is to be kept of a message; nil, and then it is not, if there are no descriptors left.
func (m *message) duplicate(as op) *kept {
	k := &kept{message: *m}
	k.message.Op, k.message.Seq, k.message.files = as, 0, nil
	k.message.Slots = slices.Clone(m.Slots)
	for _, s := range m.Slots {
		fd, err := unix.FcntlInt(uintptr(rawFD(m.files[s])), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			k.close()
			return nil
		}
		k.fds = append(k.fds, fd)
	}
	return k
}

func (k *kept) close() {
	if k == nil {
		return
	}
	for _, fd := range k.fds {
		_ = unix.Close(fd)
	}
	k.fds = nil
}

func (k *keep) add(one *kept) {
	k.mu.Lock()
	defer k.mu.Unlock()
	all, name := k.others, one.message.Hold
	if one.message.Op == opAdopt {
		all, name = k.containers, one.message.ID
	}
	all[name].close()
	all[name] = one
}

// addHeld keeps what List tells.
func (k *keep) addHeld(m *message) {
	as := opAdopt
	switch {
	case m.Key != "" && m.PID != 0:
		as = opSession
	case m.Key != "":
		as = opAttach
	}
	if as != opAdopt && m.Hold == "" { // an older monitor's
		return
	}
	if one := m.duplicate(as); one != nil {
		k.add(one)
	}
}

// ended notes an exit that the monitor has told.
func (k *keep) ended(x Exit) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if one := k.containers[x.ID]; one != nil && x.Session == "" && one.message.Started.Equal(x.Started) {
		one.message.Exit = &x
	}
}

// forget lets go of a container, over of a session or attachment.
func (k *keep) forget(id string) { k.drop(k.containers, id) }
func (k *keep) over(hold string) { k.drop(k.others, hold) }

func (k *keep) drop(all map[string]*kept, name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	all[name].close()
	delete(all, name)
}

// dropStdin lets go of the write end of a container's standard input, whose end comes when nobody has it.
func (k *keep) dropStdin(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	one := k.containers[id]
	if one == nil {
		return
	}
	if i := slices.Index(one.message.Slots, slotStdin); i >= 0 {
		_ = unix.Close(one.fds[i])
		one.message.Slots = slices.Delete(one.message.Slots, i, i+1)
		one.fds = slices.Delete(one.fds, i, i+1)
	}
}

// bound notes other bounds of a container's log.
func (k *keep) bound(id string, b logs.Bounds) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if one := k.containers[id]; one != nil {
		one.message.LogMax, one.message.LogFiles = b.Max, b.Files
	}
}

// asked notes how the mount is to end; empty, and it goes on, if that is refused.
func (k *keep) asked(mode Ending) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ending = mode
}

// lend keeps a socket that is lent, or not, if there are no descriptors left.
func (k *keep) lend(name string, fd int) {
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		k.lent.drop(name)
		return
	}
	k.lent.put(name, own)
}

func (k *keep) takeBack(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lent.drop(name)
}

func (k *keep) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lent.close()
	k.interim = closed(k.interim)
	for _, all := range []map[string]*kept{k.containers, k.others} {
		for name, one := range all {
			one.close()
			delete(all, name)
		}
	}
}
