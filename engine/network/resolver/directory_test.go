package resolver

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// Containers of the tests: on back are root's db and web and two of alice's, on front web and one of bob's.
func populate(put func(Host)) {
	const alice, bob = 1000, 1001
	put(Host{ID: "aaaaaaaaaaaa0000", Name: "db", Attachments: []Attachment{{
		Network: "back", Addrs: []netip.Addr{addr("127.20.0.2"), addr("fd00::2")}, Aliases: []string{"Postgres", "store"},
	}}})
	put(Host{ID: "bbbbbbbbbbbb0000", Name: "web", Attachments: []Attachment{
		{Network: "back", Addrs: []netip.Addr{addr("127.20.0.3")}},
		{Network: "front", Addrs: []netip.Addr{addr("127.21.0.3")}},
	}})
	put(Host{ID: "cccccccccccc0000", Name: "example.com", Owner: alice, Attachments: []Attachment{{
		Network: "back", Addrs: []netip.Addr{addr("127.20.0.4")}, Aliases: []string{"db", "cache"},
	}}})
	put(Host{ID: "dddddddddddd0000", Name: "client", Owner: alice, Attachments: []Attachment{{
		Network: "back", Addrs: []netip.Addr{addr("127.20.0.5")}, Aliases: []string{"cache"},
	}}})
	put(Host{ID: "eeeeeeeeeeee0000", Name: "mail", Owner: bob, Attachments: []Attachment{{
		Network: "front", Addrs: []netip.Addr{addr("127.21.0.6")}, Aliases: []string{"web.back"},
	}}})
}

func TestWhoFindsWhat(t *testing.T) {
	d := newDirectory()
	populate(d.put)
	for _, c := range []struct{ by, network, name, want string }{
		{"127.20.0.3", "back", "db", "127.20.0.2 fd00::2"},       // by name
		{"127.20.0.3", "back", "postgres", "127.20.0.2 fd00::2"}, // by alias, in whatever case
		{"127.20.0.3", "back", "aaaaaaaaaaaa", "127.20.0.2 fd00::2"},
		{"127.20.0.3", "back", "db.back", "127.20.0.2 fd00::2"},
		{"127.20.0.2", "back", "db", "127.20.0.2 fd00::2"}, // itself
		{"127.20.0.2", "back", "web", "127.20.0.3"},        // not where it is on another network
		{"127.21.0.3", "front", "db", "127.20.0.2 fd00::2"},
		{"127.21.0.3", "front", "mail", "127.21.0.6"},
		{"127.21.0.6", "front", "web", "127.21.0.3"},
		{"127.21.0.6", "front", "db", ""},                        // on no network of its
		{"127.20.0.2", "back", "mail", ""},                       //
		{"127.20.0.5", "back", "db", "127.20.0.4"},               // its owner's own before root's
		{"127.20.0.5", "back", "store", "127.20.0.2 fd00::2"},    // root's, for want of an own
		{"127.20.0.2", "back", "client", "127.20.0.5"},           // somebody's
		{"127.20.0.2", "back", "example.com", ""},                // but not as a name of the world
		{"127.20.0.5", "back", "example.com", "127.20.0.4"},      // which is only for the own
		{"127.21.0.3", "front", "web.back", "127.20.0.3"},        // and not to be taken over either
		{"127.20.0.2", "back", "cache", "127.20.0.4 127.20.0.5"}, // several
		{"127.20.0.2", "back", "aaaaaaaaaaaa0000", ""},           // no part of an ID but its short form
		{"127.20.0.2", "back", "", ""},
	} {
		by := d.asker(c.network, addr(c.by))
		if by == nil {
			t.Fatalf("nobody is known at %s", c.by)
		}
		addrs, found := d.find(by, c.name)
		slices.SortFunc(addrs, netip.Addr.Compare)
		got := ""
		for i, a := range addrs {
			if i > 0 {
				got += " "
			}
			got += a.String()
		}
		if got != c.want || found != (c.want != "") {
			t.Errorf("%s on %s asks for %q: %q, found %t; want %q", c.by, c.network, c.name, got, found, c.want)
		}
	}
}

func TestAskerIsOnItsNetworkOnly(t *testing.T) {
	d := newDirectory()
	populate(d.put)
	for _, c := range []struct {
		network, addr string
		known         bool
	}{
		{"back", "127.20.0.3", true},
		{"front", "127.21.0.3", true},
		{"front", "127.20.0.3", false}, // it has that address, but not there
		{"front", "127.20.0.2", false},
		{"back", "127.20.0.1", false},
		{"other", "127.20.0.3", false},
	} {
		if got := d.asker(c.network, addr(c.addr)) != nil; got != c.known {
			t.Errorf("%s on %s: known %t, want %t", c.addr, c.network, got, c.known)
		}
	}
}

func TestReverse(t *testing.T) {
	d := newDirectory()
	populate(d.put)
	d.setNetworks([]Network{
		{Name: "back", Prefixes: []netip.Prefix{netip.MustParsePrefix("127.20.0.0/24")}},
		{Name: "front", Prefixes: []netip.Prefix{netip.MustParsePrefix("127.21.0.0/24")}},
	})
	db := d.asker("back", addr("127.20.0.2"))
	for _, c := range []struct {
		addr, name string
		ours       bool
	}{
		{"127.20.0.3", "web.back", true},
		{"fd00::2", "db.back", true},
		{"127.20.0.99", "", true},  // nobody's yet
		{"127.21.0.6", "", true},   // of a network it is not on
		{"127.21.0.3", "", true},   // web, but there
		{"192.0.2.1", "", false},   // of the world
		{"2001:db8::1", "", false}, //
	} {
		if name, ours := d.reverse(db, addr(c.addr)); name != c.name || ours != c.ours {
			t.Errorf("reverse of %s: %q, ours %t; want %q, %t", c.addr, name, ours, c.name, c.ours)
		}
	}
}

func TestChangesOfContainers(t *testing.T) {
	d := newDirectory()
	populate(d.put)
	web := d.asker("back", addr("127.20.0.3"))
	finds := func(name string) bool { _, found := d.find(web, name); return found }

	// Renamed: the old name is nobody's, and what it may ask for is not refilled.
	before := d.asker("back", addr("127.20.0.2")).allowance
	d.put(Host{ID: "aaaaaaaaaaaa0000", Name: "data", Attachments: []Attachment{{Network: "back", Addrs: []netip.Addr{addr("127.20.0.2")}}}})
	if finds("postgres") || !finds("data") {
		t.Error("after its renaming a container is not found by its names of now")
	}
	if d.asker("back", addr("127.20.0.2")).allowance != before {
		t.Error("a renamed container has an allowance anew")
	}

	// Its address is another's before it is gone.
	d.put(Host{ID: "ffffffffffff0000", Name: "new", Attachments: []Attachment{{Network: "back", Addrs: []netip.Addr{addr("127.20.0.2")}}}})
	d.drop("aaaaaaaaaaaa0000")
	if h := d.asker("back", addr("127.20.0.2")); h == nil || h.Name != "new" {
		t.Errorf("the address that was given on is %v's", h)
	}
	if finds("data") || !finds("new") {
		t.Error("who has the address now is not found by its name")
	}

	// All gone, nothing is kept.
	d.drop("nobody")
	for id := range d.hosts {
		d.drop(id)
	}
	if diff := cmp.Diff([]int{0, 0, 0}, []int{len(d.hosts), len(d.addrs), len(d.segments)}); diff != "" {
		t.Errorf("containers, addresses and networks left (-want +got):\n%s", diff)
	}
}

func TestOwnServersThatMayBeAsked(t *testing.T) {
	d := newDirectory()
	populate(d.put)
	d.setNetworks([]Network{
		{Name: "back", Prefixes: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24")}, Gateways: []netip.Addr{addr("10.1.0.1")}},
		{Name: "front", Prefixes: []netip.Prefix{netip.MustParsePrefix("10.2.0.0/24")}, Gateways: []netip.Addr{addr("10.2.0.1")}},
	})
	h := Host{ID: "aaaaaaaaaaaa0000", Name: "db", Attachments: []Attachment{{Network: "back", Addrs: []netip.Addr{addr("10.1.0.2")}}}}
	for _, s := range []string{
		"192.0.2.1:53", "127.0.0.1:53", "[::1]:53", "0.0.0.0:53", "224.0.0.251:5353", "[::ffff:127.0.0.1]:53", // the host itself, or everybody
		"10.1.0.7:53",                // a container beside it
		"10.1.0.1:53", "10.2.0.1:53", // this resolver: it would ask itself
		"10.2.0.7:53", // a container of another network
		"[2001:db8::1]:53",
	} {
		h.Servers = append(h.Servers, netip.MustParseAddrPort(s))
	}
	d.put(h)
	var got []string
	for _, s := range d.serversOf(d.asker("back", addr("10.1.0.2"))) {
		got = append(got, s.String())
	}
	if diff := cmp.Diff([]string{"192.0.2.1:53", "10.1.0.7:53", "[2001:db8::1]:53"}, got); diff != "" {
		t.Errorf("servers asked (-want +got):\n%s", diff)
	}
}
