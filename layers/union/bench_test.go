package union

import (
	"fmt"
	"os"
	"path/filepath"
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
		all := layer(b)
		var names []string
		for i := range n {
			names = append(names, fmt.Sprint(i))
			if err := os.Mkdir(filepath.Join(all.Name(), names[i]), 0o755); err != nil {
				b.Fatal(err)
			}
		}
		for name, o := range map[string]Options{"each": {Lowers: lowers}, "tree": {Tree: all, Names: names}} {
			b.Run(fmt.Sprintf("layers=%d/%s", n, name), func(b *testing.B) {
				o.Upper, o.Users, o.Base, o.Volatile = layer(b), space, base, true
				for b.Loop() {
					m, err := Mount(o)
					if err != nil {
						b.Fatal(err)
					}
					m.Close()
				}
			})
		}
	}
}
