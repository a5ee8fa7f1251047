package session

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"hull/fs/wire"
)

// OpenFlags are the flags with which the kernel must be told that a Handle was opened: no cache, no size, no seeking,
// and nothing to be asked when a descriptor of it is closed.
const OpenFlags = fuse.FOPEN_DIRECT_IO | fuse.FOPEN_STREAM | fuse.FOPEN_NOFLUSH

// Handle is a verb file opened read-write: a go-fuse file handle.
type Handle struct {
	server *Server
	verb   Verb
	by     Credential
	tokens []string // under Server.mu
	closed bool     // under Server.mu
	line   *line    // the session on the descriptor itself, nil while there is none; under Server.mu

	begun  chan struct{} // holds one; whoever takes it may begin a session
	failed error         // why there is none; of who has taken begun
}

var (
	_ fusefs.FileIoctler  = (*Handle)(nil)
	_ fusefs.FileReleaser = (*Handle)(nil)
)

// Open makes the handle of a verb file which by has opened read-write. The caller has checked that it may.
func (s *Server) Open(v Verb, by Credential) *Handle {
	h := &Handle{server: s, verb: v, by: by, begun: make(chan struct{}, 1)}
	h.begun <- struct{}{}
	return h
}

// maxTokens is how many tokens of one open file may wait for their connections.
const maxTokens = 16

// Ioctl answers the request for a ticket, and ENOTTY to all others, as a file that is no device does. Isatty(3), for
// one, asks every file it meets.
func (h *Handle) Ioctl(_ context.Context, cmd uint32, _ uint64, _, out []byte) (int32, syscall.Errno) {
	if cmd != wire.IoctlTicket || len(out) != wire.TicketSize {
		return 0, syscall.ENOTTY
	}
	return 0, h.ticket(out)
}

// ticket makes a token and fills in a ticket for it.
func (h *Handle) ticket(out []byte) syscall.Errno {
	var b [wire.TokenSize / 2]byte
	_, _ = rand.Read(b[:]) // it never fails
	t := wire.Ticket{Version: wire.Version, Token: hex.EncodeToString(b[:]), Verb: h.verb.Kind, Socket: h.server.path}
	if t.Put(out) != nil {
		return syscall.ENAMETOOLONG
	}
	h.server.mu.Lock()
	defer h.server.mu.Unlock()
	if h.closed || h.server.closed {
		return syscall.ESHUTDOWN
	}
	if len(h.tokens) == maxTokens {
		delete(h.server.tokens, h.tokens[0])
		h.tokens = h.tokens[1:]
	}
	h.tokens = append(h.tokens, t.Token)
	h.server.tokens[t.Token] = h
	return 0
}

// admits tells whether a token is good for that user, and leaves it so.
func (s *Server) admits(token string, uid uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.tokens[token]
	return h != nil && h.by.UID == uid
}

// redeem gives the handle of a token, which is then good no more. Nil if there is none for that user.
func (s *Server) redeem(token string, uid uint32) *Handle {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.tokens[token]
	if h == nil || h.by.UID != uid {
		return nil
	}
	delete(s.tokens, token)
	for i, t := range h.tokens {
		if t == token {
			h.tokens = append(h.tokens[:i], h.tokens[i+1:]...)
			break
		}
	}
	return h
}

// Release forgets the tokens that were not used, and ends the session on the descriptor. Calls of others that were
// started go on.
func (h *Handle) Release(context.Context) syscall.Errno {
	h.server.mu.Lock()
	h.closed = true
	for _, t := range h.tokens {
		delete(h.server.tokens, t)
	}
	h.tokens = nil
	l := h.line
	h.server.mu.Unlock()
	l.hangUp()
	return 0
}
