package unpack

import (
	"bytes"
	"context"
	"fmt"
	"testing"
)

// BenchmarkLayer unpacks 2000 small files in 100 directories.
func BenchmarkLayer(b *testing.B) {
	needRoot(b)
	var entries []entry
	body := string(bytes.Repeat([]byte("x"), 4000))
	for d := range 100 {
		entries = append(entries, folder(fmt.Sprintf("usr/share/d%d", d)))
		for f := range 20 {
			entries = append(entries, file(fmt.Sprintf("usr/share/d%d/f%d", d, f), body))
		}
	}
	layer := archive(b, entries...)
	b.SetBytes(int64(len(layer)))
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		dir := staging(b)
		b.StartTimer()
		if _, err := Layer(context.Background(), bytes.NewReader(layer), dir, Options{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(entries))*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}
