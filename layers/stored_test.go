package layers

import (
	"os"
	"slices"
	"strconv"
	"testing"
)

// Each layer is stored once, and knows whose it is.
func TestStoredLayers(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	base := layerOf(t, file{name: "a"})
	r.push(t, "acme/app:1", imageOf(t, base, layerOf(t, file{name: "b"})))
	r.push(t, "acme/app:2", imageOf(t, base, layerOf(t, file{name: ".wh.a"})))
	s := openStore(t, t.TempDir(), Options{})
	one, two := mustPull(t, s, r.ref("acme/app:1")), mustPull(t, s, r.ref("acme/app:2"))
	if len(one.Layers) != 2 || len(two.Layers) != 2 || one.Layers[0] != two.Layers[0] {
		t.Fatalf("the layers are %v and %v", one.Layers, two.Layers)
	}
	list := s.StoredLayers()
	if len(list) != 3 || !slices.IsSortedFunc(list, func(a, b StoredLayer) int { return slices.Compare([]string{a.ID}, []string{b.ID}) }) {
		t.Fatalf("the store has %+v", list)
	}
	if got, want := s.LayerUsers(one.Layers[0]), []string{one.Reference, two.Reference}; !slices.Equal(got, want) {
		t.Errorf("the shared layer is of %v, want %v", got, want)
	}
	if got := s.LayerUsers(two.Layers[1]); !slices.Equal(got, []string{two.Reference}) {
		t.Errorf("the other layer is of %v", got)
	}
	digest, err := base.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if got := s.LayerDigests(one.Layers[0]); !slices.Equal(got, []string{digest.String()}) {
		t.Errorf("its digests are %v, want %v", got, digest)
	}
	before, ok := s.StoredLayer(one.Layers[0])
	if !ok || before.Made.IsZero() || before.DiffID == "" || before.Entries == 0 {
		t.Errorf("it is %+v", before)
	}
	if _, ok := s.StoredLayer("sha256:nosuch"); ok {
		t.Error("there is a layer of no name")
	}

	// What takes away is seen by itself.
	dir, err := s.LayerView(t.Context(), two.Layers[1])
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	info, err := os.Lstat("/proc/self/fd/" + strconv.Itoa(int(dir.Fd())) + "/a")
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		t.Errorf("the whiteout is %v, %v", info, err)
	}
	if err := os.WriteFile("/proc/self/fd/"+strconv.Itoa(int(dir.Fd()))+"/new", nil, 0o644); err == nil {
		t.Error("a layer can be written to")
	}

	if _, err := s.Remove(t.Context(), two.Reference, false, 0); err != nil {
		t.Fatal(err)
	}
	if got := s.LayerUsers(one.Layers[0]); !slices.Equal(got, []string{one.Reference}) {
		t.Errorf("after a removal it is of %v", got)
	}
	_, err = s.LayerView(t.Context(), two.Layers[1])
	wantKind(t, err, NotFound)
	closeStore(t, s)
	s = openStore(t, s.dir, Options{})
	if after, ok := s.StoredLayer(one.Layers[0]); !ok || after != before {
		t.Errorf("after a restart it is %+v, before %+v", after, before)
	}
}
