package union

import "testing"

// TestPlaced goes through everything as on a kernel whose overlay takes no detached
// mounts.
func TestPlaced(t *testing.T) {
	needRoot(t)
	needPlace.Store(true)
	t.Cleanup(func() { needPlace.Store(false) })
	for name, test := range map[string]func(*testing.T){
		"read only": TestReadOnly, "single layer": TestSingleLayer, "root": TestRoot, "opaque root": TestOpaqueRoot,
		"upper": TestUpper, "flags": TestFlags, "many layers": TestManyLayers, "tree": TestTree, "oracle": TestOracle,
	} {
		t.Run(name, test)
	}
}
