package monitor

import (
	"encoding/binary"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"hull/engine/logs"
)

// StatusSize is the size of a message on a status socket.
const StatusSize = 16

// Signal words of a status message.
const (
	statusExit uint32 = 0x74697865 // "exit"
	statusGrew uint32 = 0x77657267 // "grew"
	statusLeft uint32 = 0x7466656c // "left"
	statusMore uint32 = 0x65726f6d // "more"

	// These go the other way.
	statusSize uint32 = 0x657a6973 // "size"
	statusRead uint32 = 0x64616572 // "read"
)

const statusOOM uint32 = 1

// Status is one message on a status socket, the SOCK_SEQPACKET socket whose other end Session or Attach was given.
// A session's socket carries the exit and is closed. An attached one carries a Grew whenever the log has become longer
// (so that a follower needs neither polling nor inotify; messages may be fewer than writes, never later), then the exit.
// Of a log that has gone on in another segment it carries More, and with it the segment's two files; who reads says with
// Reading how far it has come.
// Left comes in the exit's place when somebody has called HangUp for the attachment, which then is over.
// An end of file without an exit means that the exit was lost.
type Status struct {
	Grew bool // the log has grown; nothing else is set
	Left bool // nothing else is set
	// More comes with the log and the index of the log's next segment, whose Number this is; nothing else is set. There
	// may be numbers between it and the last: those segments were dropped.
	More   bool
	Number int64
	Code   int // 0–255, 128+Signal if a signal ended it
	// Signal that ended the process, 0 if none did.
	Signal int
	OOM    bool
}

// Encode gives the message: four little-endian words, which are the signal word, code, signal and flags.
func (s Status) Encode() [StatusSize]byte {
	var b [StatusSize]byte
	switch {
	case s.Grew:
		binary.LittleEndian.PutUint32(b[:], statusGrew)
		return b
	case s.More:
		binary.LittleEndian.PutUint32(b[:], statusMore)
		binary.LittleEndian.PutUint64(b[4:], uint64(s.Number))
		return b
	case s.Left:
		binary.LittleEndian.PutUint32(b[:], statusLeft)
		return b
	}
	binary.LittleEndian.PutUint32(b[:], statusExit)
	binary.LittleEndian.PutUint32(b[4:], uint32(s.Code))
	binary.LittleEndian.PutUint32(b[8:], uint32(s.Signal))
	if s.OOM {
		binary.LittleEndian.PutUint32(b[12:], statusOOM)
	}
	return b
}

// DecodeStatus reads one message of a status socket.
func DecodeStatus(b []byte) (Status, error) {
	if len(b) != StatusSize {
		return Status{}, errors.New("a status message has the wrong length")
	}
	switch binary.LittleEndian.Uint32(b) {
	case statusGrew:
		return Status{Grew: true}, nil
	case statusMore:
		return Status{More: true, Number: int64(binary.LittleEndian.Uint64(b[4:]))}, nil
	case statusLeft:
		return Status{Left: true}, nil
	case statusExit:
		return Status{
			Code:   int(binary.LittleEndian.Uint32(b[4:]) & 0xff),
			Signal: int(binary.LittleEndian.Uint32(b[8:]) & 0x7f),
			OOM:    binary.LittleEndian.Uint32(b[12:])&statusOOM != 0,
		}, nil
	}
	return Status{}, errors.New("a status message is of no known kind")
}

// WriteStatus tells an exit on a status socket, for an exit that was over before anybody could attach. It never blocks.
func WriteStatus(socket *os.File, e Exit) error {
	b := e.status().Encode()
	c, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = c.Control(func(fd uintptr) {
		failed = unix.Sendto(int(fd), b[:], unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, nil)
	})
	return errors.Join(err, failed)
}

// ReadStatus reads a message of a status socket, and the files of the segment that comes with a Status that says More.
// It does not wait: unix.EAGAIN if there is nothing, io.EOF if there will be nothing more.
func ReadStatus(near int) (Status, logs.Segment, error) {
	var b [StatusSize]byte
	var rights [64]byte
	n, rn, _, _, err := unix.Recvmsg(near, b[:], rights[:], unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
	// That the other end closed without having read all is told, once, before what it said.
	for errors.Is(err, unix.EINTR) || errors.Is(err, unix.ECONNRESET) {
		n, rn, _, _, err = unix.Recvmsg(near, b[:], rights[:], unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
	}
	if err != nil {
		return Status{}, logs.Segment{}, err
	}
	if n == 0 {
		return Status{}, logs.Segment{}, io.EOF
	}
	fds, err := rightsOf(rights[:rn])
	var s Status
	if err == nil {
		s, err = DecodeStatus(b[:n])
	}
	if err == nil && s.More && len(fds) == 2 {
		return s, logs.Segment{Number: s.Number, Log: os.NewFile(uintptr(fds[0]), "log"), Index: os.NewFile(uintptr(fds[1]), "index")}, nil
	}
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
	if err == nil && s.More {
		err = errors.New("a part of the log could not be received; raise the limit of open files (ulimit -n)")
	}
	return s, logs.Segment{}, err
}

// NewStatus makes a status socket: near is read by whoever waits, far goes to Session, Attach or WriteStatus.
func NewStatus() (near, far *os.File, err error) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	if err := unix.SetNonblock(p[0], true); err != nil { // near waits in Go's poller
		_, _ = unix.Close(p[0]), unix.Close(p[1])
		return nil, nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(p[0]), "status"), os.NewFile(uintptr(p[1]), "status"), nil
}

func (e Exit) status() Status { return Status{Code: e.Code, Signal: e.Signal, OOM: e.OOM} }

// Resize says, on the near end of an attached status socket, what size the container's terminal is to have.
func Resize(near *os.File, rows, cols uint16) error {
	var b [StatusSize]byte
	binary.LittleEndian.PutUint32(b[:], statusSize)
	binary.LittleEndian.PutUint32(b[4:], uint32(rows))
	binary.LittleEndian.PutUint32(b[8:], uint32(cols))
	_, err := near.Write(b[:])
	return err
}

// sizeOf reads what Resize wrote.
func sizeOf(b []byte) (w unix.Winsize, ok bool) {
	if len(b) != StatusSize || binary.LittleEndian.Uint32(b) != statusSize {
		return w, false
	}
	w.Row, w.Col = uint16(binary.LittleEndian.Uint32(b[4:])), uint16(binary.LittleEndian.Uint32(b[8:]))
	return w, true
}

// Reading says, on the near end of an attached status socket, which segment of the log is being read: those before it
// are not needed any more.
func Reading(near int, number int64) error {
	var b [StatusSize]byte
	binary.LittleEndian.PutUint32(b[:], statusRead)
	binary.LittleEndian.PutUint64(b[4:], uint64(number))
	for {
		err := unix.Sendto(near, b[:], unix.MSG_NOSIGNAL, nil)
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("sendto", err)
		}
	}
}

// numberRead reads what Reading wrote.
func numberRead(b []byte) (int64, bool) {
	if len(b) != StatusSize || binary.LittleEndian.Uint32(b) != statusRead {
		return 0, false
	}
	return int64(binary.LittleEndian.Uint64(b[4:])), true
}
