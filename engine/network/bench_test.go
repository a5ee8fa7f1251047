package network

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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

// cost is what a way takes: bytes a second, and processor time a byte, whoever else has the processors meanwhile.
type cost struct{ speed, cpu float64 }

// better keeps the best of each: what is beside disturbs, and never helps.
func (c *cost) better(o cost) {
	c.speed = max(c.speed, o.speed)
	if c.cpu == 0 || o.cpu < c.cpu {
		c.cpu = o.cpu
	}
}

// spent is the processor time that this process has had, which is that of both ends of a flow and of all between them.
func spent(b *testing.B) time.Duration {
	var r unix.Rusage
	check(b, unix.Getrusage(unix.RUSAGE_SELF, &r))
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// flow sends as much as it can in some time from one namespace to another, and answers what that took.
func flow(b *testing.B, from, to *os.File, addr string) cost {
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
	// How fast one sends is the way's to say, and not a clock's, as with the machine's own choice perhaps.
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		var refused error
		err := raw.Control(func(fd uintptr) {
			refused = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "reno")
		})
		return errors.Join(err, refused)
	}}
	check(b, within(from, func() (err error) {
		c, err = dialer.DialContext(b.Context(), "tcp", l.Addr().String())
		return err
	}))
	begin, before := time.Now(), spent(b)
	data := make([]byte, 1<<18)
	for time.Since(begin) < 50*time.Millisecond {
		if _, err := c.Write(data); err != nil {
			b.Fatal(err)
		}
	}
	c.Close()
	bytes := float64(<-total)
	return cost{bytes / time.Since(begin).Seconds(), float64(spent(b)-before) / bytes}
}

// BenchmarkThroughput is how fast bytes go between containers and the host, beside a pair of links with nothing between, and how
// much of the processors that takes, which can be compared on a busy machine, too: best on one (taskset -c 1).
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
	v, _ := n.Find(Default)
	gateway := v.Gateway.String()
	wire(b, one, "a", "192.0.2.1/24", two, "b", "192.0.2.2/24")
	var bare, between, in, out, filtered cost
	for b.Loop() {
		bare.better(flow(b, one, two, "192.0.2.2:0"))
		in.better(flow(b, nil, boxes[1], at[1].Addr.String()+":0"))
		filterBridges(b, "0")
		between.better(flow(b, boxes[0], boxes[1], at[1].Addr.String()+":0"))
		out.better(flow(b, boxes[1], nil, gateway+":0"))
		filterBridges(b, "1")
		filtered.better(flow(b, boxes[0], boxes[1], at[1].Addr.String()+":0"))
	}
	for name, c := range map[string]cost{"bare": bare, "between": between, "from-host": in, "to-host": out, "filtered": filtered} {
		b.ReportMetric(c.speed/1e9, name+"-GB/s")
		b.ReportMetric(c.cpu*1e3, name+"-ps/B")
	}
}

// filterBridges has the host's firewall asked of frames between ports of bridges, or not. It is as soon as somebody, docker for
// one, has loaded br_netfilter.
func filterBridges(b *testing.B, on string) {
	if err := setting("bridge/bridge-nf-call-iptables", on); !errors.Is(err, os.ErrNotExist) {
		check(b, err)
	}
}
