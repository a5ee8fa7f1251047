package engine

import "testing"

func TestRanges(t *testing.T) {
	r := newRanges(4000)
	seen := map[uint32]bool{}
	for range rangeCount {
		first, ok := r.take(0)
		if !ok || seen[first] || !validRange(first) || uint64(first)+rangeSize-1 > rangeLast {
			t.Fatalf("%d, %v after %d", first, ok, len(seen))
		}
		seen[first] = true
	}
	if first, ok := r.take(0); ok {
		t.Fatalf("%d was free", first)
	}
	const some = rangeFirst + 7*rangeSize
	r.free(some)
	if first, ok := r.take(some); !ok || first != some {
		t.Errorf("%d, %v: the old range was free", first, ok)
	}
	r.free(some)
	if first, ok := r.take(some + 1); !ok || first != some {
		t.Errorf("%d, %v: a wanted one that is none counts as any", first, ok)
	}
}

func TestLease(t *testing.T) {
	r := newRanges(0)
	l, ok := r.lease(0)
	if !ok || !l.hold() {
		t.Fatal("no lease")
	}
	l.drop()
	if first, _ := r.take(l.first); first == l.first {
		t.Error("a range in use was given out")
	}
	l.drop()
	if l.hold() {
		t.Error("a lease that has ended was held")
	}
	if first, _ := r.take(l.first); first != l.first {
		t.Error("the range did not come back")
	}
	var none *lease
	if none.hold() {
		t.Error("no lease was held")
	}
}
