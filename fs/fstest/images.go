package fstest

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"hull/fs"
)

type image struct {
	fs.Image
	progress *growing
}

// Images is the fake as the tree's images.
func (f *Fake) Images() fs.Images { return fakeImages{f} }

type fakeImages struct{ f *Fake }

func (s fakeImages) List() []*fs.Image {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	return s.f.list
}

func (s fakeImages) Find(name string) (*fs.Image, bool) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	return s.find(name)
}

func (s fakeImages) find(name string) (*fs.Image, bool) {
	ref, err := s.Parse(name)
	for _, i := range s.f.list {
		if err == nil && i.Reference == ref || isID(name, i.ID) {
			return i, true
		}
	}
	return nil, false
}

func isID(name, id string) bool {
	name = strings.TrimPrefix(name, "sha256:")
	return id != "" && (len(name) == 12 || len(name) == 64) && strings.HasPrefix(strings.TrimPrefix(id, "sha256:"), name)
}

// Parse knows the little of Docker's rules that tests need.
func (s fakeImages) Parse(ref string) (string, error) {
	bad := wrong(fs.Invalid, "parse", "", "%q is not an image reference.", ref)
	for _, hub := range []string{"docker.io/", "index.docker.io/"} {
		ref = strings.TrimPrefix(ref, hub)
	}
	ref = strings.TrimPrefix(ref, "library/")
	if ref == "" || strings.ContainsAny(ref, " \t\n") || strings.Contains(ref, "//") || strings.HasPrefix(ref, "/") {
		return "", bad
	}
	name, hash, digest := strings.Cut(ref, "@")
	if digest && len(hash) != len("sha256:")+64 {
		return "", bad
	}
	if !digest {
		name, _, _ = cutTag(ref)
	}
	first, rest, many := strings.Cut(name, "/")
	if many && (strings.Contains(first, ".") && first[0] != '.' || strings.HasPrefix(first, "localhost")) {
		name = rest
	}
	for _, part := range strings.Split(name, "/") {
		if part != strings.ToLower(part) || strings.ContainsAny(part, ":@") || part == "" || strings.Trim(part, "._-") != part {
			return "", bad
		}
	}
	if _, tag, ok := cutTag(ref); !digest && !ok {
		ref += ":latest"
	} else if !digest && tag == "" {
		return "", bad
	}
	return ref, nil
}

func cutTag(ref string) (name, tag string, ok bool) {
	i := strings.LastIndexByte(ref, ':')
	if i < strings.LastIndexByte(ref, '/') || i < 0 {
		return ref, "", false
	}
	return ref[:i], ref[i+1:], true
}

func (s fakeImages) Pull(ctx context.Context, ref, platform string, budget time.Duration) error {
	ref, err := s.Parse(ref)
	if err != nil {
		return err
	}
	f := s.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full {
		return wrong(fs.Space, "pull", "images/"+ref, "The disk is too full to pull %s.", ref)
	}
	if i := f.images[ref]; i != nil && i.Status == "pulling" {
		return nil
	}
	missing := wrong(fs.NotFound, "pull", "images/"+ref, "The registry docker.io has no image %s; check the name and tag.", ref)
	if f.registry[ref] == "" && budget > 0 {
		return missing
	}
	i := f.images[ref]
	if i == nil {
		i = &image{Image: fs.Image{Reference: ref, Made: now()}, progress: &growing{}}
		f.images[ref] = i
	}
	i.Status, i.Error, i.Total, i.For = "pulling", "", 100, platform
	i.progress.add("latest: Pulling from " + ref + "\n")
	switch {
	case f.registry[ref] == "":
		f.finish(i, missing)
	case !f.held[ref]:
		f.finish(i, nil)
	default:
		f.change()
	}
	return nil
}

func (f *Fake) finish(i *image, failure error) {
	i.Status = "ready"
	if failure != nil {
		i.Status, i.Error = "failed", failure.Error()
		i.progress.add(failure.Error() + "\n")
	} else {
		i.ID, i.Digest, i.Platform = f.registry[i.Reference], digest("manifest "+i.Reference), cmp.Or(i.For, "linux/amd64")
		i.Layers = layersOf(i.ID)
		i.Size, i.Done, i.Created = 123456, 100, time.Now().Add(-2*time.Hour)
		i.progress.add("Status: Downloaded newer image for " + i.Reference + "\n")
	}
	f.change()
}

// await waits until done, which is asked with mu held.
func (f *Fake) await(ctx context.Context, done func() bool) error {
	for {
		f.mu.Lock()
		ok, changed := done(), f.changed
		f.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return wrong(fs.Interrupted, "wait", "", "The wait was interrupted; what was begun goes on.")
		}
	}
}

func (s fakeImages) Wait(ctx context.Context, ref string) error {
	var failure error
	err := s.f.await(ctx, func() bool {
		i, ok := s.find(ref)
		if ok && i.Status == "failed" {
			failure = wrong(fs.Unreachable, "pull", "images/"+ref, "%s", i.Error)
		}
		return !ok || i.Status != "pulling"
	})
	if err != nil {
		return err
	}
	return failure
}

func (s fakeImages) Cancel(_ context.Context, ref string) error {
	f := s.f
	f.mu.Lock()
	defer f.mu.Unlock()
	i := f.images[ref]
	if i == nil || i.Status != "pulling" {
		return wrong(fs.NotFound, "cancel", "images/"+ref, "No pull of %s is under way.", ref)
	}
	delete(f.images, ref)
	f.change()
	return nil
}

func (s fakeImages) Tag(_ context.Context, source, target string, move bool) error {
	f := s.f
	f.mu.Lock()
	defer f.mu.Unlock()
	i, ok := s.find(source)
	if !ok {
		return wrong(fs.NotFound, "tag", "images/"+target, "There is no image %s.", source)
	}
	if f.images[target] != nil && !move {
		return wrong(fs.Exists, "tag", "images/"+target, "The name %s is taken.", target)
	}
	n := &image{Image: *i, progress: &growing{}}
	n.Reference, n.Made, n.Tags = target, now(), nil
	f.images[target] = n
	f.change()
	return nil
}

func (s fakeImages) Untag(_ context.Context, name string) error {
	f := s.f
	f.mu.Lock()
	defer f.mu.Unlock()
	i, ok := s.find(name)
	switch {
	case !ok:
		return wrong(fs.NotFound, "untag", "images/"+name, "There is no image %s.", name)
	case isID(name, i.ID) && len(i.Tags) > 1:
		return wrong(fs.Busy, "untag", "images/"+name, "The image %s has several names: %s.", name, strings.Join(i.Tags, ", "))
	}
	for _, c := range f.containers {
		if i.ID != "" && c.ImageID == i.ID && len(i.Tags) < 2 {
			return wrong(fs.Busy, "untag", "images/"+name, "The image %s is used by the container %s.", name, c.Name)
		}
	}
	delete(f.images, i.Reference)
	f.change()
	return nil
}

func (s fakeImages) Remove(_ context.Context, name string, force bool) error {
	f := s.f
	f.mu.Lock()
	defer f.mu.Unlock()
	i, ok := s.find(name)
	if !ok {
		return wrong(fs.NotFound, "remove", "images/"+name, "There is no image %s.", name)
	}
	if len(i.Tags) > 1 && !force {
		return wrong(fs.Busy, "remove", "images/"+name, "The image %s has several names: %s.", name, strings.Join(i.Tags, ", "))
	}
	for _, c := range f.containers {
		if i.ID != "" && c.ImageID == i.ID && !force {
			return wrong(fs.Busy, "remove", "images/"+name, "The image %s is used by the container %s.", name, c.Name)
		}
	}
	delete(f.images, i.Reference)
	for _, t := range i.Tags {
		delete(f.images, t)
	}
	f.change()
	return nil
}

func (s fakeImages) Push(ctx context.Context, ref, target string) error {
	if ref != target {
		if err := s.Tag(ctx, ref, target, true); err != nil {
			return err
		}
	}
	f := s.f
	f.mu.Lock()
	defer f.mu.Unlock()
	i, ok := s.find(target)
	switch {
	case !ok:
		return wrong(fs.NotFound, "push", "images/"+target, "There is no image %s.", target)
	case i.Status != "ready":
		return wrong(fs.Busy, "push", "images/"+target, "The image %s is being pulled.", target)
	}
	f.registry[target] = i.ID
	return nil
}

// Load takes a text whose lines are references, and ends at one that is a dot.
func (s fakeImages) Load(ctx context.Context, r io.Reader) error {
	in := bufio.NewScanner(r)
	for in.Scan() {
		if in.Text() == "." {
			r.(interface{ Ended() }).Ended()
			continue
		}
		ref, err := s.Parse(in.Text())
		if err != nil {
			return err
		}
		s.f.mu.Lock()
		s.f.registry[ref] = digest("image " + ref)
		s.f.mu.Unlock()
		if err := s.Pull(ctx, ref, "", 0); err != nil {
			return err
		}
	}
	return in.Err()
}

func (s fakeImages) Documents(ref string) (*fs.Documents, error) {
	return &fs.Documents{
		Config: []byte(`{"os":"linux"}`), Manifest: []byte(fmt.Sprintf(`{"of":%q}`, ref)), History: []byte("IMAGE     CREATED\n"),
	}, nil
}

func (s fakeImages) Progress(ref string) (fs.Growing, error) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	if i := s.f.images[ref]; i != nil {
		return i.progress, nil
	}
	return nil, nil
}

// Private makes an image one that was pulled with a user's login.
func (f *Fake) Private(ref string, reader uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := f.images[ref]; i != nil {
		i.Private, i.Reader = true, reader
		f.change()
	}
}
