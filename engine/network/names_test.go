package network

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"hull/engine/network/resolver"
)

// asks is what the answer to a question for a name is, asked in a namespace of a server at port 53.
func asks(t *testing.T, ns *os.File, way string, server netip.Addr, name string, kind uint16) string {
	t.Helper()
	var reply *dns.Msg
	check(t, within(ns, func() error {
		// Over TCP the kernel asks again.
		conn, err := net.DialTimeout(way, netip.AddrPortFrom(server, 53).String(), 30*time.Second)
		if err != nil {
			return err
		}
		defer conn.Close()
		c := dns.Client{Net: way, Timeout: map[string]time.Duration{"udp": 2 * time.Second, "tcp": 30 * time.Second}[way]}
		for try := 0; ; try++ { // as every client does: a datagram may be lost
			reply, _, err = c.ExchangeWithConn(new(dns.Msg).SetQuestion(name, kind), &dns.Conn{Conn: conn})
			if err == nil || try == 15 || way == "tcp" {
				return err
			}
		}
	}))
	words := []string{dns.RcodeToString[reply.Rcode]}
	for _, rr := range reply.Answer {
		words = append(words, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	return strings.Join(words, " ")
}

// Containers' questions to port 53 of their gateways come to a resolver that has another port, and its answers back.
func TestNamesAreAskedOfTheGateway(t *testing.T) {
	w := newWorld(t, "names")
	_, err := w.Create(t.Context(), New{Name: "back"})
	check(t, err)
	a, b, other := w.box("a", Default), w.box("b", Default, "back"), w.box("c", "back")

	r := resolver.New(t.Context(), resolver.Options{Conf: "/nonexistent", Port: 1})
	t.Cleanup(r.Close)
	listen := func() uint16 {
		t.Helper()
		var networks []resolver.Network
		for _, n := range w.List() {
			networks = append(networks, resolver.Network{
				Name: n.Name, Prefixes: []netip.Prefix{n.Subnet, n.Subnet6}, Gateways: []netip.Addr{n.Gateway, n.Gateway6},
			})
		}
		port, err := r.Listen(networks)
		check(t, err)
		check(t, w.SetResolver(t.Context(), port))
		return port
	}
	port := listen()
	for name, box := range map[string]box{"web": a, "db": b, "far": other} {
		h := resolver.Host{ID: "0123456789ab" + name, Name: name}
		for _, e := range box.at {
			h.Attachments = append(h.Attachments, resolver.Attachment{Network: e.Network, Addrs: []netip.Addr{e.Addr, e.Addr6}})
		}
		r.Put(h)
	}
	answers := func() {
		t.Helper()
		front, _ := w.Find(Default)
		behind, _ := w.Find("back")
		for _, way := range []string{"udp", "tcp"} {
			for _, c := range []struct {
				ns     *os.File
				server netip.Addr
				name   string
				kind   uint16
				want   string
			}{
				{a.ns, front.Gateway, "db.", dns.TypeA, "NOERROR " + b.at[0].Addr.String()},
				{a.ns, front.Gateway6, "db.", dns.TypeAAAA, "NOERROR " + b.at[0].Addr6.String()},
				{a.ns, front.Gateway, "far.", dns.TypeA, "NXDOMAIN"},
				{b.ns, front.Gateway, "far.", dns.TypeA, "NOERROR " + other.at[0].Addr.String()},
				{b.ns, behind.Gateway, "web.", dns.TypeA, "NOERROR " + a.at[0].Addr.String()},
				{other.ns, behind.Gateway, "db.", dns.TypeA, "NOERROR " + b.at[1].Addr.String()},
				{other.ns, behind.Gateway6, "web.", dns.TypeA, "NXDOMAIN"},
			} {
				if got := asks(t, c.ns, way, c.server, c.name, c.kind); got != c.want {
					t.Errorf("%s over %s at %s: %q, want %q", c.name, way, c.server, got, c.want)
				}
			}
		}
	}
	answers()

	// Somebody has the port on the gateway of a network that comes: the resolver moves, and the rules with it.
	late, err := w.Create(t.Context(), New{Name: "late"})
	check(t, err)
	w.box("d", "late")
	taken, err := net.ListenUDP("udp", &net.UDPAddr{IP: late.Gateway.AsSlice(), Port: int(port)})
	check(t, err)
	defer taken.Close()
	if moved := listen(); moved == port {
		t.Fatalf("the resolver is still at port %d, which another has", port)
	}
	answers()
}
