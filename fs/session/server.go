// Package session serves the programs which executed verb files are.
//
// A verb file that is opened read-write is a [Handle]. Its opener, whom the kernel has let open it, may ask it by ioctl
// for a ticket: a token, and the path of the [Server]'s socket. Whoever shows the token on the socket, once, and has the
// opener's user ID, starts a [Call] with the opener's authority: the server checks the descriptors that came, runs the
// [Handler], and sends its [Answer] with the descriptors in it. From then on the helper needs no daemon: the process's
// terminal, pipes and exit status are in its own hands. While both live, the connection brings the helper's signals to
// Answer.Signal.
//
// Whoever reads and writes a Handle itself has a session on that descriptor. Then the server starts a helper, which runs
// with the opener's ids on the far end of a terminal (see line), and the rest is as if the file had been executed.
//
// The socket is open to every user, because only the token matters. So before a token was shown a connection costs
// little and lasts ten seconds at most, and each user has a bounded number of connections.
//
// Nothing is called while a lock is held. Server.mu is the only lock beside that of each Call's printing.
package session

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// The server's bounds.
const (
	// patience is how long a connection may take to say what it wants.
	patience = 10 * time.Second
	// maxSessions is how many connections a user other than root may have.
	maxSessions = 256
	// socketName is the socket's name in the run directory.
	socketName = "session.sock"
)

// Options are what a Server is made of.
type Options struct {
	// Dir is the run directory, which every user may enter.
	Dir string
	// Handler does the calls.
	Handler Handler
	// Sentence gives what a Handler's error says to a person.
	Sentence func(error) string
	// Helper is the command that stands between an opened descriptor and its session: a program and its first arguments.
	Helper []string
	Logger *slog.Logger
}

// Server is the daemon's end of all sessions.
type Server struct {
	o        Options
	path     string
	listener *net.UnixListener
	ctx      context.Context //nolint:containedctx // the daemon's: what connections do belongs to it, not to a caller's request
	cancel   context.CancelFunc
	joined   sync.WaitGroup

	mu     sync.Mutex
	closed bool
	tokens map[string]*Handle
	lines  map[*line]struct{}
	conns  map[*net.UnixConn]struct{}
	users  map[uint32]int // connections by user
}

// NewServer listens on a socket in o.Dir. A socket left there by a dead daemon is replaced: that no other daemon lives
// is for the caller to know. All calls end with ctx.
func NewServer(ctx context.Context, o Options) (*Server, error) {
	if o.Handler == nil || o.Sentence == nil || o.Logger == nil {
		return nil, errors.New("session: handler, sentence and logger must be set")
	}
	path, err := filepath.Abs(filepath.Join(o.Dir, socketName))
	if err != nil {
		return nil, fmt.Errorf("the session socket: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the session socket of an earlier daemon: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("the session socket %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o666); err != nil { //nolint:gosec // every user may connect: only the token admits
		return nil, errors.Join(fmt.Errorf("the session socket: %w", err), l.Close())
	}
	s := &Server{
		o: o, path: path, listener: l,
		tokens: map[string]*Handle{}, lines: map[*line]struct{}{}, conns: map[*net.UnixConn]struct{}{}, users: map[uint32]int{},
	}
	s.ctx, s.cancel = context.WithCancel(ctx)
	s.joined.Go(s.accept)
	return s, nil
}

// Close ends all connections, and returns when every Handler has. Processes of sessions are not touched: their helpers
// go on without a daemon, but for those on descriptors, which end with the mount that these are of.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	conns := make([]*net.UnixConn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	lines := make([]*line, 0, len(s.lines))
	for l := range s.lines {
		lines = append(lines, l)
	}
	s.mu.Unlock()
	s.cancel()
	err := s.listener.Close()
	for _, c := range conns {
		_ = c.Close()
	}
	for _, l := range lines {
		l.abandon()
	}
	s.joined.Wait()
	return err
}

func (s *Server) accept() {
	pause := time.Millisecond
	for {
		c, err := s.listener.AcceptUnix()
		if err == nil {
			pause = time.Millisecond
			s.take(c)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		// Out of descriptors or memory: others may give some back.
		s.o.Logger.Error("cannot accept a session", "op", "accept", "err", err)
		select {
		case <-time.After(pause):
			pause = min(2*pause, time.Second)
		case <-s.ctx.Done():
			return
		}
	}
}

// take starts serving a connection, unless its user has too many.
func (s *Server) take(c *net.UnixConn) {
	uid, err := peer(c)
	s.mu.Lock()
	refuse := err != nil || s.closed || (uid != 0 && s.users[uid] >= maxSessions)
	if !refuse {
		s.conns[c] = struct{}{}
		s.users[uid]++
		s.joined.Go(func() {
			defer s.drop(c, uid)
			s.serve(c, uid)
		})
	}
	s.mu.Unlock()
	if refuse {
		_ = c.Close()
	}
}

func (s *Server) drop(c *net.UnixConn, uid uint32) {
	_ = c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if s.users[uid]--; s.users[uid] == 0 {
		delete(s.users, uid)
	}
}
