package volume

import "context"

// Chown gives a volume to somebody else.
func (s *Store) Chown(ctx context.Context, name string, uid, gid uint32) error {
	h, err := s.enter(ctx, name)
	if err != nil {
		return err
	}
	defer h.gate.give()
	if err := s.shut(ctx, "chown", h); err != nil {
		return err
	}
	defer h.door.give()
	if h.broken != nil {
		return failed("chown", name, h.broken, "the record of the volume %s cannot be read; write repair to ctl first", name)
	}
	v := h.record // only this changes it
	v.UID, v.GID = uid, gid
	if err := write(s.path(name), v, true); err != nil {
		return failed("chown", name, err, "the record of the volume %s cannot be written", name)
	}
	s.crash(PointGiven)
	s.mu.Lock()
	defer s.mu.Unlock()
	h.record.UID, h.record.GID = uid, gid
	return nil
}
