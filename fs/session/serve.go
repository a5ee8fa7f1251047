package session

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hull/fs/wire"
)

// peer gives the user at the other end of a connection, as it was when it connected.
func peer(c *net.UnixConn) (uint32, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) { cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err := errors.Join(err, failed); err != nil {
		return 0, err
	}
	return cred.Uid, nil
}

// serve is a connection's life: request, call, answer, signals.
func (s *Server) serve(c *net.UnixConn, uid uint32) {
	conn, err := wire.NewConn(c)
	if err != nil {
		return
	}
	defer conn.Discard()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	// Before a token is known to be good neither descriptors nor megabytes are taken from anybody.
	token, err := conn.Token()
	if err != nil {
		return
	}
	if !s.admits(token, uid) {
		refuse(conn, notAdmitted)
		return
	}
	kind, body, files, err := conn.Receive(wire.MaxBody)
	defer closeAll(files)
	if err != nil || kind != wire.KindRequest {
		return
	}
	_ = c.SetReadDeadline(time.Time{})
	r, err := wire.DecodeRequest(body)
	if err != nil || r.Count() != len(files) {
		return
	}
	h := s.redeem(r.Token, uid)
	if h == nil {
		refuse(conn, notAdmitted)
		return
	}
	call := &Call{
		Verb: h.verb, By: h.by, Args: r.Args, Env: r.Env, Options: r.Options, Terminal: r.Terminal, conn: conn,
	}
	s.mu.Lock()
	l := h.line
	s.mu.Unlock()
	if l != nil {
		call.Descriptor, call.Device = true, l.path
	}
	for i := range r.Stdio {
		if !r.Stdio[i] {
			continue
		}
		if err := usable(files[0], uid); err != nil {
			refuse(conn, [...]string{"the standard input ", "the standard output ", "the standard error "}[i]+err.Error())
			return
		}
		call.Stdio[i], files = files[0], files[1:]
	}
	defer closeAll(call.Stdio[:])
	s.converse(conn, call, l)
}

const notAdmitted = "this opened file does not admit the session; execute the file again"

// converse runs the call while it listens to the helper. l is the descriptor's session if it is one.
func (s *Server) converse(conn *wire.Conn, call *Call, l *line) {
	ctx, end := context.WithCancelCause(s.ctx)
	cancel := func() { end(ErrLeft) }
	defer cancel()
	t := &talk{ctx: ctx, cancel: cancel, server: s}
	var heard sync.WaitGroup
	heard.Go(func() { t.hear(conn) })

	a, err := s.o.Handler(ctx, call)
	call.quiet()
	closeAll(call.Stdio[:])
	switch {
	case err != nil:
		a = &Answer{Code: 125, Sentence: s.o.Sentence(err), Err: err}
	case a == nil:
		a = &Answer{}
	}
	l.answered(a.Err)
	if err = a.send(conn); err != nil {
		cancel()
	}
	t.answered(a)
	if err != nil || a.Status == nil {
		_ = conn.Close()
	}
	heard.Wait()
	if a.Gone != nil {
		a.Gone(s.ctx)
	}
}

// ErrLeft is the cause of a call's end when its caller has left, and not the daemon.
var ErrLeft = errors.New("the caller has left")

// talk is what is known of a call by who hears its helper.
type talk struct {
	ctx    context.Context //nolint:containedctx // the call's
	cancel context.CancelFunc
	server *Server

	mu     sync.Mutex
	answer *Answer
	early  []int // signals that came between the Handler's return and now
}

// hear receives what the helper says until it is gone.
func (t *talk) hear(conn *wire.Conn) {
	defer t.cancel()
	for {
		kind, body, files, err := conn.Receive(64)
		closeAll(files)
		if err != nil {
			return
		}
		switch kind {
		case wire.KindSignal:
			n, err := wire.DecodeSignal(body)
			if err != nil {
				return
			}
			t.signal(n)
		case wire.KindEnded:
			if a := t.given(); a != nil && a.Ended != nil {
				a.Ended(t.ctx)
			}
		default:
			return
		}
	}
}

func (t *talk) given() *Answer {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.answer
}

// signal hands on a signal. One that comes before there is a process ends the call, as it would end a program.
func (t *talk) signal(n int) {
	t.mu.Lock()
	a := t.answer
	if a == nil && len(t.early) < 16 {
		t.early = append(t.early, n)
	}
	t.mu.Unlock()
	switch {
	case a != nil:
		t.deliver(a, n)
	case ends(syscall.Signal(n)):
		t.cancel()
	}
}

// answered makes the answer known, and hands on the signals that came too early for it and too late for the call.
func (t *talk) answered(a *Answer) {
	t.mu.Lock()
	t.answer = a
	early := t.early
	t.early = nil
	t.mu.Unlock()
	for _, n := range early {
		t.deliver(a, n)
	}
}

func (t *talk) deliver(a *Answer, n int) {
	if a.Signal == nil {
		return
	}
	// The server's context: an early signal has ended the call's.
	if err := a.Signal(t.server.ctx, n); err != nil {
		t.server.o.Logger.Debug("cannot hand on a signal", "op", "signal", "err", err)
	}
}

// ends tells whether a signal ends a program that has not asked for it.
func ends(n syscall.Signal) bool {
	switch n {
	case syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM:
		return true
	}
	return false
}

func refuse(conn *wire.Conn, sentence string) {
	_ = conn.Send(wire.KindAnswer, (&wire.Answer{Code: 125, Sentence: sentence}).Encode())
}

// closeAll closes files. Those that were closed before, or are nil, do not matter.
func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}
