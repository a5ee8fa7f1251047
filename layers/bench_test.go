package layers

import (
	"fmt"
	"testing"

	"hull/layers/reference"
)

// BenchmarkPull pulls six layers of 36 MB from a registry on loopback in this
// process, a sync included.
func BenchmarkPull(b *testing.B) {
	needRoot(b)
	r := newRegistry(b)
	img := imageOf(b)
	var size int64
	for i := range 6 {
		var files []file
		for j := range 36 {
			half := noise(uint64(i*100+j+1), 512<<10)
			files = append(files, file{name: fmt.Sprintf("f%d-%d", i, j), content: half + half})
			size += 1 << 20
		}
		img = addLayer(b, img, layerOf(b, files...))
	}
	r.push(b, "acme/big:1", img)
	b.SetBytes(size)
	for b.Loop() {
		b.StopTimer()
		s := openStore(b, b.TempDir(), Options{})
		b.StartTimer()
		mustPull(b, s, r.ref("acme/big:1"))
		b.StopTimer()
		closeStore(b, s)
		b.StartTimer()
	}
}

// BenchmarkSnapshot is what each change of a store with 1,000 images costs.
func BenchmarkSnapshot(b *testing.B) {
	s := openStore(b, b.TempDir(), Options{})
	s.mu.Lock()
	for i := range 1000 {
		id := fmt.Sprintf("sha256:%064x", i)
		ref, err := reference.Parse(fmt.Sprintf("app:%d", i))
		if err != nil {
			b.Fatal(err)
		}
		st := &stored{ID: id, Manifest: id, Layers: []storedLayer{{Key: id, DiffID: id}}}
		s.images[id] = st
		s.names[ref.Familiar()] = (&record{Status: Ready, origin: origin{Digest: id}, Image: st}).named(ref)
	}
	s.mu.Unlock()
	b.ReportAllocs()
	for b.Loop() {
		s.mu.Lock()
		s.publish()
		s.mu.Unlock()
	}
}
