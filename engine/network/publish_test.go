package network

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func tcp(ip string, host, port uint16) Port {
	return Port{HostIP: netip.MustParseAddr(ip), HostPort: host, Port: port, Proto: "tcp"}
}

// outsider is another host on the host's network.
func outsider(t *testing.T) (name, host netip.Addr, ns box) {
	ns = box{ns: namespace(t)}
	wire(t, nil, "up0", "192.0.2.1/24", ns.ns, "eth0", "192.0.2.2/24")
	return netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.1"), ns
}

func (w *world) publish(holder string, to Endpoint, ports ...Port) []Bound {
	w.t.Helper()
	got, err := w.Publish(w.t.Context(), holder, to, ports)
	check(w.t, err)
	return got
}

func refused(t *testing.T, b box, to netip.AddrPort) {
	t.Helper()
	word, _, err := askFor(b.ns, to, time.Second)
	if err == nil {
		t.Fatalf("%s answers %q; it should answer nothing", to, word)
	}
}

func TestPublishedPortsAreReachedAsTheyAreMeant(t *testing.T) {
	w := newWorld(t, "publish")
	far, host, out := outsider(t)
	_, err := w.Create(t.Context(), New{Name: "backend"})
	check(t, err)
	a, b, c := w.box("a", Default), w.box("b", Default), w.box("c", "backend")
	serve(t, a.ns, ":80", "a")
	got := w.publish("a", a.at[0], tcp("127.0.0.1", 0, 80), tcp("0.0.0.0", 0, 80), tcp("192.0.2.1", 0, 80), tcp("::1", 0, 80), tcp("::", 0, 80))
	loop, every, one, loop6, every6 := got[0].HostPort, got[1].HostPort, got[2].HostPort, got[3].HostPort, got[4].HostPort
	at := netip.AddrPortFrom
	local, local6 := netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()

	for _, to := range []netip.AddrPort{at(local, loop), at(local, every), at(host, every), at(host, one), at(local6, loop6), at(local6, every6)} {
		reaches(t, nil, to, "a")
	}
	for _, to := range []netip.AddrPort{at(host, every), at(host, one)} {
		if seen := reaches(t, out.ns, to, "a"); seen != far.String() {
			t.Errorf("%s: a sees %s, want %s, who asked", to, seen, far)
		}
		reaches(t, a.ns, to, "a") // itself
		reaches(t, b.ns, to, "a") // its neighbour
		reaches(t, c.ns, to, "a") // another network
	}
	refused(t, out, at(host, loop))
	refused(t, b, at(host, loop))
	v, _ := w.Find(Default)
	refused(t, b, at(v.Gateway, loop))
	reaches(t, b.ns, at(v.Gateway, every), "a")

	check(t, w.Unpublish(t.Context(), "a"))
	for _, to := range []netip.AddrPort{at(local, loop), at(host, every), at(local6, loop6)} {
		refused(t, box{}, to)
	}
}

func TestPublishedUDP(t *testing.T) {
	w := newWorld(t, "udp")
	_, host, out := outsider(t)
	a := w.box("a", Default)
	var server *net.UDPConn
	check(t, within(a.ns, func() (err error) {
		server, err = net.ListenUDP("udp", &net.UDPAddr{Port: 53})
		return err
	}))
	t.Cleanup(func() { server.Close() })
	go func() {
		b := make([]byte, 100)
		for {
			n, from, err := server.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			_, _ = server.WriteToUDPAddrPort(append([]byte("a "), b[:n]...), from)
		}
	}()
	udp := func(ip string) Port { return Port{HostIP: netip.MustParseAddr(ip), Port: 53, Proto: "udp"} }
	got := w.publish("a", a.at[0], udp("127.0.0.1"), udp("0.0.0.0"), udp("::1"))
	for _, from := range []struct {
		b  box
		to netip.AddrPort
	}{
		{box{}, netip.AddrPortFrom(got[0].HostIP, got[0].HostPort)},
		{box{}, netip.AddrPortFrom(host, got[1].HostPort)},
		{out, netip.AddrPortFrom(host, got[1].HostPort)},
		{a, netip.AddrPortFrom(host, got[1].HostPort)},
		{box{}, netip.AddrPortFrom(got[2].HostIP, got[2].HostPort)},
	} {
		if got, err := echo(from.b, from.to, "hello"); err != nil || got != "a hello" {
			t.Errorf("%s answers %q, %v", from.to, got, err)
		}
	}
}

// echo sends a packet, until an answer comes.
func echo(b box, to netip.AddrPort, text string) (answer string, err error) {
	err = within(b.ns, func() error {
		c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
		if err != nil {
			return err
		}
		defer c.Close()
		answer, err = exchange(c, text)
		return err
	})
	return answer, err
}

func TestTakenPortsNameWhoHasThem(t *testing.T) {
	w := newWorld(t, "taken")
	a, b := w.box("a", Default), w.box("b", Default)
	got := w.publish("a", a.at[0], tcp("127.0.0.1", 0, 80))[0]
	server := serve(t, nil, "127.0.0.1:0", "host")
	for _, c := range []struct {
		port Port
		want string
	}{
		{tcp("127.0.0.1", got.HostPort, 80), "taken by the container a"},
		{tcp("0.0.0.0", got.HostPort, 80), "taken by the container a"},
		{tcp("127.0.0.1", server.Port(), 80), "taken by the process "},
		{Port{HostIP: got.HostIP, HostPort: got.HostPort, HostPortEnd: got.HostPort, Port: 80, Proto: "tcp"}, "taken by the container a"},
	} {
		_, err := w.Publish(t.Context(), "b", b.at[0], []Port{tcp("127.0.0.1", 0, 1), c.port})
		if KindOf(err) != Taken || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v; want that it is %s", c.port, err, c.want)
		}
	}
	// All or none: nothing of what failed is left.
	w.mu.Lock()
	_, left := w.published["b"]
	w.mu.Unlock()
	if left {
		t.Error("b publishes something, and should nothing")
	}
	if _, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", got.HostPort)); err == nil {
		t.Error("a published port can be taken by somebody else")
	}
	// A range has the first that is free.
	p := got.HostPort
	if p < 65000 {
		r := w.publish("b", b.at[0], Port{HostIP: got.HostIP, HostPort: p, HostPortEnd: p + 100, Port: 80, Proto: "tcp"})[0]
		if r.HostPort <= p || r.HostPort > p+100 {
			t.Errorf("of the range %d-%d, %d was taken", p, p+100, r.HostPort)
		}
	}
	for _, bad := range []Port{
		{HostIP: got.HostIP, Port: 0, Proto: "tcp"},
		{HostIP: got.HostIP, Port: 80, Proto: "icmp"},
		{HostIP: netip.MustParseAddr("198.51.100.7"), Port: 80, Proto: "tcp"},
		{HostIP: netip.MustParseAddr("fe80::1%lo"), Port: 80, Proto: "tcp"},
		{HostIP: netip.MustParseAddr("224.0.0.1"), Port: 80, Proto: "udp"},
		{HostIP: got.HostIP, HostPort: 9, HostPortEnd: 8, Port: 80, Proto: "tcp"},
	} {
		if _, err := w.Publish(t.Context(), "b", b.at[0], []Port{bad}); KindOf(err) != Invalid {
			t.Errorf("%+v: %v, want that it is invalid", bad, err)
		}
	}
	if _, err := w.Publish(t.Context(), "b", b.at[0], []Port{{HostIP: got.HostIP, Port: 80, Proto: "sctp"}}); KindOf(err) != Unsupported {
		t.Errorf("sctp: %v, want that it is unsupported", err)
	}
}

func (w *world) gateway(name string) netip.Addr {
	v, ok := w.Find(name)
	if !ok {
		w.t.Fatal("no network", name)
	}
	return v.Gateway
}

func TestPortsStayHeldByTheNextDaemon(t *testing.T) {
	w := newWorld(t, "next")
	_, host, out := outsider(t)
	a := w.box("a", Default)
	serve(t, a.ns, ":80", "a")
	ports := w.publish("a", a.at[0], tcp("0.0.0.0", 0, 80), tcp("::1", 0, 80))
	every := netip.AddrPortFrom(host, ports[0].HostPort)
	check(t, w.Close())
	reaches(t, out.ns, every, "a") // no daemon is there
	w.open()
	check(t, w.Reconcile(context.Background(), map[string]Live{"a": {Endpoints: a.at, Running: true, Ports: ports}}))
	reaches(t, out.ns, every, "a")
	reaches(t, nil, netip.AddrPortFrom(netip.IPv6Loopback(), ports[1].HostPort), "a")
	if l, err := net.Listen("tcp4", fmt.Sprintf(":%d", ports[0].HostPort)); err == nil {
		l.Close()
		t.Error("the next daemon does not hold the port")
	}
	if got := w.Held("a"); len(got) != 1 || got[0] != a.at[0] {
		t.Errorf("the next daemon has %+v for a, want %+v", got, a.at)
	}
}
