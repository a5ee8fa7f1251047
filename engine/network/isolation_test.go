package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
)

func TestNetworksAreIsolated(t *testing.T) {
	w := newWorld(t, "isolate")
	_, host, out := outsider(t)
	_, err := w.Create(t.Context(), New{Name: "backend", Subnet: netip.MustParsePrefix("10.201.3.0/24")})
	check(t, err)
	a, b, both := w.box("a", Default), w.box("b", "backend"), w.box("both", Default, "backend")
	serve(t, a.ns, ":80", "a")
	serve(t, b.ns, ":80", "b")
	service := serve(t, nil, ":0", "host")
	// The host's own address is nobody's gateway.
	reaches(t, a.ns, netip.AddrPortFrom(host, service.Port()), "host")
	reaches(t, both.ns, a.addr(80), "a")
	reaches(t, both.ns, b.addr(80), "b")
	// The world has routes to the containers, and may not use them.
	v, _ := w.Find(Default)
	route(t, out.ns, v.Subnet.String(), host.String())

	closed := make(chan string)
	tries := []struct {
		from box
		to   netip.AddrPort
	}{
		{a, b.addr(80)},
		{a, b.addr6(80)},
		{b, a.addr(80)},
		{a, netip.AddrPortFrom(w.gateway("backend"), service.Port())},
		{out, a.addr(80)},
		{out, netip.AddrPortFrom(v.Gateway, service.Port())},
	}
	for _, try := range tries { // each waits for an answer that does not come
		go func() {
			word, _, err := askFor(try.from.ns, try.to, time.Second)
			if err == nil {
				closed <- fmt.Sprintf("%s answers %q", try.to, word)
			}
			closed <- ""
		}()
	}
	for range tries {
		if text := <-closed; text != "" {
			t.Error(text)
		}
	}
}

func TestTheHostBecomesNoRouter(t *testing.T) {
	kernel(t)
	check(t, setting(forward4, "0"))
	t.Cleanup(func() { check(t, setting(forward4, "1")) })
	w := newWorld(t, "router")
	one, two := namespace(t), namespace(t)
	wire(t, nil, "up0", "192.0.2.1/24", one, "eth0", "192.0.2.2/24")
	wire(t, nil, "up1", "198.51.100.1/24", two, "eth0", "198.51.100.2/24")
	route(t, one, "198.51.100.0/24", "192.0.2.1")
	route(t, two, "192.0.2.0/24", "198.51.100.1")
	serve(t, two, ":80", "two")
	a := w.box("a", Default)
	if !isOn(forward4) {
		t.Fatal("forwarding is off while a network is up")
	}
	reaches(t, a.ns, netip.MustParseAddrPort("198.51.100.2:80"), "two")
	if word, _, err := askFor(one, netip.MustParseAddrPort("198.51.100.2:80"), time.Second); err == nil {
		t.Errorf("one host reaches the other by this one, which answers %q", word)
	}
	// Another hull relies on it, and the first ends: forwarding stays, and so does the rule.
	second, err := Open(context.Background(), Options{Dir: t.TempDir(), Key: "router2"})
	check(t, err)
	_, err = second.Lease(t.Context(), "x", Endpoint{Network: Default})
	check(t, err)
	check(t, w.Clear(t.Context()))
	if !isOn(forward4) {
		t.Error("forwarding is off while another hull has a network up")
	}
	check(t, second.Clear(t.Context()))
	check(t, second.Close())
	if isOn(forward4) {
		t.Error("forwarding is on, and nobody has a network up")
	}
}

func TestTheHostsFirewallIsHeeded(t *testing.T) {
	w := newWorld(t, "heed")
	_, host, out := outsider(t)
	a := w.box("a", Default)
	serve(t, a.ns, ":80", "a")
	serve(t, out.ns, ":80", "out")
	p := w.publish("a", a.at[0], tcp("0.0.0.0", 0, 80))[0]
	reaches(t, out.ns, netip.AddrPortFrom(host, p.HostPort), "a")
	// Its administrator lets nothing through, whatever hull's rules say of it.
	c, err := nftables.New()
	check(t, err)
	table := c.AddTable(&nftables.Table{Name: "admin", Family: nftables.TableFamilyINet})
	policy := nftables.ChainPolicyDrop
	c.AddChain(&nftables.Chain{
		Name: "forward", Table: table, Type: nftables.ChainTypeFilter, Policy: &policy,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityRef(-10),
	})
	check(t, c.Flush())
	t.Cleanup(func() {
		c.DelTable(table)
		check(t, c.Flush())
	})
	for from, to := range map[*os.File]netip.AddrPort{out.ns: netip.AddrPortFrom(host, p.HostPort), a.ns: netip.MustParseAddrPort("192.0.2.2:80")} {
		if word, _, err := askFor(from, to, time.Second); err == nil {
			t.Errorf("%s answers %q", to, word)
		}
	}
	reaches(t, nil, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), p.HostPort), "a") // nobody forwards that
}

func TestTwoHullsDoNotCollide(t *testing.T) {
	w := newWorld(t, "one")
	a := w.box("a", Default)
	o := w.options
	o.Dir, o.Key = t.TempDir(), "two"
	second := &world{t: t, options: o}
	second.open()
	check(t, second.Reconcile(t.Context(), nil)) // which leaves the first's alone
	b := second.box("b", Default)
	serve(t, a.ns, ":80", "a")
	serve(t, b.ns, ":80", "b")
	reaches(t, nil, a.addr(80), "a")
	reaches(t, nil, b.addr(80), "b")
	v1, _ := w.Find(Default)
	v2, _ := second.Find(Default)
	if v1.Bridge != "hull0" || v2.Bridge == "hull0" || v1.Subnet.Overlaps(v2.Subnet) {
		t.Errorf("two hulls have %+v and %+v", v1, v2)
	}
	check(t, second.Clear(t.Context()))
	check(t, second.Close())
	reaches(t, nil, a.addr(80), "a")
}

func TestWhatOthersRemoveIsRestored(t *testing.T) {
	w := newWorld(t, "restore")
	_, host, out := outsider(t)
	a, b := w.box("a", Default), w.box("b", Default)
	serve(t, a.ns, ":80", "a")
	every := netip.AddrPortFrom(host, w.publish("a", a.at[0], tcp("0.0.0.0", 0, 80))[0].HostPort)
	reaches(t, out.ns, every, "a")
	for what, remove := range map[string]func() error{
		"every rule": func() error {
			c, err := nftables.New()
			if err != nil {
				return err
			}
			c.FlushRuleset()
			return c.Flush()
		},
		"a chain's rules": func() error {
			c, err := nftables.New()
			if err != nil {
				return err
			}
			table := &nftables.Table{Name: "hull-restore", Family: nftables.TableFamilyBridge}
			c.FlushChain(&nftables.Chain{Name: "arriving", Table: table})
			return c.Flush()
		},
		"the bridge": func() error {
			link, err := netlink.LinkByName("hull0")
			if err != nil {
				return err
			}
			return netlink.LinkDel(link)
		},
	} {
		check(t, remove())
		eventually(t, what+" is restored", func() error {
			whole, err := w.tables.intact()
			if err != nil || !whole {
				return errors.Join(err, errors.New("the rules are not there"))
			}
			if _, err := netlink.LinkByName("hull0"); err != nil {
				return err
			}
			if !onBridge(b.at[0].Link) {
				return errors.New("the link has no bridge")
			}
			return nil
		})
		reaches(t, out.ns, every, "a")
		reaches(t, b.ns, a.addr(80), "a")
	}
}

// onBridge tells whether an interface is a port of a bridge.
func onBridge(name string) bool {
	_, err := os.Stat(filepath.Join("/proc/sys/net/ipv4/conf", name))
	link, e := netlink.LinkByName(name)
	return err == nil && e == nil && link.Attrs().MasterIndex != 0
}

func TestWhatACrashLeftIsSwept(t *testing.T) {
	w := newWorld(t, "crash")
	_, err := w.Create(t.Context(), New{Name: "backend"})
	check(t, err)
	a, b, c := w.box("a", Default), w.box("b", Default), w.box("c", "backend")
	serve(t, a.ns, ":80", "a")
	w.publish("b", b.at[0], tcp("0.0.0.0", 0, 80))
	check(t, w.Close()) // the daemon is gone, and everything is there
	w.open()
	check(t, w.Reconcile(t.Context(), map[string]Live{
		"a": {Endpoints: a.at, Running: true}, "c": {Endpoints: c.at}, // b is no more, and c does not run
	}))
	reaches(t, nil, a.addr(80), "a")
	now := left(t)
	for _, gone := range []string{b.at[0].Link, c.at[0].Link} {
		if strings.Contains(now, gone) {
			t.Errorf("the link %s is left", gone)
		}
	}
	if v, _ := w.Find("backend"); strings.Contains(now, v.Bridge) {
		t.Errorf("the bridge %s is left, and nobody runs on it", v.Bridge)
	}
	// What c has is still its own.
	if _, err := w.Lease(t.Context(), "d", Endpoint{Network: "backend", Addr: c.at[0].Addr}); KindOf(err) != Taken {
		t.Errorf("the address of c: %v, want that it is taken", err)
	}
	got, err := w.Lease(t.Context(), "c", c.at[0])
	if err != nil || got != c.at[0] {
		t.Errorf("c has %+v, %v; want %+v", got, err, c.at[0])
	}
}

func TestABridgeIsFull(t *testing.T) {
	w := newWorld(t, "full")
	a := w.box("a", Default)
	bridge, err := netlink.LinkByName("hull0")
	check(t, err)
	ns := namespace(t)
	host, err := dialLinks(nil)
	check(t, err)
	defer host.close()
	for i := range 1022 { // made beside, since who they are does not matter
		e := Endpoint{Link: fmt.Sprintf("hv%012x", i), Name: fmt.Sprintf("p%d", i)}
		check(t, host.do(newPair(e.Link, e.Name, []byte{2, 0, 0, 0, byte(i >> 8), byte(i)}, uint32(bridge.Attrs().Index), 1500, ns)))
	}
	e, err := w.Lease(t.Context(), "b", Endpoint{Network: Default})
	check(t, err)
	other := namespace(t)
	if err := w.Plug(t.Context(), other, []Endpoint{e}); KindOf(err) != Full || !strings.Contains(err.Error(), "1,023") {
		t.Errorf("the 1,024th link: %v", err)
	}
	// What was left a moment ago is room, though its namespace is held.
	check(t, w.Unplug(t.Context(), a.at))
	if err := w.Plug(t.Context(), other, []Endpoint{e}); err != nil {
		t.Errorf("where another was left: %v", err)
	}
}

// intact tells whether both tables have all their chains and rules. It is called beside the writer, by a connection of its own.
func (t *tables) intact() (bool, error) {
	both := t.both()
	for i, chains := range [][]chain{routed(), bridged()} {
		whole, err := hasAll(both[i], chains, t.setsOf(both[i]))
		if err != nil || !whole {
			return false, err
		}
	}
	return true, nil
}

// setsOf is how many sets are of a table.
func (t *tables) setsOf(table *nftables.Table) int {
	count := 0
	for _, s := range sets {
		if s.bridge == (table.Family == nftables.TableFamilyBridge) {
			count++
		}
	}
	return count
}

// hasAll tells whether a table has as many sets, chains and rules as it should.
func hasAll(table *nftables.Table, chains []chain, sets int) (bool, error) {
	c, err := nftables.New()
	if err != nil {
		return false, err
	}
	found, err := c.ListTablesOfFamily(table.Family)
	if err != nil {
		return false, err
	}
	there := false
	for _, f := range found {
		there = there || f.Name == table.Name
	}
	if !there {
		return false, nil
	}
	if have, err := c.GetSets(table); err != nil || len(have) != sets {
		return false, err
	}
	for _, ch := range chains {
		rules, err := c.GetRules(table, &nftables.Chain{Name: ch.name, Table: table})
		if err != nil && !strings.Contains(err.Error(), "no such file") {
			return false, err
		}
		if len(rules) != len(ch.rules) {
			return false, nil
		}
	}
	return true, nil
}
