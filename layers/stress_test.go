package layers

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// Whatever is done at the same time, the store stays whole: every image that is
// ready has its layers, and when all are removed nothing is left.
func TestEverythingAtOnce(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	content := noise(40, 3000)
	shared := layerOf(t, file{name: "file0", content: content})
	const images, workers, rounds = 5, 6, 25
	for i := range images {
		r.push(t, fmt.Sprintf("acme/app:%d", i), imageOf(t, shared, layerOf(t, file{name: "file1", content: content}, file{name: fmt.Sprint(i)})))
	}
	s := openStore(t, t.TempDir(), Options{ViewIdle: time.Millisecond})
	var work sync.WaitGroup
	for w := range workers {
		work.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 1))
			for range rounds {
				oneThing(t, s, r.ref(fmt.Sprintf("acme/app:%d", random.IntN(images))), random.IntN(9), fmt.Sprint(w))
			}
		})
	}
	work.Wait()
	checkWhole(t, s, content)
	for {
		list := s.List()
		if len(list) == 0 {
			break
		}
		name := list[0].Reference
		if name == "" {
			t.Fatalf("an image without tags and containers is here: %+v", list[0])
		}
		if _, err := s.Remove(t.Context(), name, true, 0); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "all to go", func() bool {
		var left []string
		for _, dir := range []string{"layers", "blobs/sha256", "ingest", "staging", "images", "trash"} {
			left = slices.Concat(left, names(t, s, dir))
		}
		return len(left) == 0
	})
}

// oneThing does one of the things that can be done; that it may fail, because
// others do things as well, is no matter.
func oneThing(t *testing.T, s *Store, ref string, what int, who string) {
	ctx := t.Context()
	switch what {
	case 0, 1:
		_ = s.Pull(ctx, ref, PullOptions{})
	case 2:
		_ = s.Pull(ctx, ref, PullOptions{Budget: time.Minute})
	case 3:
		_ = s.Pull(ctx, ref, PullOptions{})
		_ = s.Wait(ctx, ref)
	case 4:
		_ = s.Cancel(ctx, ref)
	case 5:
		_, _ = s.Remove(ctx, ref, who == "0", 0)
	case 6:
		_ = s.Tag(ctx, ref, "tag:"+who, true, 0)
	case 7:
		look(t, s, ref)
	case 8:
		if im, ok := s.Find(ref); ok && im.Usable() && s.Hold(im.ID, who) == nil {
			m, err := s.Mount(ctx, im.ID, nil, nil, 0, true)
			if err != nil {
				t.Errorf("an image that is held cannot be mounted: %v", err)
			} else {
				_ = m.Close()
			}
			s.Release(im.ID, who)
		}
	}
}

func look(t *testing.T, s *Store, ref string) {
	im, ok := s.Find(ref)
	if !ok || !im.Usable() {
		return
	}
	v, err := s.View(t.Context(), im.ID)
	if err != nil {
		if k := KindOf(err); k != NotFound && k != Removed {
			t.Errorf("it cannot be looked at: %v", err)
		}
		return
	}
	v.Release()
}

func TestManyLayers(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	img := imageOf(t)
	for i := range 60 {
		img = addLayer(t, img, layerOf(t, file{name: fmt.Sprintf("dir/%d", i), content: fmt.Sprint(i)})) // each takes from below
	}
	r.push(t, "acme/many:1", img)
	s := openStore(t, t.TempDir(), Options{})
	im := mustPull(t, s, r.ref("acme/many:1"))
	m, err := s.Mount(t.Context(), im.ID, nil, nil, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if got := readFile(t, m, "dir/0") + readFile(t, m, "dir/59"); got != "059" {
		t.Errorf("the first and the last file are %q", got)
	}
}
