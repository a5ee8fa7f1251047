package network

import (
	"net/netip"
	"testing"
)

func TestContainersReachEachOtherTheHostAndTheWorld(t *testing.T) {
	w := newWorld(t, "traffic")
	outside := namespace(t)
	wire(t, nil, "up0", "192.0.2.1/24", outside, "eth0", "192.0.2.2/24")
	a, b := w.box("a", Default), w.box("b", Default)
	serve(t, a.ns, ":80", "a")
	serve(t, b.ns, ":80", "b")
	host := serve(t, nil, ":0", "host")
	serve(t, outside, ":80", "outside")

	if seen := reaches(t, a.ns, b.addr(80), "b"); seen != a.at[0].Addr.String() {
		t.Errorf("b sees a as %s, want %s", seen, a.at[0].Addr)
	}
	if seen := reaches(t, b.ns, a.addr6(80), "a"); seen != b.at[0].Addr6.String() {
		t.Errorf("a sees b as %s, want %s", seen, b.at[0].Addr6)
	}
	reaches(t, nil, a.addr(80), "a")
	reaches(t, nil, a.addr6(80), "a")
	reaches(t, a.ns, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), 80), "a") // its own lo is up
	v, _ := w.Find(Default)
	if seen := reaches(t, a.ns, netip.AddrPortFrom(v.Gateway, host.Port()), "host"); seen != a.at[0].Addr.String() {
		t.Errorf("the host sees a as %s, want %s", seen, a.at[0].Addr)
	}
	reaches(t, a.ns, netip.AddrPortFrom(v.Gateway6, host.Port()), "host")
	if seen := reaches(t, a.ns, netip.MustParseAddrPort("192.0.2.2:80"), "outside"); seen != "192.0.2.1" {
		t.Errorf("the world sees a as %s, want the host's 192.0.2.1", seen)
	}
}
