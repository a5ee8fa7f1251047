package layers

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// platforms pushes an index of images for amd64 and arm64 that share a layer. Its
// content is told apart by mark.
func platforms(t testing.TB, r *testRegistry, rest, mark string) map[string]v1.Image {
	t.Helper()
	shared := layerOf(t, file{name: "shared", content: mark})
	images := map[string]v1.Image{}
	index := v1.ImageIndex(empty.Index)
	for _, arch := range []string{"amd64", "arm64"} {
		img := imageFor(t, arch, imageOf(t, shared, layerOf(t, file{name: "program", content: arch + mark})))
		images["linux/"+arch] = img
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	ref, err := name.ParseReference(r.ref(rest))
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, index); err != nil {
		t.Fatal(err)
	}
	return images
}

// imageFor is an image whose config names an architecture.
func imageFor(t testing.TB, arch string, img v1.Image) v1.Image {
	t.Helper()
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c = c.DeepCopy()
	c.Architecture = arch
	img, err = mutate.ConfigFile(img, c)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// onAMD64 makes a store believe that it is on such a machine, whatever this is.
func onAMD64() Options {
	return Options{Platform: v1.Platform{OS: "linux", Architecture: "amd64"}}
}

func pullFor(t testing.TB, s *Store, ref, platform string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Pull(ctx, ref, PullOptions{Platform: platform, Patient: true, Budget: time.Minute}); err != nil {
		return err
	}
	return s.Wait(ctx, ref)
}

func mustPullFor(t testing.TB, s *Store, ref, platform string) *Image {
	t.Helper()
	if err := pullFor(t, s, ref, platform); err != nil {
		t.Fatalf("pull for %q: %v", platform, err)
	}
	return mustFind(t, s, ref)
}

// findFor is the ID of what is found, empty for nothing.
func findFor(t testing.TB, s *Store, ref, platform string) string {
	t.Helper()
	im, ok, err := s.FindFor(ref, platform)
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		return ""
	}
	return im.ID
}

func TestPullForPlatform(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	images := platforms(t, r, "acme/app:1", "")
	amd, arm := idOf(t, images["linux/amd64"]), idOf(t, images["linux/arm64"])
	s := openStore(t, t.TempDir(), onAMD64())
	ref := r.ref("acme/app:1")
	if im := mustPullFor(t, s, ref, ""); im.ID != amd || im.Platform != "linux/amd64" || im.For != "" {
		t.Fatalf("of no platform in particular came %+v", im)
	}
	if got := findFor(t, s, ref, "linux/arm64"); got != "" {
		t.Errorf("found %s for a platform that was not pulled", got)
	}
	// Asked for another, the name comes to point to that; what it was stays and is found.
	index := mustFind(t, s, ref).Digest
	if im := mustPullFor(t, s, ref, "aarch64"); im.ID != arm || im.Platform != "linux/arm64" || im.For != "linux/arm64" || im.Digest != index {
		t.Fatalf("for linux/arm64 came %+v", im)
	}
	if old := mustFind(t, s, amd); old.Reference != "" {
		t.Errorf("what the name pointed to is %+v", old)
	}
	both := func(s *Store, now string) {
		t.Helper()
		for platform, want := range map[string]string{
			"": now, "linux/amd64": amd, "amd64": amd, "linux": amd, "linux/arm64": arm, "linux/arm64/v8": arm, "linux/s390x": "",
		} {
			if got := findFor(t, s, ref, platform); got != want {
				t.Errorf("for %q there is %s, want %s", platform, got, want)
			}
		}
		// An ID and a manifest's digest mean that very image.
		for name, own := range map[string]string{
			arm: arm, arm[7:]: arm, amd[7:19]: amd, r.ref("acme/app@" + s.names[ref].Image.Manifest): now,
		} {
			for platform, id := range map[string]string{"linux/arm64": arm, "linux/amd64": amd} {
				if got := findFor(t, s, name, platform); (got == id) != (own == id) {
					t.Errorf("by %s for %s there is %s", name, platform, got)
				}
			}
		}
	}
	both(s, arm)
	// Without a wish it is the machine's again, and nothing of it is fetched anew.
	if im := mustPullFor(t, s, ref, ""); im.ID != amd || im.For != "" {
		t.Fatalf("pulled again, it is %+v", im)
	}
	both(s, amd)
	for platform, img := range images {
		layers, err := img.Layers()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range layers {
			if n := r.requestsOf(digestOf(t, l)); n != 1 {
				t.Errorf("a layer for %s was fetched %d times", platform, n)
			}
		}
	}
	closeStore(t, s)
	s = openStore(t, s.dir, onAMD64())
	both(s, amd)
	// A newer index has no more to do with it.
	newer := platforms(t, r, "acme/app:1", "newer")
	if im := mustPullFor(t, s, ref, "linux/arm64"); im.ID != idOf(t, newer["linux/arm64"]) {
		t.Fatalf("the newer is %+v", im)
	}
	if got := findFor(t, s, ref, "linux/amd64"); got != "" {
		t.Errorf("of the newer index there is %s", got)
	}
}

func TestPullForPlatformRefused(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	platforms(t, r, "acme/app:1", "")
	s := openStore(t, t.TempDir(), onAMD64())
	ref := r.ref("acme/app:1")
	for _, words := range []string{"windows/amd64", "linux/nosuch", "nosuch", "linux/arm64/v8/x", "linux/arm64/new", "linux/", "/", "linux /arm64", "linux/arm64/"} {
		wantKind(t, s.Pull(t.Context(), ref, PullOptions{Platform: words}), Invalid)
		if _, _, err := s.FindFor(ref, words); KindOf(err) != Invalid {
			t.Errorf("found by %q: %v", words, err)
		}
	}
	err := pullFor(t, s, ref, "linux/s390x")
	wantKind(t, err, Platform)
	for _, word := range []string{"linux/amd64", "linux/arm64", "linux/s390x is asked for"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the sentence lacks %q: %v", word, err)
		}
	}
	if _, ok := s.Find(ref); ok {
		t.Error("the pull that was refused has left something")
	}
}

// What was pulled with a login is not had by a name that others may look at.
func TestPlatformBehindALogin(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	images := platforms(t, r, "acme/app:1", "")
	s := openStore(t, t.TempDir(), onAMD64())
	ref := r.ref("acme/app:1")
	mustPullFor(t, s, ref, "")
	mustPullFor(t, s, ref, "linux/arm64")
	amd := idOf(t, images["linux/amd64"])
	for _, c := range []struct {
		own, other privacy
		found      bool
	}{
		{privacy{}, privacy{}, true},
		{privacy{}, privacy{true, 7}, false},
		{privacy{true, 8}, privacy{true, 7}, false},
		{privacy{true, 7}, privacy{true, 7}, true},
		{privacy{true, 7}, privacy{}, true},
	} {
		s.mu.Lock()
		for name, p := range map[string]privacy{ref: c.own, amd: c.other} {
			copied := *s.names[name]
			copied.privacy = p
			s.names[name] = &copied
		}
		s.publish()
		s.mu.Unlock()
		if got := findFor(t, s, ref, "linux/amd64"); (got == amd) != c.found {
			t.Errorf("beside %+v, %+v is found as %q", c.own, c.other, got)
		}
	}
}

// A digest of an index means another image for each platform.
func TestPlatformsOfADigest(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	images := platforms(t, r, "acme/app:1", "")
	s := openStore(t, t.TempDir(), onAMD64())
	tag := mustPullFor(t, s, r.ref("acme/app:1"), "linux/arm64")
	ref := r.ref("acme/app@" + tag.Digest)
	if im := mustPullFor(t, s, ref, ""); im.ID != idOf(t, images["linux/amd64"]) {
		t.Fatalf("of the digest came %+v", im)
	}
	if im := mustPullFor(t, s, ref, "linux/arm64"); im.ID != idOf(t, images["linux/arm64"]) || im.For != "linux/arm64" {
		t.Fatalf("of the digest for linux/arm64 came %+v", im)
	}
	if got := findFor(t, s, ref, "linux/amd64"); got != idOf(t, images["linux/amd64"]) {
		t.Errorf("beside it there is %s", got)
	}
	manifest, err := images["linux/arm64"].Digest()
	if err != nil {
		t.Fatal(err)
	}
	wantKind(t, pullFor(t, s, r.ref("acme/app@"+manifest.String()), "linux/amd64"), Platform)
}

// halfPulled gives a store in which the pull of acme/app:1 for linux/arm64 waits for the gate.
func halfPulled(t *testing.T, r *testRegistry, images map[string]v1.Image) (s *Store, gate chan struct{}) {
	t.Helper()
	s, gate = openStore(t, t.TempDir(), onAMD64()), make(chan struct{})
	r.setBlob(onlyLayers(t, images["linux/arm64"], blobFault{wait: gate}))
	if err := s.Pull(t.Context(), r.ref("acme/app:1"), PullOptions{Platform: "linux/arm64", Budget: time.Minute}); err != nil {
		t.Fatal(err)
	}
	return s, gate
}

// Two who want other platforms of a name at once come one after the other.
func TestPullsForTwoPlatforms(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	images := platforms(t, r, "acme/app:1", "")
	s, gate := halfPulled(t, r, images)
	ref := r.ref("acme/app:1")
	if im := mustFind(t, s, ref); im.Platform != "linux/arm64" || im.For != "linux/arm64" {
		t.Errorf("on its way is %+v", im)
	}
	err := s.Pull(t.Context(), ref, PullOptions{Budget: time.Minute})
	wantKind(t, err, Busy)
	if !strings.Contains(err.Error(), "linux/arm64") {
		t.Errorf("it is not said for what: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantKind(t, s.Pull(ctx, ref, PullOptions{Patient: true}), Cancelled)
	second := make(chan error, 1)
	go func() { second <- pullFor(t, s, ref, "linux/amd64") }()
	close(gate)
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	r.setBlob(nil)
	if got := findFor(t, s, ref, ""); got != idOf(t, images["linux/amd64"]) {
		t.Errorf("the later has not got the name but %s", got)
	}
	if got := findFor(t, s, ref, "linux/arm64"); got != idOf(t, images["linux/arm64"]) {
		t.Errorf("of the first there is %s", got)
	}
	// What is on its way beside a usable image of another platform is not that one.
	newer := platforms(t, r, "acme/app:1", "newer")
	gate = make(chan struct{})
	r.setBlob(onlyLayers(t, newer["linux/arm64"], blobFault{wait: gate}))
	if err := s.Pull(t.Context(), ref, PullOptions{Platform: "linux/arm64", Budget: time.Minute}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Remove(t.Context(), idOf(t, images["linux/arm64"]), true, 0); err != nil {
		t.Fatal(err)
	}
	im, ok, err := s.FindFor(ref, "linux/arm64")
	if err != nil || !ok || im.Usable() || im.Status == Ready {
		t.Errorf("what is coming is %+v, %v, %v", im, ok, err)
	}
	close(gate)
	if err := s.Wait(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	if got := findFor(t, s, ref, "linux/arm64"); got != idOf(t, newer["linux/arm64"]) {
		t.Errorf("there is %s", got)
	}
}

// A pull for a platform that the daemon's end interrupts goes on for that, and one that
// failed is tried again for it.
func TestPlatformOfAnInterruptedPull(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	images := platforms(t, r, "acme/app:1", "")
	s, gate := halfPulled(t, r, images)
	ref := r.ref("acme/app:1")
	closeStore(t, s)
	close(gate)
	r.setBlob(onlyLayers(t, images["linux/arm64"], blobFault{fail: 404}))
	s = openStore(t, s.dir, onAMD64())
	if err := s.Wait(t.Context(), ref); err == nil {
		t.Fatal("the pull succeeded without a layer")
	}
	im := mustFind(t, s, ref)
	if im.Status != Failed || im.For != "linux/arm64" {
		t.Fatalf("the failed one is %+v", im)
	}
	r.setBlob(nil)
	if im := mustPullFor(t, s, ref, im.For); im.ID != idOf(t, images["linux/arm64"]) || im.Error != "" {
		t.Errorf("tried again, it is %+v", im)
	}
}

// An image whose config names another platform than the index is what was asked for.
func TestIndexAndConfigDisagree(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	img := imageFor(t, "s390x", imageOf(t, layerOf(t, file{name: "a"})))
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}})
	ref, err := name.ParseReference(r.ref("acme/odd:1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, index); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, t.TempDir(), onAMD64())
	mustPullFor(t, s, r.ref("acme/odd:1"), "linux/arm64")
	if got := findFor(t, s, r.ref("acme/odd:1"), "linux/arm64"); got != idOf(t, img) {
		t.Errorf("for what the index says there is %s", got)
	}
	if got := findFor(t, s, r.ref("acme/odd:1"), "linux/amd64"); got != "" {
		t.Errorf("for another platform there is %s", got)
	}
}

// What is for another platform is pushed, saved, loaded, checked and mended like the rest.
func TestForeignImageTravels(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	images := platforms(t, r, "acme/app:1", "")
	arm := idOf(t, images["linux/arm64"])
	s := openStore(t, t.TempDir(), onAMD64())
	ref := r.ref("acme/app:1")
	im := mustPullFor(t, s, ref, "linux/arm64")
	if err := s.Tag(t.Context(), ref, r.ref("me/copy:1"), false, 0); err != nil {
		t.Fatal(err)
	}
	if got := mustFind(t, s, r.ref("me/copy:1")); got.Platform != "linux/arm64" || got.For != "linux/arm64" {
		t.Errorf("another name of it is %+v", got)
	}
	if err := s.Push(t.Context(), r.ref("me/copy:1"), PushOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(t.Context(), r.ref("me/copy:1")); err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := s.Save(t.Context(), &archive, []string{ref}, nil); err != nil {
		t.Fatal(err)
	}
	other := openStore(t, t.TempDir(), onAMD64())
	if _, err := other.Load(t.Context(), bytes.NewReader(archive.Bytes()), 0); err != nil {
		t.Fatal(err)
	}
	if got := mustFind(t, other, ref); got.ID != arm || got.Platform != "linux/arm64" {
		t.Errorf("loaded, it is %+v", got)
	}
	wantKind(t, pullFor(t, other, r.ref("me/copy:1"), ""), Platform)
	if got := mustPullFor(t, other, r.ref("me/copy:1"), "arm64"); got.ID != arm {
		t.Errorf("what was pushed is %+v", got)
	}
	// Its documents can be fetched again, although no pull without a wish would take them.
	st := s.images[arm]
	if st == nil || im.ID != arm {
		t.Fatalf("the image is %+v", im)
	}
	flip(t, s.blobPath(st.Manifest))
	if left, err := s.Repair(t.Context(), nil, func(string) {}); err != nil || left != 0 {
		t.Fatalf("repair left %d, %v", left, err)
	}
	if err := s.Save(t.Context(), io.Discard, []string{ref}, nil); err != nil {
		t.Errorf("after the repair: %v", err)
	}
}
