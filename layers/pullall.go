package layers

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"hull/layers/reference"
	"hull/layers/registry"
)

// Bounds of PullAll.
const (
	tagsAtOnce = 4
	maxAllTags = 5000 // more is not what anybody means
)

// PullAll brings every tag of a repository ("redis", without a tag), a few at a
// time, and waits for them. Each is a pull of its own, which goes on when ctx ends;
// only no further ones are begun. begun, if not nil, is told the name of each as
// it begins, so that its Progress can be followed; several at once. PullAll returns
// the names of those that are here, sorted, and the failures of the others joined.
func (s *Store) PullAll(ctx context.Context, repository string, o PullOptions, begun func(name string)) ([]string, error) {
	ref, err := parse("pull", repository)
	if err != nil {
		return nil, err
	}
	if ref.Digest != "" || strings.Contains(path.Base(repository), ":") {
		return nil, failf("pull", repository, Invalid, "all tags are asked for, so it is named without a tag or digest")
	}
	tags, err := s.Tags(ctx, repository, o.Keychain)
	if err != nil {
		return nil, err
	}
	if len(tags) > maxAllTags {
		return nil, failf("pull", repository, TooLarge, "it has %d tags, and hull pulls no more than %d at once; pull those you need", len(tags), maxAllTags)
	}
	here, failures := make([]string, len(tags)), make([]error, len(tags))
	var group errgroup.Group
	group.SetLimit(tagsAtOnce)
	for i, tag := range tags {
		if ctx.Err() != nil {
			break
		}
		one := reference.Reference{Domain: ref.Domain, Path: ref.Path, Tag: tag}.Familiar()
		group.Go(func() error {
			if failures[i] = s.pullOne(ctx, one, o, begun); failures[i] == nil {
				here[i] = one
			}
			return nil // one that fails does not end the others
		})
	}
	_ = group.Wait() // the failures are kept one by one
	here = slices.DeleteFunc(here, func(name string) bool { return name == "" })
	slices.Sort(here)
	if err := ctx.Err(); err != nil {
		return here, wrap("pull", repository, err)
	}
	return here, errors.Join(failures...)
}

func (s *Store) pullOne(ctx context.Context, name string, o PullOptions, begun func(string)) error {
	o.Budget = 0
	if err := s.Pull(ctx, name, o); err != nil {
		return err
	}
	if begun != nil {
		begun(name)
	}
	return s.Wait(ctx, name)
}

// Tags lists what tags a repository has in its registry, with the credentials of k
// (nil = the store's).
func (s *Store) Tags(ctx context.Context, repository string, k registry.Keychain) ([]string, error) {
	ref, err := parse("list the tags of", repository)
	if err != nil {
		return nil, err
	}
	tags, err := s.clientOf(k).Tags(ctx, ref)
	return tags, wrap("list the tags of", repository, err)
}

// Search asks a registry for repositories, with the credentials of k (nil = the
// store's).
func (s *Store) Search(ctx context.Context, domain, term string, limit int, k registry.Keychain) ([]registry.Result, error) {
	found, err := s.clientOf(k).Search(ctx, domain, term, limit)
	return found, wrap("search", domain, err)
}

// Login has a registry check credentials, and returns what is to be stored of them.
func (s *Store) Login(ctx context.Context, domain string, c registry.Credential) (registry.Credential, error) {
	stored, err := s.client.Login(ctx, domain, c)
	return stored, wrap("log in to", domain, err)
}
