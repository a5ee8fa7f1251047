package layers

import "fmt"

// lose makes the record that of an image of which something is missing. What is
// there of it stays for a repair.
func (r *record) lose() {
	r.Lost, r.Image, r.Status, r.ErrorKind = r.Image, nil, Failed, Corrupt.String()
	r.digests = nil
	r.Error = "parts of " + r.name + " are missing in the store; write repair to hull's ctl, pull it again, or remove it"
}

// of are the records of an image, whole or not. The caller holds mu.
func (s *Store) of(id string) []*record {
	var list []*record
	for _, r := range s.names {
		if im := r.all(); im != nil && im.ID == id {
			list = append(list, r)
		}
	}
	return list
}

// missing says what an image lacks; "" if nothing. The caller holds mu.
func (s *Store) missing(im *stored) string {
	for _, l := range im.Layers {
		if s.layers[l.Key] == nil {
			return "its layer " + l.Key
		}
	}
	for _, digest := range []string{im.Manifest, im.ID} {
		if _, have := s.blobs[digest]; !have {
			return "its document " + digest
		}
	}
	return ""
}

// lostImages looks at those that were found not to be whole when the store was
// opened, and brings what they lack.
func (in *inspection) lostImages() error {
	in.mu.Lock()
	var broken []*stored
	seen := map[string]bool{}
	for _, r := range in.names {
		if r.Lost != nil && in.pulls[r.name] == nil && !seen[r.Lost.ID] {
			seen[r.Lost.ID] = true
			broken = append(broken, r.Lost)
			in.p.keep(r.Lost)
		}
	}
	in.mu.Unlock()
	for _, st := range broken {
		in.mu.Lock()
		lacks := in.missing(st)
		in.mu.Unlock()
		if lacks == "" {
			lacks = "nothing any more" // a pull of another name has brought it
		}
		in.flaw(func() (string, error) { return in.regain(st) }, "the image %s is not whole: %s is missing", in.called(st), lacks)
		if err := in.p.ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// called is what people know an image by.
func (in *inspection) called(st *stored) string {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, r := range in.of(st.ID) {
		if r.Reference != "" {
			return fmt.Sprintf("%s (%s)", r.name, st.ID)
		}
	}
	return st.ID
}

// regain brings what an image lacks. If that is not to be had any more, the image
// is given up.
func (in *inspection) regain(st *stored) (how string, err error) {
	err = in.bringMissing(st)
	switch {
	case err == nil:
		return "what it lacked was fetched again", in.Store.regained(st)
	case in.p.ctx.Err() != nil, mayPass(err):
		return "", err
	}
	how, e := in.giveUp(st)
	if e != nil {
		return "", e
	}
	return how + ", for it is not to be had again: " + err.Error(), nil
}

func (in *inspection) bringMissing(st *stored) error {
	if !in.hasBlob(st.Manifest) || !in.hasBlob(st.ID) {
		if err := in.fetchDocuments(st); err != nil {
			return err
		}
	}
	for i, l := range st.Layers {
		in.mu.Lock()
		have := in.layers[l.Key] != nil
		in.mu.Unlock()
		if have {
			continue
		}
		if !in.hasBlob(l.Blob) {
			if err := in.bringBlob(in.p.ctx, in.p, l); err != nil {
				return err
			}
		}
		fresh, err := in.unpackAgain(st, i)
		if err != nil {
			return err
		}
		err = in.replace(l.Key, fresh)
		fresh.drop(in.Store)
		if err != nil {
			return err
		}
	}
	return nil
}

// regained makes the records of an image that is whole again ready.
func (s *Store) regained(st *stored) error {
	if err := s.lockChange(s.ctx); err != nil {
		return err
	}
	defer s.unlockChange()
	return s.regainedLocked(st)
}

// regainedLocked is regained for a caller that holds the change lock.
func (s *Store) regainedLocked(st *stored) error {
	s.mu.Lock()
	st = s.sized(st)
	records := s.of(st.ID)
	s.mu.Unlock()
	for _, old := range records {
		if old.Lost == nil || old.Lost.Manifest != st.Manifest {
			continue
		}
		copied := *old
		r := &copied
		r.Image, r.Lost, r.Error, r.ErrorKind = st, nil, "", ""
		if r.Status == Failed {
			r.Status = Ready
		}
		if r.Reference != "" {
			ref, err := parse("repair", r.Reference)
			if err != nil {
				return err
			}
			r.named(ref)
		}
		if err := s.writeRecord(r); err != nil {
			return err
		}
		s.mu.Lock()
		s.names[r.name], s.images[st.ID] = r, st
		s.publish()
		s.mu.Unlock()
	}
	return nil
}

// giveUp makes an image that lost something for good one whose pull failed.
func (s *Store) giveUp(st *stored) (how string, err error) {
	if err := s.lockChange(s.ctx); err != nil {
		return "", err
	}
	defer s.unlockChange()
	s.mu.Lock()
	held := len(s.holders[st.ID]) > 0
	records := s.of(st.ID)
	s.mu.Unlock()
	if held {
		return "", failf("repair", st.ID, Busy, "something of it is lost for good, and containers are made of it; remove those first")
	}
	for _, old := range records {
		if old.Reference == "" {
			if err := s.forget(old); err != nil {
				return "", err
			}
			continue
		}
		copied := *old
		r := &copied
		r.lose()
		r.Lost = nil
		r.Error = "parts of " + r.name + " are lost; pull it again, or remove it"
		if err := s.writeRecord(r); err != nil {
			return "", err
		}
		s.mu.Lock()
		s.names[r.name] = r
		s.mu.Unlock()
	}
	s.mu.Lock()
	s.publish()
	s.mu.Unlock()
	s.collect(0)
	return "given up; pull it again", nil
}
