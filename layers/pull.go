package layers

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"hull/layers/reference"
	"hull/layers/registry"
)

// pullsAtOnce is how many pulls fetch layers at the same time; others wait for
// their turn.
const pullsAtOnce = 16

// PullOptions say how a pull is asked for.
type PullOptions struct {
	// Budget is how long Pull waits for the registry's manifest. A failure in that
	// time is Pull's, and leaves nothing behind; after it, Pull returns and the pull
	// goes on. 0 does not wait at all.
	Budget time.Duration
	// By is the uid of who asks.
	By uint32
	// Keychain are the credentials of who asks; nil = the store's.
	Keychain registry.Keychain
	// Platform is what it is to be for, as docker's --platform has it; empty = this machine's.
	Platform string
	// Patient waits for a pull of the same reference for another platform to end, which
	// is Busy otherwise.
	Patient bool
	// Attend, if not nil, says that the caller stays with what it asked for, and may
	// Leave it.
	Attend *Attendance
}

// pull is a pull under way, or what arrives otherwise (an archive, a container's
// changes, a blob that is fetched again): see arrival.go.
type pull struct {
	op       string // "pull", "load", …
	name     string // familiar reference
	ref      reference.Reference
	by       uint32
	asked    string // for which platform, empty for the machine's
	client   *registry.Client
	progress *Progress
	slots    chan struct{}   // full when Downloads blobs are arriving
	ctx      context.Context //nolint:containedctx // the pull's own: it outlives its callers
	cancel   context.CancelCauseFunc
	resolved chan struct{} // closed when the manifest is here, or the pull has ended
	once     sync.Once     // closes resolved
	ended    chan struct{}
	err      error // valid once ended is closed
	parts    atomic.Pointer[[]*part]
	files    map[string]string // blobs that are on the disk already, verified, by digest: their paths
	login    atomic.Bool       // a registry has been given somebody's login
	privacy  privacy           // of an arrival that is no pull: what its image takes over
	direct   atomic.Bool       // a mirror has sent something else than it should: ask it no more

	// Guarded by the store's mu.
	status   Status
	accepted bool            // it is on record and outlives its callers
	slow     bool            // somebody's budget has run out before the manifest was here
	over     bool            // it has ended, err is set
	takenUp  bool            // it goes on with what an earlier daemon began
	callers  int             // in Pull before it was accepted
	attended int             // by so many, who may leave it
	wished   bool            // asked for by somebody who does not stay
	wanted   []string        // its blobs
	pins     map[string]bool // keys of the layers it needs, here or not yet
}

// errDropped is the cause of a pull's cancellation by the removal of its name.
var errDropped = errors.New("the image was removed meanwhile")

// Pull brings an image from its registry, or a newer version of one that is
// here. It checks the reference's syntax and the disk's space, and asks for the
// manifest within the budget; then it returns and the pull goes on in the
// daemon's context. A pull of the same reference that is under way is joined. An
// interrupted caller (ctx) undoes a pull that is not yet accepted and that nobody
// else waits for; an accepted one goes on.
func (s *Store) Pull(ctx context.Context, text string, o PullOptions) error {
	ref, err := parse("pull", text)
	if err != nil {
		return err
	}
	if o.Platform, err = s.asked(o.Platform); err != nil {
		return err
	}
	if here, err := s.pullHere(ctx, ref, o); here || err != nil {
		return wrap("pull", ref.Familiar(), err)
	}
	if err := s.room("pull", ref.Familiar(), 0); err != nil {
		return err
	}
	p, err := s.joinInTurn(ctx, ref, o)
	if err != nil {
		return wrap("pull", ref.Familiar(), err)
	}
	defer s.leavePull(p)
	if o.Budget > 0 {
		budget := time.NewTimer(s.patience(ref, o.Budget))
		defer budget.Stop()
		select {
		case <-p.resolved:
		case <-budget.C:
			s.outOfPatience(p)
		case <-ctx.Done():
			return wrap("pull", p.name, ctx.Err())
		}
	}
	return wrap("pull", p.name, s.accept(ctx, p))
}

// pullHere makes a reference by digest of what is here already under another name
// of the repository, and says whether it has: a digest never means anything else,
// so there is nothing to ask the registry.
func (s *Store) pullHere(ctx context.Context, ref reference.Reference, o PullOptions) (bool, error) {
	name := ref.Familiar()
	if ref.Digest == "" || s.snapshot.Load().digest[name] == "" {
		return false, nil
	}
	if err := s.lockChange(ctx); err != nil {
		return false, err
	}
	defer s.unlockChange()
	sn := s.snapshot.Load()
	im := s.forPull(sn, name, o.Platform)
	if im == nil || sn.names[name] != nil {
		return false, nil
	}
	p := newProgress()
	from := origin{ref.Digest, sn.record[im].For}
	if err := s.point(ref, sn.record[im].Image, from, false, o.By, s.privacyOf(im.ID)); err != nil {
		return false, err
	}
	p.line("%s: Pulling from %s", ref.Digest, ref.Path)
	p.line("Digest: %s", ref.Digest)
	p.line("Status: Image is up to date for %s", name)
	p.end()
	s.mu.Lock()
	s.recent[name] = p
	s.mu.Unlock()
	s.events.add(Event{Action: ActionPulled, Reference: name, ID: im.ID, By: o.By})
	return true, nil
}

// impatience divides the budget of pulls from a registry that does not answer.
const impatience = 10

// patience is how much of a budget is spent on a registry. One that keeps another
// pull waiting at this moment has little more to expect: pulls in one directory
// come one after the other, because the kernel locks it for each mkdir, and twenty
// whole budgets would keep everybody else out of it for as long.
func (s *Store) patience(ref reference.Reference, budget time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pulls {
		if p.slow && p.ref.Domain == ref.Domain && !isClosed(p.resolved) {
			return budget / impatience
		}
	}
	return budget
}

func (s *Store) outOfPatience(p *pull) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.slow = true
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// accept puts a pull on record, so that it outlives its callers and the daemon.
// If it has failed without having been accepted, accept returns why.
func (s *Store) accept(ctx context.Context, p *pull) error {
	if err := s.lockChange(ctx); err != nil {
		return err
	}
	defer s.unlockChange()
	s.mu.Lock()
	accepted, over := p.accepted, p.over
	old := s.names[p.name]
	s.mu.Unlock()
	switch {
	case accepted: // what comes later is in its record, not in its callers' errno
		return nil
	case over:
		return p.err
	case p.ctx.Err() != nil:
		return context.Cause(p.ctx) //nolint:contextcheck // the pull's, not the caller's
	}
	r := &record{Status: Pulling, By: p.by, Made: time.Now().Round(0), Asked: p.asked}
	if old != nil {
		r.Image, r.Lost, r.origin, r.Made, r.Wanted, r.privacy = old.Image, old.Lost, old.origin, old.Made, old.Wanted, old.privacy
	}
	if r.Image == nil {
		r.privacy = p.outcome(nil, "") // what is known of it by now
	}
	r.named(p.ref)
	if err := s.writeRecord(r); err != nil {
		return err
	}
	s.mu.Lock()
	p.accepted = true
	s.names[p.name] = r
	s.publish()
	s.mu.Unlock()
	s.events.add(Event{Action: ActionPulling, Reference: p.name, By: p.by})
	return nil
}

// runPull is a pull from its beginning to its end.
func (s *Store) runPull(p *pull) {
	err := s.doPull(p)
	if err != nil {
		if cause := context.Cause(p.ctx); cause != nil && KindOf(err) == Cancelled {
			err = &Error{Op: "pull", Name: p.name, Kind: Cancelled, Err: cause}
			if errors.Is(cause, context.Canceled) {
				err = failf("pull", p.name, Cancelled, "it was cancelled; ask for it again and it goes on from where it was")
			}
		}
		s.pullFailed(p, wrap("pull", p.name, err))
	}
	p.cancel(nil)
	p.once.Do(func() { close(p.resolved) })
	p.progress.end()
	close(p.ended)
}

// pullFailed takes a failed pull off and puts the failure on record. A pull that
// was not accepted leaves nothing; one that the daemon's end interrupted stays on
// record as it is, to be taken up by the next daemon.
func (s *Store) pullFailed(p *pull, err error) {
	s.change <- struct{}{} // not for long, and this must be done
	defer s.unlockChange()
	s.mu.Lock()
	old := s.names[p.name]
	record := p.accepted && old != nil && s.ctx.Err() == nil
	// One that was not accepted is told to its callers. But of an image that never
	// came, the newest reason is what everybody wants to know.
	again := !p.accepted && old != nil && old.Status == Failed && s.ctx.Err() == nil && KindOf(err) != Cancelled
	s.mu.Unlock()
	r := old
	if record || again {
		copied := *old
		r = &copied
		r.Error, r.ErrorKind, r.Wanted, r.Asked = err.Error(), KindOf(err).String(), p.wanted, p.asked
		if r.Image == nil {
			r.privacy = p.outcome(nil, "")
		}
		r.Status = Failed
		if r.Image != nil {
			r.Status = Ready
		}
		if KindOf(err) == Space {
			r.Wanted = nil // its partial blobs go, to make room again
		}
		if e := s.writeRecord(r); e != nil {
			s.log.Warn("a pull's failure could not be recorded; it will be tried again at the next start", "image", p.name, "err", e)
		}
	}
	s.mu.Lock()
	p.err, p.over = err, true
	delete(s.pulls, p.name)
	if record || again {
		s.names[p.name] = r
	} else if old == nil {
		delete(s.recent, p.name)
	}
	s.publish()
	s.mu.Unlock()
	if record {
		s.logFailure("a pull failed", "pull", p.name, err)
		s.events.add(Event{Action: ActionFailed, Reference: p.name, By: p.by, Err: err})
	}
	s.collect(p.by)
}

// logFailure logs the failure of accepted work: of what somebody cancelled there is
// nothing to see to.
func (s *Store) logFailure(what, op, image string, err error) {
	level := slog.LevelWarn
	if KindOf(err) == Cancelled {
		level = slog.LevelInfo
	}
	s.log.Log(s.ctx, level, what, "image", image, "op", op, "err", err)
}
