package fs

import (
	"context"
	"fmt"
	"strconv"
)

// sessions is a container's sessions/: what was executed in it, and who is attached, by number.
type sessions struct {
	refusing
}

func openSessions(_ *Tree, e *entry) place { return &sessions{refusing{e}} }

func (p *sessions) entry(s *ContainerSession) *entry {
	e := p.e.child(p.e.row.rows[0], strconv.Itoa(s.Number))
	e.session, e.which = s.Number, s.ID
	e.key = p.e.key + "/" + s.ID // a number is used again
	e.rel = p.e.rel + "/" + s.ID
	return e
}

func (p *sessions) list(context.Context) ([]*entry, error) {
	all, err := p.e.t.Containers.Sessions(p.e.obj.id)
	if err != nil {
		return nil, err
	}
	es := make([]*entry, 0, len(all))
	for _, s := range all {
		if !p.e.t.hides.hidden(p.e.key, strconv.Itoa(s.Number)) {
			es = append(es, p.entry(s))
		}
	}
	return es, nil
}

func (p *sessions) find(_ context.Context, name string) (*entry, error) {
	n, err := strconv.Atoi(name)
	if err != nil || strconv.Itoa(n) != name || p.e.t.hides.hidden(p.e.key, name) {
		return nil, nil
	}
	all, err := p.e.t.Containers.Sessions(p.e.obj.id)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if s.Number == n {
			return p.entry(s), nil
		}
	}
	return nil, nil
}

// rmdir and unlink are of an rm -r of the container: see dissolve.
func (p *sessions) rmdir(_ context.Context, name string) error  { return dissolve(p.e, name) }
func (p *sessions) unlink(_ context.Context, name string) error { return dissolve(p.e, name) }

// ofSession is the snapshot of the session that the entry belongs to.
func (e *entry) ofSession() (*ContainerSession, error) {
	all, err := e.t.Containers.Sessions(e.obj.id)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if s.ID == e.which {
			return s, nil
		}
	}
	return nil, fail(Removed, "", e.path(), fmt.Sprintf("The session %d is not there any more.", e.session))
}

func (s *ContainerSession) status() string {
	if s.Ended {
		return "exited"
	}
	return "running"
}

func sessionExit(s *ContainerSession) string {
	if !s.Ended {
		return ""
	}
	return line(strconv.Itoa(s.Exit))
}

func sessionText(name string, mode uint32, summary string, f func(*ContainerSession) string) *row {
	return text(name, mode, summary, func(_ context.Context, _ *Tree, e *entry) ([]byte, error) {
		s, err := e.ofSession()
		if err != nil {
			return nil, err
		}
		return []byte(f(s)), nil
	})
}

// sessionTTY is where tty leads while the session goes on.
func sessionTTY(_ *Tree, e *entry) string {
	s, err := e.ofSession()
	if err != nil {
		return ""
	}
	return s.Terminal
}

func sessionHasTTY(e *entry) bool {
	s, err := e.ofSession()
	return err == nil && s.Terminal != "" && !s.Ended
}

func killSession(ctx context.Context, t *Tree, e *entry, args []string) error {
	signal, err := optional(e, "kill", "a SIGNAL", args)
	if err != nil {
		return err
	}
	return t.Containers.KillSession(ctx, e.obj.id, e.session, signal)
}

func hangUpSession(ctx context.Context, t *Tree, e *entry, _ []string) error {
	return t.Containers.HangUp(ctx, e.obj.id, e.session)
}
