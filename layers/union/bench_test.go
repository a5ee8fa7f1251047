package union

import (
	"fmt"
	"os"
	"testing"
)

// BenchmarkMount is what a start pays for its root: layers id-mapped, upper made.
func BenchmarkMount(b *testing.B) {
	needRoot(b)
	space := users(b)
	for _, n := range []int{1, 5, 20, 100} {
		var lowers []*os.File
		for range n {
			lowers = append(lowers, layer(b, "f=x"))
		}
		b.Run(fmt.Sprintf("layers=%d", n), func(b *testing.B) {
			upper := layer(b)
			for b.Loop() {
				m, err := Mount(Options{Lowers: lowers, Upper: upper, Users: space, Base: base, Volatile: true})
				if err != nil {
					b.Fatal(err)
				}
				m.Close()
			}
		})
	}
}
