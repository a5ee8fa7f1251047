package monitor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// maxMessage bounds a message of either protocol; maxFiles the descriptors that come with one.
const (
	maxMessage = 64 << 10
	maxFiles   = 16
)

// op names a message. Requests carry a Seq and are answered by a message of the same Seq; events have none.
type op string

const (
	opAdopt   op = "adopt"
	opSession op = "session"
	opAttach  op = "attach"
	opForget  op = "forget"
	opReap    op = "reap"
	opAbandon op = "abandon"

	opCloseStdin op = "close-stdin"

	opBound op = "bound"

	opHangUp op = "hang-up"
	opSignal op = "signal"

	opList    op = "list" // answered by one opHeld for each container and session, then the answer
	opHeld    op = "held"
	opReady   op = "ready"
	opFail    op = "fail"
	opStopped op = "stopped" // the daemon's answer to opStop
	opExit    op = "exit"
	opTrouble op = "trouble"
	opStop    op = "stop"
	opUmount  op = "umount"
	opMount   op = "mount"
	opUpgrade op = "upgrade"
	opRenew   op = "renew"
	opEnded   op = "ended"
	opKept    op = "kept"    // what a daemon is not told of, and keeps all the same; Text is how it came
	opInterim op = "interim" // there is one, which the daemon is to relieve when it has everything: see Interim
	opOver    op = "over"    // of a session or attachment: the daemon lets go of what it keeps of it
	opAnswer  op = "answer"

	opLend   op = "lend"
	opReturn op = "return"
	opLent   op = "lent" // answered by one opLent for each socket, then the answer
)

// slot names a descriptor that travels with a message.
type slot string

const (
	slotPidfd   slot = "pidfd"
	slotStdout  slot = "stdout"
	slotStderr  slot = "stderr"
	slotPty     slot = "pty"
	slotBetween slot = "between" // with slotPty, see newBetween
	slotStdin   slot = "stdin"
	slotKeys    slot = "keys"
	slotOOM     slot = "oom"
	slotStatus  slot = "status"

	slotProgram slot = "program" // of opUpgrade
	slotInterim slot = "interim" // of opInterim
	slotSocket  slot = "socket"  // of opLend and opLent; it is message.socket, and not among the files
)

// message is everything that either socket carries: one flat record, so that a daemon of another version still
// understands the fields it knows.
type message struct {
	Op       op        `json:"op"`
	Seq      uint64    `json:"seq,omitempty"`
	ID       string    `json:"id,omitempty"`
	Key      string    `json:"key,omitempty"`
	Dir      string    `json:"dir,omitempty"`
	PID      int       `json:"pid,omitempty"`
	Started  time.Time `json:"started,omitzero"`
	Volatile bool      `json:"volatile,omitempty"`
	Report   bool      `json:"report,omitempty"`
	Signal   int       `json:"signal,omitempty"`
	Mode     Ending    `json:"mode,omitempty"`
	Text     string    `json:"text,omitempty"`
	Payload  []byte    `json:"payload,omitempty"`
	LogMax   int64     `json:"log_max,omitempty"`
	LogFiles int       `json:"log_files,omitempty"`
	Segment  int64     `json:"segment,omitempty"`
	Paced    bool      `json:"paced,omitempty"`
	Exit     *Exit     `json:"exit,omitempty"`

	Hold      string `json:"hold,omitempty"`       // what the daemon calls its duplicates, see keep
	OOMBefore int64  `json:"oom_before,omitempty"` // of a container that is handed over
	HungUp    bool   `json:"hung_up,omitempty"`    // of a session that is
	Again     bool   `json:"again,omitempty"`      // another monitor has held it before, and may be its parent
	Failure   *Error `json:"failure,omitempty"`
	Slots     []slot `json:"slots,omitempty"`
	Version   int    `json:"version,omitempty"` // of the handover that opUpgrade knows
	Numbers   []int  `json:"numbers,omitempty"` // of the descriptors, in a handover

	files  map[slot]*os.File
	socket int  // of slotSocket; 0 if none came
	cut    bool // the descriptors did not come
}

// take hands a descriptor over to the caller; nil if it did not come.
func (m *message) take(s slot) *os.File {
	f := m.files[s]
	delete(m.files, s)
	return f
}

// close closes the descriptors nobody took.
func (m *message) close() {
	for s := range m.files {
		_ = m.take(s).Close()
	}
	if m.socket > 0 {
		_ = unix.Close(m.socket)
		m.socket = 0
	}
}

// put adds a descriptor, which stays the caller's.
func (m *message) put(s slot, f *os.File) {
	if f == nil {
		return
	}
	if m.files == nil {
		m.files = make(map[slot]*os.File, 4)
	}
	m.files[s] = f
	m.Slots = append(m.Slots, s)
}

// pack gives the bytes and control bytes of a message.
func (m *message) pack() (body, rights []byte, err error) {
	if body, err = json.Marshal(m); err != nil {
		return nil, nil, err
	}
	if len(body) > maxMessage {
		return nil, nil, &Error{Op: string(m.Op), ID: m.ID, Kind: Invalid, Sentence: fmt.Sprintf("a message to the monitor has %d bytes, %d are allowed", len(body), maxMessage)}
	}
	if len(m.Slots) == 0 {
		return body, nil, nil
	}
	fds := make([]int, 0, len(m.Slots))
	for _, s := range m.Slots {
		if s == slotSocket {
			fds = append(fds, m.socket)
			continue
		}
		fds = append(fds, rawFD(m.files[s]))
	}
	return body, unix.UnixRights(fds...), nil
}

// rawFD gives a file's number without making it blocking, as File.Fd would. -1 for a closed one.
func rawFD(f *os.File) int {
	n := -1
	if c, err := f.SyscallConn(); err == nil {
		_ = c.Control(func(fd uintptr) { n = int(fd) })
	}
	return n
}

// receive reads one message; io.EOF when the other end is closed. A message whose descriptors did not come, because this
// process can have no more, is told as cut.
//
// There is no telling how long a message is, and most have a few hundred bytes: room is kept for the longest from one to
// the next, and *room is made when it is nil. It belongs to one reader at a time.
func receive(fd int, room *[]byte) (*message, error) {
	if *room == nil {
		*room = make([]byte, maxMessage)
	}
	body := *room
	var rights [maxFiles*4 + 32]byte
	n, rn, flags, _, err := unix.Recvmsg(fd, body, rights[:], unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, err
	}
	fds, err := rightsOf(rights[:rn])
	if err != nil {
		return nil, err
	}
	if n == 0 && len(fds) == 0 {
		return nil, io.EOF
	}
	m := new(message)
	if flags&unix.MSG_TRUNC != 0 {
		err = errors.New("it is too long")
	} else {
		err = json.Unmarshal(body[:n], m)
	}
	m.cut = flags&unix.MSG_CTRUNC != 0
	if err == nil && !m.cut && len(m.Slots) != len(fds) {
		err = errors.New("it came with the wrong number of descriptors")
	}
	if err != nil || m.cut {
		for _, d := range fds {
			_ = unix.Close(d)
		}
		if err != nil {
			err = &Error{Op: "receive", Kind: Invalid, Sentence: "a message could not be read", Err: err}
		}
		return m, err
	}
	for i, d := range fds {
		if m.Slots[i] == slotSocket {
			if m.socket > 0 {
				_ = unix.Close(m.socket)
			}
			m.socket = d
			continue
		}
		if m.files == nil {
			m.files = make(map[slot]*os.File, len(fds))
		}
		if old := m.files[m.Slots[i]]; old != nil {
			_ = old.Close()
		}
		m.files[m.Slots[i]] = os.NewFile(uintptr(d), string(m.Slots[i]))
	}
	return m, nil
}

func rightsOf(b []byte) ([]int, error) {
	if len(b) == 0 {
		return nil, nil
	}
	cms, err := unix.ParseSocketControlMessage(b)
	if err != nil {
		return nil, os.NewSyscallError("recvmsg", err)
	}
	var fds []int
	for i := range cms {
		if got, err := unix.ParseUnixRights(&cms[i]); err == nil {
			fds = append(fds, got...)
		}
	}
	return fds, nil
}
