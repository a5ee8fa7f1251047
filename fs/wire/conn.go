package wire

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// MaxBody is the longest frame's body. The kernel's own limit of a command line and environment is 6 MiB.
const MaxBody = 8 << 20

// maxFiles is how many descriptors one frame may bring.
const maxFiles = 8

// headerSize is the size of a frame's header: the body's length in four bytes, the kind, the number of descriptors.
const headerSize = 6

// Socket is a connected stream socket of the Unix domain in Go's poller: a *net.UnixConn, or an *os.File that does not
// block.
type Socket interface {
	SyscallConn() (syscall.RawConn, error)
	io.Closer
}

// Conn sends and receives frames. One goroutine may receive while another sends; two must not do the same at once.
type Conn struct {
	socket Socket
	raw    syscall.RawConn
	in     []byte     // received and not yet used
	files  []*os.File // received and not yet used, in order
}

// NewConn makes a Conn, which owns the socket from then on.
func NewConn(s Socket) (*Conn, error) {
	raw, err := s.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &Conn{socket: s, raw: raw}, nil
}

// Resume makes a Conn of a socket from which somebody else has received something already: the bytes, and the descriptors
// that came with them.
func Resume(s Socket, received []byte, fds []int) (*Conn, error) {
	c, err := NewConn(s)
	if err != nil {
		return nil, err
	}
	c.in = append(c.in, received...)
	for _, fd := range fds {
		c.files = append(c.files, adopt(fd))
	}
	return c, nil
}

// Close closes the socket. A Send or Receive under way ends with an error.
func (c *Conn) Close() error { return c.socket.Close() }

// Discard closes the descriptors that came and were not asked for. To be called when nobody receives any more.
func (c *Conn) Discard() {
	for _, f := range c.files {
		_ = f.Close()
	}
	c.files = nil
}

// Send sends one frame. The files stay the caller's.
func (c *Conn) Send(kind byte, body []byte, files ...*os.File) error {
	if len(body) > MaxBody || len(files) > maxFiles {
		return ErrMalformed
	}
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(body)))
	b = append(b, kind, byte(len(files)))
	b = append(b, body...)
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fd, err := number(f)
			if err != nil {
				return err
			}
			fds[i] = fd
		}
		rights = unix.UnixRights(fds...)
	}
	for len(b) > 0 {
		n, err := c.sendmsg(b, rights)
		if err != nil {
			return err
		}
		b, rights = b[n:], nil // the descriptors go with the first byte
	}
	return nil
}

func (c *Conn) sendmsg(b, rights []byte) (n int, failed error) {
	err := c.raw.Write(func(fd uintptr) bool {
		for {
			n, failed = unix.SendmsgN(int(fd), b, rights, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
			if !errors.Is(failed, unix.EINTR) {
				return !errors.Is(failed, unix.EAGAIN)
			}
		}
	})
	return n, errors.Join(err, failed)
}

// Receive receives one frame of which the body is at most limit long. The files are the caller's. An end of the stream
// between frames is io.EOF.
func (c *Conn) Receive(limit int) (kind byte, body []byte, files []*os.File, err error) {
	if err := c.fill(headerSize); err != nil {
		return 0, nil, nil, err
	}
	size := binary.LittleEndian.Uint32(c.in)
	kind, count := c.in[4], int(c.in[5])
	if uint64(size) > uint64(min(limit, MaxBody)) || count > maxFiles {
		return 0, nil, nil, ErrMalformed
	}
	end := headerSize + int(size)
	if err := c.fill(end); err != nil {
		return 0, nil, nil, err
	}
	if count > len(c.files) {
		return 0, nil, nil, ErrMalformed
	}
	body = append([]byte(nil), c.in[headerSize:end]...)
	c.in = append(c.in[:0], c.in[end:]...)
	files = append(files, c.files[:count]...)
	c.files = c.files[count:]
	return kind, body, files, nil
}

// Token shows the token of the request that is coming, without taking anything: it is what Receive will begin with.
// Descriptors that come along are not made while only this much is known: who holds one must close it, and closing a
// file of a FUSE mount waits for its server, which may be the sender and never answer.
func (c *Conn) Token() (string, error) {
	b := make([]byte, headerSize+1+TokenSize)
	var n int
	var failed error
	err := c.raw.Read(func(fd uintptr) bool {
		for {
			n, _, _, _, failed = unix.Recvmsg(int(fd), b, nil, unix.MSG_PEEK|unix.MSG_DONTWAIT)
			if errors.Is(failed, unix.EINTR) {
				continue
			}
			// All of it comes at once from a helper; less is waited for until the deadline.
			return failed == nil && (n == 0 || n == len(b) || !promising(b[:n])) ||
				failed != nil && !errors.Is(failed, unix.EAGAIN)
		}
	})
	switch err := errors.Join(err, failed); {
	case err != nil:
		return "", err
	case n == 0:
		return "", io.EOF
	case n < len(b) || !promising(b):
		return "", ErrMalformed
	}
	return string(b[headerSize+1:]), nil
}

// promising tells whether bytes can be the beginning of a request with a token.
func promising(b []byte) bool {
	switch {
	case len(b) < headerSize:
		return true
	case b[4] != KindRequest || binary.LittleEndian.Uint32(b) < 1+TokenSize:
		return false
	}
	return len(b) == headerSize || b[headerSize] == TokenSize
}

// fill receives until n bytes are there.
func (c *Conn) fill(n int) error {
	buf := make([]byte, 4096)
	for len(c.in) < n {
		if missing := n - len(c.in); missing > len(buf) {
			buf = make([]byte, min(missing, 256<<10))
		}
		got, err := c.recvmsg(buf)
		if err != nil {
			return err
		}
		if got == 0 {
			if len(c.in) > 0 {
				return io.ErrUnexpectedEOF
			}
			return io.EOF
		}
		c.in = append(c.in, buf[:got]...)
	}
	return nil
}

func (c *Conn) recvmsg(b []byte) (int, error) {
	oob := make([]byte, unix.CmsgSpace(maxFiles*4))
	var n, oobn, flags int
	var failed error
	err := c.raw.Read(func(fd uintptr) bool {
		for {
			n, oobn, flags, _, failed = unix.Recvmsg(int(fd), b, oob, unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
			if !errors.Is(failed, unix.EINTR) {
				return !errors.Is(failed, unix.EAGAIN)
			}
		}
	})
	if err := errors.Join(err, failed); err != nil {
		return 0, err
	}
	if err := c.keep(oob[:oobn]); err != nil {
		return 0, err
	}
	// More descriptors than any frame has, or than this process may hold: the kernel has closed the rest.
	if flags&unix.MSG_CTRUNC != 0 || len(c.files) > maxFiles {
		return 0, ErrMalformed
	}
	return n, nil
}

// keep takes the descriptors out of a message's ancillary data.
func (c *Conn) keep(oob []byte) error {
	if len(oob) == 0 {
		return nil
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return err
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue // other kinds of ancillary data hold no descriptors
		}
		for _, fd := range fds {
			c.files = append(c.files, adopt(fd))
		}
	}
	return nil
}

// adopt makes a file of a received descriptor. os.NewFile adds one that does not block to the poller, which for a
// regular file of a FUSE mount asks its server, who may never answer; so such files are made to block first. That means
// nothing to whoever shares the open file: reading and writing a regular file never heeds the flag.
func adopt(fd int) *os.File {
	var st unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &st)
	if flags, e := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err == nil && e == nil &&
		st.Mode&unix.S_IFMT == unix.S_IFREG && flags&unix.O_NONBLOCK != 0 {
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags&^unix.O_NONBLOCK)
	}
	return os.NewFile(uintptr(fd), "received")
}

// number gives a file's descriptor without making it block, which os.File.Fd would do.
func number(f *os.File) (int, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return -1, err
	}
	n := -1
	err = raw.Control(func(fd uintptr) { n = int(fd) })
	return n, err
}
