package monitor

import (
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// loop is the monitor's one thread of control: an epoll instance with a function for each descriptor, and a queue of
// functions that other goroutines (signals, timers, disk writes) post. All of the monitor's state belongs to it, so
// that there is no lock to order and no goroutine for each of a thousand containers. Idle, it makes no system call.
type loop struct {
	epoll, wake int
	next        int32
	sources     map[int32]*source
	room        []byte // of receive

	mu     sync.Mutex
	posted []func()
	closed bool
}

// source is a descriptor that is watched. Tokens are never reused, so that an event already fetched for a source that
// another event has just closed finds nobody.
type source struct {
	loop  *loop
	token int32
	fd    int
	ready func(events uint32)
}

func newLoop() (*loop, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(ep)
		return nil, os.NewSyscallError("eventfd", err)
	}
	l := &loop{epoll: ep, wake: wake, sources: map[int32]*source{}}
	if _, err := l.watch(wake, unix.EPOLLIN, l.drain); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *loop) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	_, _ = unix.Close(l.wake), unix.Close(l.epoll)
}

// post has f called by the loop. It may be called from anywhere, at any time.
func (l *loop) post(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.posted = append(l.posted, f)
	if len(l.posted) == 1 {
		_, _ = unix.Write(l.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
}

func (l *loop) drain(uint32) {
	var b [8]byte
	_, _ = unix.Read(l.wake, b[:])
	l.mu.Lock()
	fs := l.posted
	l.posted = nil
	l.mu.Unlock()
	for _, f := range fs {
		f()
	}
}

// run handles events until over says so.
func (l *loop) run(over func() bool) error {
	events := make([]unix.EpollEvent, 64)
	for !over() {
		n, err := unix.EpollWait(l.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("epoll_wait", err)
		}
		for _, e := range events[:max(n, 0)] {
			if s := l.sources[e.Fd]; s != nil && !over() {
				s.ready(e.Events)
			}
		}
	}
	return nil
}

func (l *loop) watch(fd int, events uint32, ready func(uint32)) (*source, error) {
	l.next++
	s := &source{loop: l, token: l.next, fd: fd, ready: ready}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: s.token}); err != nil {
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	l.sources[s.token] = s
	return s, nil
}

// change sets the events that are watched, and has those that are there already told again.
func (s *source) change(events uint32) {
	_ = unix.EpollCtl(s.loop.epoll, unix.EPOLL_CTL_MOD, s.fd, &unix.EpollEvent{Events: events, Fd: s.token})
}

// drop ends the watch. The descriptor is closed by its owner, afterwards: epoll goes by the open file, which others
// may share.
func (s *source) drop() {
	if s == nil || s.loop.sources[s.token] == nil {
		return
	}
	delete(s.loop.sources, s.token)
	_ = unix.EpollCtl(s.loop.epoll, unix.EPOLL_CTL_DEL, s.fd, nil)
}
