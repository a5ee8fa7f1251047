package volume

import "context"

// Chown gives a volume to somebody else.
func (s *Store) Chown(ctx context.Context, name string, uid, gid uint32) error {
	h, err := s.enter(ctx, name)
	if err != nil {
		return err
	}
	defer h.unlock()
	// The lock is held over the write: nobody removes the volume and makes another of its name meanwhile.
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.volumes[name] != h:
		return fail("chown", name, NotFound, "there is no volume %s", name)
	case h.broken != nil:
		return failed("chown", name, h.broken, "the record of the volume %s cannot be read; write repair to ctl first", name)
	}
	v := h.record
	v.UID, v.GID = uid, gid
	if err := write(s.path(name), v, true); err != nil {
		return failed("chown", name, err, "the record of the volume %s cannot be written", name)
	}
	s.crash(PointGiven)
	h.record.UID, h.record.GID = uid, gid
	return nil
}
