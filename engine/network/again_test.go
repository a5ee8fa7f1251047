package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// flows are the connections of an address, as the library has them.
func flows(t *testing.T, a netip.Addr) []string {
	t.Helper()
	all, err := netlink.ConntrackTableList(netlink.ConntrackTable, unix.AF_INET)
	check(t, err)
	var list []string
	for _, f := range all {
		ip := net.IP(a.AsSlice())
		if f.Forward.SrcIP.Equal(ip) || f.Forward.DstIP.Equal(ip) || f.Reverse.SrcIP.Equal(ip) || f.Reverse.DstIP.Equal(ip) {
			list = append(list, f.String())
		}
	}
	return list
}

func TestConnectionsOfWhatIsGoneAreForgotten(t *testing.T) {
	w := newWorld(t, "forget")
	_, host, out := outsider(t)
	a, b := w.box("a", Default), w.box("b", Default)
	serve(t, a.ns, ":80", "a")
	serve(t, b.ns, ":80", "b")
	serve(t, out.ns, ":80", "out")
	p := w.publish("a", a.at[0], tcp("0.0.0.0", 0, 80))[0]
	reaches(t, out.ns, netip.AddrPortFrom(host, p.HostPort), "a")
	reaches(t, a.ns, netip.MustParseAddrPort("192.0.2.2:80"), "out")
	reaches(t, nil, b.addr(80), "b")
	if len(flows(t, a.at[0].Addr)) < 2 || len(flows(t, b.at[0].Addr)) < 1 {
		t.Fatalf("the kernel knows %q and %q", flows(t, a.at[0].Addr), flows(t, b.at[0].Addr))
	}
	check(t, w.Unpublish(t.Context(), "a"))
	w.Release("a")
	eventually(t, "the connections of a are forgotten", func() error {
		if left := flows(t, a.at[0].Addr); len(left) > 0 {
			return fmt.Errorf("there are %q", left)
		}
		return nil
	})
	if len(flows(t, b.at[0].Addr)) < 1 {
		t.Error("the connections of b are forgotten with those of a")
	}
}

func TestPacketsThatCameBeforeAPortWasPublished(t *testing.T) {
	w := newWorld(t, "early")
	_, host, out := outsider(t)
	a := w.box("a", Default)
	got := tap(t, a.ns, "eth0")
	taken, err := net.ListenUDP("udp4", nil)
	check(t, err)
	at := taken.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	var early *net.UDPConn
	check(t, within(out.ns, func() (err error) {
		early, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(host, at)))
		return err
	}))
	defer early.Close()
	_, err = early.Write([]byte("early"))
	check(t, err)
	_, _, err = taken.ReadFrom(make([]byte, 10)) // it is the host's, and so is the connection
	check(t, err)
	taken.Close()
	w.publish("a", a.at[0], Port{HostIP: netip.IPv4Unspecified(), HostPort: at, Port: 80, Proto: "udp"})
	_, err = early.Write([]byte("and later"))
	check(t, err)
	got.until("and later")
}

func TestAPlaceIsPluggedAgainAtOnce(t *testing.T) {
	w := newWorld(t, "again")
	a, b := w.box("a", Default), w.box("b", Default)
	serve(t, b.ns, ":80", "b")
	for range 3 {
		old := a.ns
		next := namespace(t)
		check(t, w.Unplug(t.Context(), a.at)) // while the namespace before is there
		check(t, w.Plug(t.Context(), next, a.at))
		a.ns = next
		if seen := reaches(t, a.ns, b.addr(80), "b"); seen != a.at[0].Addr.String() {
			t.Errorf("it is seen as %s, want %s", seen, a.at[0].Addr)
		}
		serve(t, a.ns, ":80", "a")
		reaches(t, b.ns, a.addr(80), "a")
		reaches(t, nil, a.addr(80), "a")
		old.Close()
	}
	eventually(t, "only the last link is left", func() error {
		var have []string
		for _, name := range linkNames(a.at[0].Link) {
			if _, err := netlink.LinkByName(name); err == nil {
				have = append(have, name)
			}
		}
		w.mu.Lock()
		want := slices.Clone(w.plugged[a.at[0].Link])
		w.mu.Unlock()
		if len(want) != 1 || !slices.Equal(have, want) {
			return fmt.Errorf("there are %q, and %q is plugged", have, want)
		}
		return nil
	})
	reaches(t, b.ns, a.addr(80), "a")
}

func TestSeveralNetworksOfOneNamespace(t *testing.T) {
	w := newWorld(t, "several")
	for _, name := range []string{"front", "back"} {
		_, err := w.Create(t.Context(), New{Name: name})
		check(t, err)
	}
	a, front, back := w.box("a", "front", "back"), w.box("f", "front"), w.box("b", "back")
	serve(t, front.ns, ":80", "front")
	serve(t, back.ns, ":80", "back")
	if a.at[0].Name != "eth0" || a.at[1].Name != "eth1" {
		t.Errorf("it has %+v", a.at)
	}
	if seen := reaches(t, a.ns, front.addr(80), "front"); seen != a.at[0].Addr.String() {
		t.Errorf("front sees %s, want %s", seen, a.at[0].Addr)
	}
	if seen := reaches(t, a.ns, back.addr(80), "back"); seen != a.at[1].Addr.String() {
		t.Errorf("back sees %s, want %s", seen, a.at[1].Addr)
	}
	for name, box := range map[string]box{"front": front, "back": back} {
		if err := w.Remove(t.Context(), name); KindOf(err) != Busy {
			t.Errorf("%s is removed while %s is on it: %v", name, box.at[0].Addr, err)
		}
	}
	w.Release("a")
	w.Release("f")
	v, _ := w.Find("front")
	check(t, w.Remove(t.Context(), "front"))
	var none netlink.LinkNotFoundError
	if _, err := netlink.LinkByName(v.Bridge); !errors.As(err, &none) {
		t.Errorf("the bridge of a removed network: %v", err)
	}
	reaches(t, nil, back.addr(80), "back")
}

func TestABridgeThatACrashLeftUnnamedIsTakenOver(t *testing.T) {
	w := newWorld(t, "unnamed")
	w.box("a", Default)
	v, _ := w.Find(Default)
	link, err := netlink.LinkByName(v.Bridge)
	check(t, err)
	check(t, netlink.LinkSetAlias(link, "")) // as if the daemon had been killed before it was given
	check(t, w.Close())
	w.open()
	check(t, w.Reconcile(t.Context(), nil))
	var none netlink.LinkNotFoundError
	if _, err := netlink.LinkByName(v.Bridge); !errors.As(err, &none) {
		t.Errorf("the bridge is left: %v", err)
	}
	w.box("b", Default)
	if again, _ := w.Find(Default); again.Bridge != v.Bridge || again.Subnet != v.Subnet {
		t.Errorf("the network is %+v, want as it was, %+v", again, v)
	}
}

// A place is plugged again and again, faster than the kernel clears away what was there; none is refused.
func TestPluggedAgainAndAgain(t *testing.T) {
	w := newWorld(t, "again")
	e, err := w.Lease(t.Context(), "a", Endpoint{Network: Default})
	check(t, err)
	for range 2 * len(linkNames(e.Link)) {
		ns := namespace(t)
		check(t, w.Plug(t.Context(), ns, []Endpoint{e}))
		check(t, w.Unplug(t.Context(), []Endpoint{e}))
	}
}

// What somebody removed or took apart while no daemon was there is whole when the next one has reconciled.
func TestABridgeThatWentWithTheDaemonIsMadeAgain(t *testing.T) {
	for name, breakIt := range map[string]func(bridge, link netlink.Link) error{
		"removed": func(bridge, _ netlink.Link) error { return netlink.LinkDel(bridge) },
		"left":    func(_, link netlink.Link) error { return netlink.LinkSetNoMaster(link) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "gone")
			a, b := w.box("a", Default), w.box("b", Default)
			serve(t, a.ns, ":80", "a")
			reaches(t, b.ns, a.addr(80), "a")
			check(t, w.Close())
			v, _ := w.Find(Default)
			bridge, err := netlink.LinkByName(v.Bridge)
			check(t, err)
			link, err := netlink.LinkByName(a.at[0].Link)
			check(t, err)
			check(t, breakIt(bridge, link))
			w.open()
			check(t, w.Reconcile(t.Context(), map[string]Live{
				"a": {Endpoints: a.at, Running: true}, "b": {Endpoints: b.at, Running: true},
			}))
			reaches(t, nil, a.addr(80), "a")
			reaches(t, b.ns, a.addr(80), "a")
		})
	}
}

// What goes through a place is counted at the link that it has, whatever that had to be called.
func TestTrafficOfALinkOfAnotherName(t *testing.T) {
	w := newWorld(t, "counted")
	e, err := w.Lease(t.Context(), "a", Endpoint{Network: Default})
	check(t, err)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = e.Link
	taken := &netlink.Bridge{LinkAttrs: attrs}
	check(t, netlink.LinkAdd(taken)) // as an earlier run's, which the kernel has not cleared away
	t.Cleanup(func() { _ = netlink.LinkDel(taken) })
	ns := namespace(t)
	check(t, w.Plug(t.Context(), ns, []Endpoint{e}))
	reaches(t, nil, netip.AddrPortFrom(e.Addr, serve(t, ns, ":80", "a").Port()), "a")
	got, err := w.Traffic([]Endpoint{e})
	check(t, err)
	if got.ReceivedBytes == 0 || got.SentBytes == 0 || got.ReceivedPackets == 0 || got.SentPackets == 0 {
		t.Errorf("%+v", got)
	}
}
