package network

import (
	"context"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"
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

// flow sends as much as it can in some time from one namespace to another, and answers how many bytes a second arrive.
func flow(b *testing.B, from, to *os.File, addr string) float64 {
	var l net.Listener
	check(b, within(to, func() (err error) {
		l, err = net.Listen("tcp", addr)
		return err
	}))
	defer l.Close()
	total := make(chan int64)
	go func() {
		c, err := l.Accept()
		if err != nil {
			total <- 0
			return
		}
		n, _ := io.Copy(io.Discard, struct{ io.Reader }{c})
		total <- n
	}()
	var c net.Conn
	check(b, within(from, func() (err error) {
		c, err = net.Dial("tcp", l.Addr().String())
		return err
	}))
	begin := time.Now()
	data := make([]byte, 1<<18)
	for time.Since(begin) < 300*time.Millisecond {
		if _, err := c.Write(data); err != nil {
			b.Fatal(err)
		}
	}
	c.Close()
	return float64(<-total) / time.Since(begin).Seconds()
}

// BenchmarkThroughput is how fast bytes go between containers and the host, beside a pair of links with nothing between.
func BenchmarkThroughput(b *testing.B) {
	n := benchWorld(b)
	var boxes [2]*os.File
	var at [2]Endpoint
	for i := range boxes {
		boxes[i] = namespace(b)
		e, err := n.Lease(b.Context(), strconv.Itoa(i), Endpoint{Network: Default})
		check(b, err)
		check(b, n.Plug(b.Context(), boxes[i], []Endpoint{e}))
		at[i] = e
	}
	one, two := namespace(b), namespace(b)
	wire(b, one, "a", "192.0.2.1/24", two, "b", "192.0.2.2/24")
	var bare, between, in float64
	for b.Loop() {
		bare = max(bare, flow(b, one, two, "192.0.2.2:0"))
		between = max(between, flow(b, boxes[0], boxes[1], at[1].Addr.String()+":0"))
		in = max(in, flow(b, nil, boxes[1], at[1].Addr.String()+":0"))
	}
	b.ReportMetric(bare/1e9, "bare-GB/s")
	b.ReportMetric(between/1e9, "between-GB/s")
	b.ReportMetric(in/1e9, "from-host-GB/s")
}
