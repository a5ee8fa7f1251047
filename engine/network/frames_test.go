package network

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// exchange sends a packet until an answer comes.
func exchange(c *net.UDPConn, text string) (string, error) {
	b := make([]byte, 1000)
	for try := 0; ; try++ {
		if _, err := c.Write([]byte(text)); err != nil {
			return "", err
		}
		_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
		n, err := c.Read(b)
		if err == nil || try >= 15 {
			return string(b[:n]), err
		}
	}
}

// wireTap sends and receives whole frames at an interface.
type wireTap struct {
	t    *testing.T
	fd   int
	file *os.File
	mac  net.HardwareAddr
}

func tap(t *testing.T, ns *os.File, name string) *wireTap {
	t.Helper()
	w := &wireTap{t: t}
	check(t, within(ns, func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		w.mac = link.Attrs().HardwareAddr
		all := binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL})
		if w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(all)); err != nil {
			return err
		}
		w.file = os.NewFile(uintptr(w.fd), "packets")
		return unix.Bind(w.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Attrs().Index})
	}))
	t.Cleanup(func() { w.file.Close() })
	return w
}

func (w *wireTap) send(frame []byte) {
	w.t.Helper()
	_, err := w.file.Write(frame)
	check(w.t, err)
}

// until receives frames up to one that has a text in it, and answers those before.
func (w *wireTap) until(text string) (before [][]byte) {
	w.t.Helper()
	_ = w.file.SetReadDeadline(time.Now().Add(60 * time.Second))
	for {
		b := make([]byte, 2048)
		n, err := w.file.Read(b)
		if err != nil {
			w.t.Fatalf("waiting for %q: %v; received %q", text, err, before)
		}
		if bytes.Contains(b[:n], []byte(text)) {
			return before
		}
		before = append(before, b[:n])
	}
}

func frame(to, from net.HardwareAddr, kind uint16, packet []byte) []byte {
	f := append(append([]byte(nil), to...), from...)
	return append(binary.BigEndian.AppendUint16(f, kind), packet...)
}

func udp4(from, to netip.AddrPort, text string) []byte {
	p := make([]byte, 28)
	p[0], p[8], p[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(p[2:], uint16(28+len(text)))
	copy(p[12:], from.Addr().AsSlice())
	copy(p[16:], to.Addr().AsSlice())
	binary.BigEndian.PutUint16(p[10:], checksum(p[:20]))
	binary.BigEndian.PutUint16(p[20:], from.Port())
	binary.BigEndian.PutUint16(p[22:], to.Port())
	binary.BigEndian.PutUint16(p[24:], uint16(8+len(text)))
	return append(p, text...)
}

func checksum(b []byte) uint16 {
	sum := uint32(0)
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func packet6(from, to netip.Addr, proto byte, body []byte) []byte {
	p := make([]byte, 40)
	p[0], p[6], p[7] = 0x60, proto, 255
	binary.BigEndian.PutUint16(p[4:], uint16(len(body)))
	copy(p[8:], from.AsSlice())
	copy(p[24:], to.AsSlice())
	if proto == unix.IPPROTO_ICMPV6 {
		pseudo := append(append([]byte(nil), p[8:40]...), 0, 0, 0, byte(len(body)), 0, 0, 0, proto)
		binary.BigEndian.PutUint16(body[2:], checksum(append(pseudo, body...)))
	}
	return append(p, body...)
}

// icmp6 is a message about a neighbour, or of a router, with a text after it.
func icmp6(from, to netip.Addr, kind byte, about netip.Addr, text string) []byte {
	body := make([]byte, 8, 64)
	body[0] = kind
	body = append(body, about.AsSlice()...)
	return packet6(from, to, unix.IPPROTO_ICMPV6, append(body, text...))
}

// hops has a header before a message that routers are to look at, as those of listeners have.
func hops(packet []byte) []byte {
	return append([]byte{unix.IPPROTO_ICMPV6, 0, 5, 2, 0, 0, 1, 0}, packet[40:]...)
}

func arp(op byte, from net.HardwareAddr, fromIP netip.Addr, to net.HardwareAddr, toIP netip.Addr, text string) []byte {
	p := []byte{0, 1, 8, 0, 6, 4, 0, op}
	p = append(append(p, from...), fromIP.AsSlice()...)
	p = append(append(p, to...), toIP.AsSlice()...)
	return append(p, text...)
}

func TestAContainerSendsAsItselfOnly(t *testing.T) {
	w := newWorld(t, "spoof")
	a, b, c := w.box("a", Default), w.box("b", Default), w.box("c", Default)
	from, to, third := tap(t, a.ns, "eth0"), tap(t, b.ns, "eth0"), tap(t, c.ns, "eth0")
	v, _ := w.Find(Default)
	self, other := a.at[0], c.at[0]
	p := func(ip netip.Addr) netip.AddrPort { return netip.AddrPortFrom(ip, 9) }
	dst, dst6 := b.at[0].Addr, b.at[0].Addr6
	const ip4, ip6, arpKind, reply, advert = 0x0800, 0x86dd, 0x0806, 2, 136
	local := local6(from.mac)

	for _, f := range map[string][]byte{
		"spoof: another's MAC":           frame(to.mac, third.mac, ip4, udp4(p(self.Addr), p(dst), "spoof: another's MAC")),
		"spoof: another's address":       frame(to.mac, from.mac, ip4, udp4(p(other.Addr), p(dst), "spoof: another's address")),
		"spoof: the gateway's address":   frame(to.mac, from.mac, ip4, udp4(p(v.Gateway), p(dst), "spoof: the gateway's address")),
		"spoof: an address of the world": frame(to.mac, from.mac, ip4, udp4(p(netip.MustParseAddr("203.0.113.1")), p(dst), "spoof: an address of the world")),
		"spoof: no address":              frame(to.mac, from.mac, ip4, udp4(p(netip.IPv4Unspecified()), p(dst), "spoof: no address")),
		"spoof: I am the gateway":        frame(to.mac, from.mac, arpKind, arp(reply, from.mac, v.Gateway, to.mac, dst, "spoof: I am the gateway")),
		"spoof: I am elsewhere":          frame(to.mac, from.mac, arpKind, arp(reply, third.mac, self.Addr, to.mac, dst, "spoof: I am elsewhere")),
		"spoof: a VLAN":                  frame(to.mac, from.mac, 0x8100, append([]byte{0, 0, 8, 0}, udp4(p(self.Addr), p(dst), "spoof: a VLAN")...)),
		"spoof: another's of IPv6":       frame(to.mac, from.mac, ip6, packet6(other.Addr6, dst6, 59, []byte("spoof: another's of IPv6"))),
		"spoof: none of IPv6":            frame(to.mac, from.mac, ip6, packet6(netip.IPv6Unspecified(), dst6, 59, []byte("spoof: none of IPv6"))),
		"spoof: I am the gateway6":       frame(to.mac, from.mac, ip6, icmp6(self.Addr6, dst6, advert, v.Gateway6, "spoof: I am the gateway6")),
		"spoof: I am a router":           frame(to.mac, from.mac, ip6, icmp6(local, dst6, 134, v.Gateway6, "spoof: I am a router")),
		"spoof: go elsewhere":            frame(to.mac, from.mac, ip6, icmp6(local, dst6, 137, v.Gateway6, "spoof: go elsewhere")),
		"spoof: who listens":             frame(to.mac, from.mac, ip6, icmp6(local, dst6, 130, self.Addr6, "spoof: who listens")),
		"spoof: I listen":                frame(to.mac, from.mac, ip6, icmp6(local, dst6, 131, self.Addr6, "spoof: I listen")),
		"spoof: I listened":              frame(to.mac, from.mac, ip6, icmp6(local, dst6, 132, self.Addr6, "spoof: I listened")),
		"spoof: who routes":              frame(to.mac, from.mac, ip6, icmp6(local, dst6, 133, self.Addr6, "spoof: who routes")),
		"spoof: my groups":               frame(to.mac, from.mac, ip6, packet6(local, dst6, unix.IPPROTO_HOPOPTS, hops(icmp6(local, dst6, 143, self.Addr6, "spoof: my groups")))),
		"spoof: another protocol":        frame(to.mac, from.mac, 0x88cc, []byte("spoof: another protocol")),
	} {
		from.send(f)
	}
	// What is true arrives, each kind of it.
	for text, f := range map[string][]byte{
		"true packet":  frame(to.mac, from.mac, ip4, udp4(p(self.Addr), p(dst), "true packet")),
		"true arp":     frame(to.mac, from.mac, arpKind, arp(reply, from.mac, self.Addr, to.mac, dst, "true arp")),
		"true packet6": frame(to.mac, from.mac, ip6, packet6(self.Addr6, dst6, 59, []byte("true packet6"))),
		"true local6":  frame(to.mac, from.mac, ip6, packet6(local, dst6, 59, []byte("true local6"))),
		"true advert":  frame(to.mac, from.mac, ip6, icmp6(self.Addr6, dst6, advert, self.Addr6, "true advert")),
	} {
		from.send(f)
		for _, before := range to.until(text) {
			if at := bytes.Index(before, []byte("spoof: ")); at >= 0 {
				t.Errorf("%s arrives", before[at:])
			}
		}
	}
}

func TestAContainerSeesNothingOfOthers(t *testing.T) {
	w := newWorld(t, "see")
	a, b, c := w.box("a", Default), w.box("b", Default), w.box("c", Default)
	from, to, third := tap(t, a.ns, "eth0"), tap(t, b.ns, "eth0"), tap(t, c.ns, "eth0")
	p := func(e Endpoint) netip.AddrPort { return netip.AddrPortFrom(e.Addr, 9) }
	packet := func(text string) []byte { return udp4(p(a.at[0]), p(b.at[0]), text) }
	nobody := net.HardwareAddr{2, 1, 2, 3, 4, 5}
	from.send(frame(to.mac, from.mac, 0x0800, packet("for b")))
	from.send(frame(nobody, from.mac, 0x0800, packet("for nobody")))
	from.send(frame(net.HardwareAddr{255, 255, 255, 255, 255, 255}, from.mac, 0x0800, packet("for all")))
	to.until("for b")
	for _, f := range third.until("for all") {
		if bytes.Contains(f, []byte("for ")) {
			t.Errorf("c sees %q", f)
		}
	}
}

func TestPacketsFromOutsideToLoopbackAreDropped(t *testing.T) {
	w := newWorld(t, "loopback")
	far, host, out := outsider(t)
	a, b := w.box("a", Default), w.box("b", Default)
	got := tap(t, a.ns, "eth0")
	udp := func(ip string) Port { return Port{HostIP: netip.MustParseAddr(ip), Port: 80, Proto: "udp"} }
	ports := w.publish("a", a.at[0], udp("127.0.0.1"), udp("0.0.0.0"))
	secret, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	check(t, err)
	defer secret.Close()
	local := netip.MustParseAddr("127.0.0.1")
	// Whoever is on the same wire, or on a bridge, may send what he likes to the host's MAC: packets to 127.0.0.1, too.
	for _, from := range []struct {
		b    box
		addr netip.Addr
		dev  string
	}{{out, far, "up0"}, {b, b.at[0].Addr, "hull0"}} {
		sender, hostEnd := tap(t, from.b.ns, "eth0"), tap(t, nil, from.dev)
		send := func(to netip.AddrPort, text string) {
			sender.send(frame(hostEnd.mac, sender.mac, 0x0800, udp4(netip.AddrPortFrom(from.addr, 9), to, text)))
		}
		send(netip.AddrPortFrom(local, ports[0].HostPort), "to the published")
		send(netip.AddrPortFrom(local, secret.LocalAddr().(*net.UDPAddr).AddrPort().Port()), "to the secret")
		send(netip.AddrPortFrom(host, ports[1].HostPort), "to everywhere")
		for _, f := range got.until("to everywhere") {
			if bytes.Contains(f, []byte("to the ")) {
				t.Errorf("from %s: a sees %q", from.addr, f)
			}
		}
		_ = secret.SetReadDeadline(time.Now().Add(-time.Second))
		b := make([]byte, 100)
		if n, err := secret.Read(b); err == nil {
			t.Errorf("from %s: a service on 127.0.0.1 receives %q", from.addr, b[:n])
		}
	}
}
