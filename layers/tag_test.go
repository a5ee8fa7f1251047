package layers

import (
	"slices"
	"testing"
)

func TestTag(t *testing.T) {
	s, im := newFilled(t)
	r := newRegistry(t)
	r.push(t, "other:1", imageOf(t, layerOf(t, file{name: "other"})))
	other := mustPull(t, s, r.ref("other:1"))
	tests := []struct {
		name, source, target string
		move                 bool
		kind                 Kind // -1: none
	}{
		{"new name", im.Reference, "me/app", false, -1},
		{"the same again", im.Reference, "me/app", true, -1},
		{"taken by the same", im.Reference, "me/app", false, Exists},
		{"taken by another", other.Reference, "me/app", false, Exists},
		{"moved", other.Reference, "me/app", true, -1},
		{"by ID", im.ID, "me/id", false, -1},
		{"to a digest", im.Reference, "me/app@" + im.Digest, false, Invalid},
		{"to no reference", im.Reference, "Me/App", false, Invalid},
		{"of nothing", "nosuch", "me/no", false, NotFound},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := s.Tag(t.Context(), tt.source, tt.target, tt.move, 7)
			if tt.kind >= 0 {
				wantKind(t, err, tt.kind)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, want := mustFind(t, s, tt.target), mustFind(t, s, tt.source)
			if got.ID != want.ID || !slices.Contains(want.Tags, got.Reference) {
				t.Errorf("the tag is %+v, its source %+v", got, want)
			}
		})
	}
	if err := s.Rename(t.Context(), "me/app", "me/app:2", 0); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Find("me/app"); ok {
		t.Error("the old name is still here")
	}
	wantKind(t, s.Rename(t.Context(), "me/app:2", im.Reference, 0), Exists)
	wantKind(t, s.Rename(t.Context(), im.ID, "me/x", 0), NotFound)
	// Moving an image's last tag away leaves it without a name.
	if err := s.Tag(t.Context(), im.ID, other.Reference, true, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Tag(t.Context(), im.ID, "me/app:2", true, 0); err != nil {
		t.Fatal(err)
	}
	if got := mustFind(t, s, other.ID); got.Reference != "" || len(got.Tags) != 0 {
		t.Errorf("the image without tags is %+v", got)
	}
}

func TestFindAliases(t *testing.T) {
	s, im := newFilled(t)
	if err := s.Tag(t.Context(), im.ID, "redis", false, 0); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"redis", "redis:latest", "library/redis", "docker.io/library/redis:latest", "index.docker.io/redis",
		im.ID, shortID(im), bareID(im), "sha256:" + shortID(im), byDigest(im),
	} {
		if got, ok := s.Find(name); !ok || got.ID != im.ID {
			t.Errorf("%s leads to %+v, %v", name, got, ok)
		}
	}
	for _, name := range []string{"", "redis:8", "Redis", "sha256:", "sha256:" + im.ID, im.ID[:len("sha256:")+13], "../redis"} {
		if got, ok := s.Find(name); ok {
			t.Errorf("%q leads to %+v", name, got)
		}
	}
	if got, err := s.Parse("docker.io/library/redis"); err != nil || got != "redis:latest" {
		t.Errorf("parsed %q, %v", got, err)
	}
}
