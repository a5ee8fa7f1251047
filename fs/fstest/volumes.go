package fstest

import (
	"context"
	"os"

	"hull/fs"
)

// Volumes is the fake as the tree's volumes. A volume's files are what Root gives its name, and its users the containers
// whose setting "mounts" names it.
func (f *Fake) Volumes() fs.Volumes { return fakeVolumes{f} }

type fakeVolumes struct{ f *Fake }

func (s fakeVolumes) List() []*fs.Volume {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	return sorted(s.f.volumes)
}

func (s fakeVolumes) Find(name string) (*fs.Volume, bool) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	v, ok := s.f.volumes[name]
	return v, ok
}

func (s fakeVolumes) Create(_ context.Context, name string, owner fs.Credential) (*fs.Volume, error) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	if s.f.volumes[name] != nil {
		return nil, wrong(fs.Exists, "create", "volumes/"+name, "There is a volume %s.", name)
	}
	v := &fs.Volume{Name: name, Owner: owner.UID, Made: now()}
	s.f.volumes[name] = v
	return v, nil
}

// Chown gives a volume to another user.
func (s fakeVolumes) Chown(_ context.Context, name string, uid uint32) error {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	v, ok := s.f.volumes[name]
	if !ok {
		return wrong(fs.NotFound, "chown", "volumes/"+name, "There is no volume %s.", name)
	}
	given := *v
	given.Owner = uid
	s.f.volumes[name] = &given
	return nil
}

// Use makes containers the users of a volume.
func (f *Fake) Use(name string, containers ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := *f.volumes[name]
	v.Users = containers
	f.volumes[name] = &v
}

func (s fakeVolumes) Spare(name string) error {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	return s.spare(name)
}

func (s fakeVolumes) spare(name string) error {
	v := s.f.volumes[name]
	if v == nil {
		return wrong(fs.NotFound, "remove", "volumes/"+name, "There is no volume %s.", name)
	}
	if len(v.Users) > 0 {
		return wrong(fs.Busy, "remove", "volumes/"+name, "The volume %s is used by %s.", name, v.Users[0])
	}
	if files, _ := os.ReadDir(s.f.roots[name]); s.f.roots[name] != "" && len(files) > 0 {
		return wrong(fs.NotEmpty, "remove", "volumes/"+name, "The volume %s has files in it.", name)
	}
	return nil
}

func (s fakeVolumes) Remove(_ context.Context, name string, all bool) error {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	if err := s.spare(name); err != nil && (!all || fs.KindOf(err) != fs.NotEmpty) {
		return err
	}
	delete(s.f.volumes, name)
	return nil
}

func (s fakeVolumes) Size(name string) (int64, bool) { return 1000, true }
