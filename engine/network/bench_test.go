package network

import (
	"context"
	"os"
	"strconv"
	"sync"
	"testing"
)

func benchWorld(b *testing.B) *Networks {
	if os.Getenv(inside) == "" {
		b.Skip("bridges and rules need root")
	}
	n, err := Open(context.Background(), Options{Dir: b.TempDir(), Key: "bench"})
	check(b, err)
	b.Cleanup(func() {
		check(b, n.Clear(context.Background()))
		check(b, n.Close())
	})
	check(b, n.Reconcile(context.Background(), nil))
	return n
}

// BenchmarkPlug is what a start with a network costs beside one without.
func BenchmarkPlug(b *testing.B) {
	n := benchWorld(b)
	for i := 0; b.Loop(); i++ {
		id := strconv.Itoa(i)
		b.StopTimer()
		ns := namespace(b)
		b.StartTimer()
		e, err := n.Lease(b.Context(), id, Endpoint{Network: Default})
		check(b, err)
		check(b, n.Plug(b.Context(), ns, []Endpoint{e}))
		b.StopTimer()
		ns.Close()
		n.Release(id)
		b.StartTimer()
	}
}

// BenchmarkPlug100 is a hundred at once.
func BenchmarkPlug100(b *testing.B) {
	n := benchWorld(b)
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		var all [100]*os.File
		for k := range all {
			all[k] = namespace(b)
		}
		b.StartTimer()
		var work sync.WaitGroup
		for k, ns := range all {
			work.Go(func() {
				id := strconv.Itoa(i*100 + k)
				e, err := n.Lease(b.Context(), id, Endpoint{Network: Default})
				if err == nil {
					err = n.Plug(b.Context(), ns, []Endpoint{e})
				}
				if err != nil {
					b.Error(err)
				}
			})
		}
		work.Wait()
		b.StopTimer()
		for k, ns := range all {
			ns.Close()
			n.Release(strconv.Itoa(i*100 + k))
		}
		b.StartTimer()
	}
}
