package child

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
)

// Stub is a process that executes programs. It belongs to one goroutine at a
// time.
type Stub struct {
	PID   int
	Pidfd *os.File

	socket *os.File
	sent   []*Program
}

// Failure is a call of a program that failed.
type Failure struct {
	Step  Step
	Call  uintptr // the system call's number
	Errno unix.Errno
}

func (e *Failure) Error() string {
	return fmt.Sprintf("%s (system call %d): %v", e.Step, e.Call, e.Errno)
}

func (e *Failure) Unwrap() error { return e.Errno }

// ErrGone is returned when the stub has ended without a word: it was killed.
var ErrGone = errors.New("the process has ended")

// failure looks up a failed call by the address of its record.
func (p *Program) failure(base, addr, result uint64) error {
	i := (addr - base) / recordSize
	if addr < base || i >= uint64(len(p.calls)) {
		return fmt.Errorf("a failure at %#x, which is no call of the program", addr)
	}
	c := p.calls[i]
	return &Failure{Step: c.step, Call: uintptr(c.nr), Errno: unix.Errno(-result)}
}

// Send gives the stub its next program with files, whose descriptors there
// are FirstFile and up. The files stay the caller's.
func (s *Stub) Send(ctx context.Context, p *Program, files ...*os.File) error {
	if len(files) > maxFiles {
		return fmt.Errorf("%d files for one program, %d is most", len(files), maxFiles)
	}
	base := programBase + uint64(len(s.sent))*programStep
	memory, size, done, err := p.laidOut(base)
	if err != nil {
		return err
	}
	defer done()
	fds := []int{int(memory.Fd())}
	for _, f := range files {
		fds = append(fds, int(f.Fd()))
	}
	message := make([]byte, 24)
	binary.LittleEndian.PutUint64(message, base)
	binary.LittleEndian.PutUint64(message[8:], uint64(size))
	binary.LittleEndian.PutUint64(message[16:], base)
	s.sent = append(s.sent, p)
	return s.write(ctx, message, unix.UnixRights(fds...))
}

// Continue releases a stub from [Program.Pause].
func (s *Stub) Continue(ctx context.Context) error { return s.write(ctx, []byte("g"), nil) }

func (s *Stub) write(ctx context.Context, b, rights []byte) error {
	return s.during(ctx, func() error {
		conn, err := s.socket.SyscallConn()
		if err != nil {
			return err
		}
		werr := conn.Write(func(fd uintptr) bool {
			err = unix.Sendmsg(int(fd), b, rights, nil, unix.MSG_NOSIGNAL)
			return !errors.Is(err, unix.EAGAIN)
		})
		return gone(errors.Join(werr, err))
	})
}

// Await waits for the program's word that it is done so far, and gives the
// descriptor that came with it, if any. A *Failure says which call failed.
func (s *Stub) Await(ctx context.Context) (file *os.File, err error) {
	err = s.during(ctx, func() error {
		file, err = s.await()
		return err
	})
	return file, err
}

// begun waits for a new stub's first word. Its socket does not end with it yet,
// because this process has the other end as well.
func (s *Stub) begun(within time.Duration) error {
	conn, err := s.socket.SyscallConn()
	if err != nil {
		return err
	}
	n, poll := 0, []unix.PollFd{{Events: unix.POLLIN}, {Fd: int32(s.Pidfd.Fd()), Events: unix.POLLIN}}
	cerr := conn.Control(func(fd uintptr) {
		poll[0].Fd = int32(fd)
		for by := time.Now().Add(within); ; {
			n, err = unix.Poll(poll, int(max(0, time.Until(by).Milliseconds())))
			if !errors.Is(err, unix.EINTR) {
				return
			}
		}
	})
	switch err := errors.Join(cerr, err); {
	case err != nil:
		return err
	case n == 0:
		return unix.ETIMEDOUT
	case poll[0].Revents&unix.POLLIN == 0:
		return ErrGone
	}
	_, err = s.await()
	return err
}

// await is Await without an end.
func (s *Stub) await() (*os.File, error) {
	conn, err := s.socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	b := make([]byte, 16)
	oob := make([]byte, unix.CmsgSpace(4))
	var n, oobn int
	rerr := conn.Read(func(fd uintptr) bool {
		n, oobn, _, _, err = unix.Recvmsg(int(fd), b, oob, unix.MSG_CMSG_CLOEXEC)
		if errors.Is(err, unix.ECONNRESET) { // it ended before it read our last word: the kernel says so first, once, and then what it said
			n, oobn, _, _, err = unix.Recvmsg(int(fd), b, oob, unix.MSG_CMSG_CLOEXEC)
		}
		return !errors.Is(err, unix.EAGAIN)
	})
	if err := errors.Join(rerr, err); err != nil {
		return nil, gone(err)
	}
	file, err := received(oob[:oobn])
	if err != nil {
		return nil, err
	}
	switch {
	case n == 1:
		return file, nil
	case n == 16 && len(s.sent) > 0:
		err = s.decode(b)
	case n == 0:
		err = ErrGone
	default:
		err = fmt.Errorf("a message of %d bytes from the stub", n)
	}
	if file != nil {
		_ = file.Close()
	}
	return nil, err
}

// decode reads a failure record.
func (s *Stub) decode(b []byte) error {
	addr := binary.LittleEndian.Uint64(b)
	i := (addr - programBase) / programStep
	if addr < programBase || i >= uint64(len(s.sent)) {
		return fmt.Errorf("the stub failed at %#x", addr)
	}
	return s.sent[i].failure(programBase+i*programStep, addr, binary.LittleEndian.Uint64(b[8:]))
}

// gone makes the errors of a closed socket one.
func gone(err error) error {
	if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
		return ErrGone
	}
	return err
}

// received takes the descriptor out of a control message.
func received(oob []byte) (*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		if fds, err := unix.ParseUnixRights(&m); err == nil && len(fds) == 1 {
			return os.NewFile(uintptr(fds[0]), "received"), nil
		}
	}
	return nil, errors.New("an unexpected control message from the stub")
}

// during runs f, which uses the socket, and ends it when ctx ends.
func (s *Stub) during(ctx context.Context, f func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if ctx.Done() != nil {
		over := make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			defer close(over)
			_ = s.socket.SetDeadline(time.Unix(1, 0))
		})
		defer func() {
			if !stop() {
				<-over
				_ = s.socket.SetDeadline(time.Time{})
			}
		}()
	}
	err := f()
	if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// Forget drops the programs that were sent: the stub has become something
// else.
func (s *Stub) Forget() { s.sent = nil }

// Kill ends the stub, or what it has become. Its parent has to wait for it.
func (s *Stub) Kill() error { return sys.Signal(s.Pidfd, unix.SIGKILL) }

// Close gives the socket back; a stub that waits on it ends. The Pidfd is not
// closed.
func (s *Stub) Close() error { return s.socket.Close() }
