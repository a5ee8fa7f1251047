package layers

import (
	"context"
	"errors"
	"io"
	"sync"

	"hull/layers/internal/sys"
	"hull/layers/reference"
	"hull/layers/registry"
)

// PushOptions say how a push is asked for.
type PushOptions struct {
	By       uint32            // uid of who asks
	Keychain registry.Keychain // credentials of who asks; nil = the store's
	Through  string            // another name of the image by which it is asked for, and which is to tell of it too; empty = none
}

// push is a push under way.
type push struct {
	*pull   // its arrival: what it keeps, and what it fetches again
	image   *stored
	through []string // other names of the image by which it was asked for; the store's mu guards it

	mu   sync.Mutex
	sent map[string]int64  // bytes done, by blob
	told map[string]string // the last line, by blob
}

// Push brings an image to the registry and repository that its reference names. It
// returns when the push is accepted, which then goes on in the daemon's context;
// Wait, Cancel and Progress are the same as for a pull, and its failure ends up in
// Image.Error; Wait, Cancel and Image.Error of the name it was asked for by, too. A push of the same reference that is under way is joined. One that
// the daemon's end interrupts goes on with the next, and sends only what is missing.
func (s *Store) Push(ctx context.Context, text string, o PushOptions) error {
	if err := ctx.Err(); err != nil {
		return wrap("push", text, err)
	}
	ref, err := parse("push", text)
	if err != nil {
		return err
	}
	name := ref.Familiar()
	if ref.Digest != "" {
		return failf("push", name, Invalid, "a digest is no name to push to; tag the image, and push the tag")
	}
	if err := s.lockChange(ctx); err != nil {
		return wrap("push", name, err)
	}
	defer s.unlockChange()
	return wrap("push", name, s.beginPush(ref, o, 0))
}

// beginPush puts a push on record and starts it, unless there is one already, or
// there cannot be one. The caller holds the change lock.
func (s *Store) beginPush(ref reference.Reference, o PushOptions, tries int) error {
	p := &push{sent: map[string]int64{}, told: map[string]string{}}
	p.pull = s.arrive(s.ctx, "push", ref.Familiar(), o.By, s.clientOf(o.Keychain))
	p.ref, p.ended = ref, make(chan struct{})
	if o.Through != "" {
		through, err := s.nameOf("push", o.Through)
		if err != nil {
			s.depart(p.pull)
			return err
		}
		p.through = []string{through}
	}
	old, err := s.pushable(p)
	if old == nil {
		s.depart(p.pull)
		return err
	}
	copied := *old
	r := &copied
	r.Push, r.Tries = &pusher{o.By, o.Through}, tries
	err = s.writeRecord(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && s.closed {
		err = failf("push", p.name, Cancelled, "%w", errClosed)
	}
	if err != nil {
		delete(s.pushes, p.name)
		delete(s.arrivals, p.pull)
		p.cancel(nil)
		p.err = err
		close(p.ended)
		return err
	}
	s.names[p.name], s.recent[p.name] = r, p.progress
	s.publish()
	s.work.Go(func() { s.runPush(p) })
	s.events.add(Event{Action: ActionPushing, Reference: p.name, ID: p.image.ID, By: o.By})
	return nil
}

// pushable keeps what a push needs, and returns its image's record; nil if there is
// such a push already, or err says why there cannot be one.
func (s *Store) pushable(p *push) (r *record, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r = s.names[p.name]
	switch {
	case s.closed:
		return nil, failf("push", p.name, Cancelled, "%w", errClosed)
	case s.pushes[p.name] != nil:
		under := s.pushes[p.name]
		under.through = append(under.through, p.through...)
		return nil, nil
	case s.pulls[p.name] != nil:
		return nil, failf("push", p.name, Busy, "it is being pulled; cancel the pull first, or wait for it")
	case r == nil || r.Image == nil:
		return nil, failf("push", p.name, NotFound, "there is no such image here")
	}
	p.image = r.Image
	p.keep(r.Image)
	s.pushes[p.name] = p // from now on nothing else is done with that name
	return r, nil
}

// runPush is a push from its beginning to its end.
func (s *Store) runPush(p *push) {
	digest, err := s.doPush(p)
	if err != nil {
		err = p.cause(err, "it was cancelled; ask for it again and only what is missing is sent")
	}
	s.pushEnded(p, digest, err)
	s.depart(p.pull)
	p.progress.end()
	close(p.ended)
}

func (s *Store) doPush(p *push) (digest string, err error) {
	img := &registry.Image{
		Reference: p.ref, Digest: p.image.Manifest, ManifestDigest: p.image.Manifest,
		MediaType: p.image.MediaType, ConfigDigest: p.image.ID, Platform: p.image.Platform,
	}
	for _, l := range p.image.Layers {
		img.Layers = append(img.Layers, registry.Layer{Digest: l.Blob, MediaType: l.MediaType, Size: l.BlobSize, DiffID: l.DiffID})
	}
	if img.Manifest, err = s.readBlob(p.name, p.image.Manifest); err != nil {
		return "", err
	}
	if img.Config, err = s.readBlob(p.name, p.image.ID); err != nil {
		return "", err
	}
	s.crash("push.begun")
	p.progress.line("The push refers to repository [%s/%s]", p.ref.Domain, p.ref.Path)
	digest, err = p.client.Telling(repeating(p.progress.say)).Push(p.ctx, p.ref, img, registry.PushOptions{
		Open:     func(l registry.Layer, offset int64) (io.ReadCloser, error) { return s.openForPush(p, l, offset) },
		From:     func(l registry.Layer) []string { return s.from(p.ref.Domain, l.Digest) },
		Progress: p.transfer,
	})
	if err != nil {
		return "", err
	}
	s.crash("push.sent")
	p.progress.line("%s: digest: %s size: %d", p.ref.Tag, digest, len(img.Manifest))
	return digest, nil
}

// openForPush opens a blob, after it was fetched again if need be.
func (s *Store) openForPush(p *push, l registry.Layer, offset int64) (io.ReadCloser, error) {
	if !s.hasBlob(l.Digest) {
		err := s.bringBlob(p.ctx, p.pull, storedLayer{Blob: l.Digest, MediaType: l.MediaType, BlobSize: l.Size, DiffID: l.DiffID})
		if err != nil {
			return nil, err
		}
	}
	f, err := sys.OpenRegular(s.blobPath(l.Digest))
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		_ = f.Close() // it was not even read
		return nil, err
	}
	return f, nil
}

// transfer writes down what the client tells of a layer, in the lines of docker
// push.
func (p *push) transfer(t registry.Transfer) {
	line := ""
	done := t.Layer.Size
	switch t.Stage {
	case registry.Waiting:
		line, done = "Preparing", 0
	case registry.Queued:
		line, done = "Waiting", 0
	case registry.Pushing:
		line, done = pushing, t.Done
	case registry.Pushed:
		line = "Pushed"
	case registry.Present:
		line = "Layer already exists"
	case registry.Mounted:
		line = "Mounted from " + t.From
	case registry.Skipped:
		line = "Skipped foreign layer"
	}
	p.mu.Lock()
	p.sent[t.Layer.Digest] = done
	told := p.told[t.Layer.Digest] == line
	p.told[t.Layer.Digest] = line
	p.mu.Unlock()
	if !told {
		p.progress.phase(shortDigest(t.Layer.DiffID), line)
	}
}

// bytes is how much of the push is done, and how much it is.
func (p *push) bytes() (done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := map[string]bool{}
	for _, l := range p.image.Layers {
		if !seen[l.Blob] {
			seen[l.Blob] = true
			total += l.BlobSize
			done += p.sent[l.Blob]
		}
	}
	return done, total
}

// transfers are the layers that are going at this moment.
func (p *push) transfers() []Transfer {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []Transfer
	for _, l := range p.image.Layers {
		if p.told[l.Blob] == pushing {
			list = append(list, Transfer{shortDigest(l.DiffID), pushing, p.sent[l.Blob], l.BlobSize})
		}
	}
	return list
}

// pushEnded takes a push off, and puts on record how it ended: its failure, or
// that the repository has the layers now.
func (s *Store) pushEnded(p *push, digest string, err error) {
	s.change <- struct{}{} // not for long, and this must be done
	defer s.unlockChange()
	s.mu.Lock()
	old, through := s.names[p.name], s.askedBy(p)
	var all *stored
	if err == nil {
		if now := s.images[p.image.ID]; now != nil {
			all = now.sourced(p.ref, nil)
			s.images[p.image.ID] = all
		}
	}
	s.mu.Unlock()
	r := old
	dropped := errors.Is(err, errDropped) || (err != nil && s.ctx.Err() != nil)
	if old != nil && old.Image != nil && old.Image.ID == p.image.ID && !dropped {
		r = old.told(err)
		r.Push, r.Tries = nil, 0
		if err == nil {
			r.Digest = digest
		}
		if all != nil {
			r.Image = all
		}
		s.recordPush(r.named(p.ref))
		for i, o := range through {
			through[i] = o.told(err)
			s.recordPush(through[i])
		}
	}
	s.mu.Lock()
	p.err = err
	delete(s.pushes, p.name)
	if r != nil {
		s.names[p.name] = r
	}
	for _, o := range through {
		s.names[o.name] = o
	}
	s.publish()
	s.mu.Unlock()
	switch {
	case err == nil:
		s.events.add(Event{Action: ActionPushed, Reference: p.name, ID: p.image.ID, By: p.by})
	case !dropped:
		s.logFailure("a push failed", "push", p.name, err)
		s.events.add(Event{Action: ActionFailed, Reference: p.name, ID: p.image.ID, By: p.by, Err: err})
	}
	s.collect(p.by) // its own pins end with it, at the next one at the latest
}

// askedBy are the records of the other names by which a push was asked for. The caller holds mu.
func (s *Store) askedBy(p *push) []*record {
	var all []*record
	for _, name := range p.through {
		if r := s.names[name]; r != nil && r.Image != nil && r.Image.ID == p.image.ID {
			all = append(all, r)
		}
	}
	return all
}

// told is the record of a name that tells of a push's failure, or that there was none.
func (r *record) told(err error) *record {
	copied := *r
	copied.Error, copied.ErrorKind = "", ""
	if err != nil {
		copied.Error, copied.ErrorKind = err.Error(), KindOf(err).String()
	}
	return &copied
}

func (s *Store) recordPush(r *record) {
	if err := s.writeRecord(r); err != nil {
		s.log.Warn("how a push ended could not be recorded", "image", r.name, "op", "push", "err", err)
	}
}
