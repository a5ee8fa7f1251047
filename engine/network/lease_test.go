package network

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// onPaper is networks of which one, small, is up as far as they know: nothing is asked of the kernel.
func onPaper(t *testing.T) *Networks {
	t.Helper()
	n, err := Open(t.Context(), Options{Dir: t.TempDir(), Key: "paper"})
	check(t, err)
	t.Cleanup(func() { check(t, n.Close()) })
	h := newHeld(made(Network{
		Name: "small", ID: newID(), Bridge: "hull-paper", Subnet: netip.MustParsePrefix("10.9.8.0/29"), Subnet6: netip.MustParsePrefix("fd00:9::/64"),
	}))
	h.up = true
	n.mu.Lock()
	n.networks["small"] = h
	n.mu.Unlock()
	return n
}

func TestAddressesAreGivenInOrderAndNotAgainAtOnce(t *testing.T) {
	n := onPaper(t)
	lease := func(holder string) Endpoint {
		t.Helper()
		e, err := n.Lease(t.Context(), holder, Endpoint{Network: "small"})
		check(t, err)
		return e
	}
	a, b := lease("a"), lease("b")
	if want := (Endpoint{
		Network: "small", Link: a.Link, Name: "eth0", MAC: "02:42:0a:09:08:02",
		Addr: netip.MustParseAddr("10.9.8.2"), Addr6: netip.MustParseAddr("fd00:9::2"),
	}); a != want || !isLink(a.Link) {
		t.Errorf("the first has %+v, want %+v", a, want)
	}
	if again := lease("a"); again != a {
		t.Errorf("a second time it has %+v, want %+v", again, a)
	}
	if l, ok := n.Holder(b.Addr6); !ok || l.Holder != "b" || l.Endpoint != b {
		t.Errorf("%s is %+v's, %v; want b's", b.Addr6, l, ok)
	}
	n.Release("a")
	if c := lease("c"); c.Addr != netip.MustParseAddr("10.9.8.4") {
		t.Errorf("the third has %s, want what nobody had", c.Addr)
	}
	lease("d")
	lease("e")
	if f := lease("f"); f.Addr != a.Addr { // as soon as it is forgotten whose it was
		t.Errorf("the last has %s, want %s, which was given back", f.Addr, a.Addr)
	}
	_, err := n.Lease(t.Context(), "g", Endpoint{Network: "small"})
	if KindOf(err) != Full || !strings.Contains(err.Error(), "all 5 of 10.9.8.0/29") {
		t.Errorf("one more than there are: %v", err)
	}
}

func TestWhatCannotBeLeased(t *testing.T) {
	n := onPaper(t)
	_, err := n.Lease(t.Context(), "a", Endpoint{Network: "small", Addr: netip.MustParseAddr("10.9.8.5")})
	check(t, err)
	ip := netip.MustParseAddr
	for _, c := range []struct {
		want Endpoint
		kind Kind
		says string
	}{
		{Endpoint{Network: "none such"}, NotFound, "mkdir networks/"},
		{Endpoint{Network: "small", Addr: ip("10.9.8.5")}, Taken, "a has the address 10.9.8.5"},
		{Endpoint{Network: "small", Addr: ip("10.9.8.1")}, Taken, "the gateway"},
		{Endpoint{Network: "small", Addr: ip("10.9.8.0")}, Invalid, "ends the subnet"},
		{Endpoint{Network: "small", Addr: ip("10.9.8.7")}, Invalid, "ends the subnet"},
		{Endpoint{Network: "small", Addr: ip("10.9.9.2")}, Invalid, "whose subnet is"},
		{Endpoint{Network: "small", Addr6: ip("fd00:9::1")}, Taken, "the gateway"},
		{Endpoint{Network: "small", Addr6: ip("fd00:8::5")}, Invalid, "whose subnet is"},
		{Endpoint{Network: "small", Addr6: ip("fd00:9::5")}, Taken, "has the address"},
		{Endpoint{Network: "small", MAC: "02:42:0a:09:08:05"}, Taken, "is taken"},
		{Endpoint{Network: "small", MAC: "02:42:0a:09:08:01"}, Taken, "is taken"},
		{Endpoint{Network: "small", MAC: "01:42:0a:09:08:05"}, Invalid, "for one link"},
		{Endpoint{Network: "small", MAC: "00:00:00:00:00:00"}, Invalid, "for one link"},
		{Endpoint{Network: "small", MAC: "02:42"}, Invalid, "no MAC address"},
		{Endpoint{Network: "small", MAC: "02:42:0a:09:08:05:00:01"}, Invalid, "no MAC address"},
		{Endpoint{Network: "small", Name: "a-name-of-16-char"}, Invalid, "cannot be called"},
		{Endpoint{Network: "small", Name: "a/b"}, Invalid, "cannot be called"},
		{Endpoint{Network: "small", Name: "lo"}, Invalid, "cannot be called"},
		{Endpoint{Network: "small", Link: "eth0"}, Invalid, "no name for the host's end"},
	} {
		_, err := n.Lease(t.Context(), "b", c.want)
		if KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v (kind %d), want %q (kind %d)", c.want, err, KindOf(err), c.says, c.kind)
		}
	}
	if held := n.Held("b"); len(held) != 0 {
		t.Errorf("b has %+v of what failed", held)
	}
	if _, err := n.Lease(t.Context(), "a", Endpoint{Network: "small", Addr: ip("10.9.8.3")}); KindOf(err) != Exists {
		t.Errorf("a second place on the same network: %v", err)
	}
}

func TestAWantedAddressIsWaitedForWhileItIsForgotten(t *testing.T) {
	n := onPaper(t)
	for range 3 { // as run --rm --ip would, one after the other
		_, err := n.Lease(t.Context(), "a", Endpoint{Network: "small", Addr: netip.MustParseAddr("10.9.8.6")})
		check(t, err)
		n.Release("a")
	}
	// Whoever waits no longer: nobody clears these away, as nothing has been given back there.
	n = onPaper(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n.mu.Lock()
	n.leaving.addresses[netip.MustParseAddr("10.9.8.3")] = true
	n.leaving.done = make(chan struct{})
	n.mu.Unlock()
	_, err := n.Lease(ctx, "b", Endpoint{Network: "small", Addr: netip.MustParseAddr("10.9.8.3")})
	if KindOf(err) != Interrupted {
		t.Errorf("whoever waits no longer: %v", err)
	}
}

// Nobody keeps others from their addresses by having the MAC that would go with one.
func TestAMACThatIsWantedTakesNobodysAddress(t *testing.T) {
	n := onPaper(t)
	const mac = "02:42:0a:09:08:03"
	a, err := n.Lease(t.Context(), "a", Endpoint{Network: "small", MAC: strings.ToUpper(mac)})
	check(t, err)
	if a.MAC != mac || a.Addr != netip.MustParseAddr("10.9.8.2") {
		t.Errorf("it has %+v, want the MAC %s", a, mac)
	}
	b, err := n.Lease(t.Context(), "b", Endpoint{Network: "small"})
	check(t, err)
	if b.Addr != netip.MustParseAddr("10.9.8.3") || b.MAC == mac || !strings.HasPrefix(b.MAC, "02:") {
		t.Errorf("the next has %+v, want 10.9.8.3 and another MAC than %s", b, mac)
	}
	n.Release("a")
	if c, err := n.Lease(t.Context(), "c", Endpoint{Network: "small", MAC: mac}); err != nil || c.MAC != mac {
		t.Errorf("whoever wants it next has %+v, %v", c, err)
	}
}

// TestWhatIsUnderWayIsWaitedForFirst: while a batch is cleared away its addresses are not free, and nothing else may wait.
func TestWhatIsUnderWayIsWaitedForFirst(t *testing.T) {
	waits, under := make(chan struct{}), make(chan struct{})
	for _, c := range []struct {
		left leaving
		want chan struct{}
	}{{leaving{}, nil}, {leaving{done: waits}, waits}, {leaving{under: under}, under}, {leaving{done: waits, under: under}, under}} {
		if got := c.left.next(); got != c.want {
			t.Errorf("%+v: %v", c.left, got)
		}
	}
}

// What was left lately waits for the next time, unless somebody is in a hurry; whoever waits for it is told in between.
func TestWhatWasLeftLatelyIsCleared(t *testing.T) {
	now := time.Now()
	old, late := netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3")
	l := newLeaving()
	first := make(chan struct{})
	l.done = first
	l.links["a"], l.links["b"] = parting{Endpoint{Link: "a"}, now.Add(-time.Second)}, parting{Endpoint{Link: "b"}, now}
	l.forget[old], l.forget[late] = now.Add(-time.Second), now
	l.addresses[old], l.addresses[late] = true, true

	links, forget, given, done := l.begin(now.Add(-keptFor))
	if len(links) != 1 || links["a"].Link != "a" || len(forget) != 1 || !forget[old] || !slices.Equal(given, []netip.Addr{old}) || done != first {
		t.Errorf("%v, %v and %v are cleared away", links, forget, given)
	}
	if !l.remembers(old) || !l.remembers(late) || l.next() != first || l.done == nil || l.done == first || len(l.wake) != 1 {
		t.Errorf("what waits is %+v", l)
	}
	delete(l.links, "a") // as forgetting does
	delete(l.addresses, old)
	l.under, l.forgotten = nil, nil
	if l.remembers(old) || !l.remembers(late) {
		t.Errorf("what is remembered is %+v", l)
	}
	<-l.wake
	links, forget, given, _ = l.begin(now)
	if len(links) != 1 || links["b"].Link != "b" || !forget[late] || !slices.Equal(given, []netip.Addr{late}) || l.done != nil || len(l.wake) != 0 {
		t.Errorf("%v, %v and %v are cleared away in a hurry; what waits is %+v", links, forget, given, l)
	}
}

func TestPlacesPassFromOneHolderToAnother(t *testing.T) {
	n := onPaper(t)
	e, err := n.Lease(t.Context(), "warm", Endpoint{Network: "small"})
	check(t, err)
	n.Give("warm", "web")
	if got := n.Held("web"); len(got) != 1 || got[0] != e {
		t.Errorf("web has %+v, want %+v", got, e)
	}
	if l, _ := n.Holder(e.Addr); l.Holder != "web" {
		t.Errorf("%s is %s's, want web's", e.Addr, l.Holder)
	}
	if got := n.Held("warm"); len(got) != 0 {
		t.Errorf("the first has %+v still", got)
	}
	if all := n.Leases("small"); len(all) != 1 || all[0].Holder != "web" {
		t.Errorf("on the network are %+v, want web", all)
	}
	if err := n.Remove(t.Context(), "small"); KindOf(err) != Busy || !strings.Contains(err.Error(), "web") {
		t.Errorf("a network in use is removed: %v", err)
	}
	second, err := n.Lease(t.Context(), "warm", Endpoint{Network: "small"})
	check(t, err)
	n.Give("warm", "web") // which has a place there: one of the two it keeps
	if got := n.Held("web"); len(got) != 1 || got[0] != second {
		t.Errorf("web has %+v, want %+v", got, second)
	}
	if l, ok := n.Holder(e.Addr); ok {
		t.Errorf("%s is %s's still, want nobody's", e.Addr, l.Holder)
	}
	n.Release("web", "another")
	if got := n.Held("web"); len(got) != 1 {
		t.Error("what was not released is gone")
	}
	n.Release("web")
	if all := n.Leases("small"); len(all) != 0 {
		t.Errorf("on the network are %+v, want nobody", all)
	}
}

func TestNetworksAreRemembered(t *testing.T) {
	dir := t.TempDir()
	open := func() *Networks {
		n, err := Open(t.Context(), Options{Dir: dir, Key: "k"})
		check(t, err)
		t.Cleanup(func() { check(t, n.Close()) })
		return n
	}
	n := open()
	back, err := n.Create(t.Context(), New{Name: "back", Subnet: netip.MustParsePrefix("10.201.0.0/24"), UID: 7, GID: 8})
	check(t, err)
	chosen, err := n.Create(t.Context(), New{Name: "chosen"})
	check(t, err)
	if chosen.Subnet.Bits() != otherBits || chosen.Subnet.Overlaps(back.Subnet) {
		t.Errorf("chosen has %s", chosen.Subnet)
	}
	check(t, n.Chown(t.Context(), "chosen", 9, 10))
	check(t, n.SetSubnet(t.Context(), "chosen", netip.MustParsePrefix("fd12:202::/64"), netip.MustParsePrefix("10.202.0.0/24")))
	for other, want := range map[string]Kind{"fe80::/64": Invalid, "fd12:202::/128": Invalid} {
		err := n.SetSubnet(t.Context(), "chosen", netip.MustParsePrefix("10.203.0.0/24"), netip.MustParsePrefix(other))
		if KindOf(err) != want {
			t.Errorf("a subnet %s beside a good one: %v", other, err)
		}
	}
	if err := n.SetSubnet(t.Context(), "chosen", netip.MustParsePrefix("fd12:203::/64"), back.Subnet); KindOf(err) != Exists {
		t.Errorf("another network's subnet beside a free one: %v", err)
	}
	for _, bad := range []struct {
		want New
		kind Kind
	}{
		{New{Name: "back"}, Exists},
		{New{Name: "host"}, Invalid},
		{New{Name: "../up"}, Invalid},
		{New{Name: strings.Repeat("x", 65)}, Invalid},
		{New{Name: "o", Subnet: netip.MustParsePrefix("10.201.0.128/25")}, Exists},
		{New{Name: "o", Subnet: netip.MustParsePrefix("10.0.0.0/8")}, Exists},
		{New{Name: "o", Subnet: netip.MustParsePrefix("10.203.0.1/24")}, Invalid},
		{New{Name: "o", Subnet: netip.MustParsePrefix("10.203.0.0/31")}, Invalid},
		{New{Name: "o", Subnet: netip.MustParsePrefix("127.3.0.0/16")}, Invalid},
		{New{Name: "o", Subnet: netip.MustParsePrefix("224.3.0.0/16")}, Invalid},
		{New{Name: "o", Subnet: netip.MustParsePrefix("fd00::/64")}, Invalid},
		{New{Name: "o", Subnet6: netip.MustParsePrefix("fe80::/64")}, Invalid},
		{New{Name: "o", Subnet6: netip.MustParsePrefix("10.203.0.0/24")}, Invalid},
	} {
		if _, err := n.Create(t.Context(), bad.want); KindOf(err) != bad.kind {
			t.Errorf("%+v: %v (kind %d), want kind %d", bad.want, err, KindOf(err), bad.kind)
		}
	}
	if err := n.Remove(t.Context(), Default); KindOf(err) != Denied {
		t.Errorf("the default network is removed: %v", err)
	}
	check(t, os.WriteFile(filepath.Join(dir, "bad.json"), []byte(`{"version":1,"name":"bad"`), 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "half.json.new"), nil, 0o600))
	later := open()
	got, ok := later.Find("chosen")
	if !ok || got.UID != 9 || got.Subnet.String() != "10.202.0.0/24" || got.Gateway.String() != "10.202.0.1" || got.Subnet6.String() != "fd12:202::/64" || got.ID != chosen.ID || got.Created.Sub(chosen.Created) > time.Second {
		t.Errorf("later chosen is %+v, %v", got, ok)
	}
	var names []string
	for _, v := range later.List() {
		names = append(names, v.Name)
	}
	if all := strings.Join(names, " "); all != "back chosen default" {
		t.Errorf("later there are %s", all)
	}
	check(t, later.Remove(t.Context(), "back"))
	if err := later.Remove(t.Context(), "back"); KindOf(err) != NotFound {
		t.Errorf("a network is removed twice: %v", err)
	}
}

func TestSubnetsAreChosenWhereNobodyIs(t *testing.T) {
	taken := []used{{netip.MustParsePrefix("10.0.0.0/8"), "a VPN"}}
	p, ok := choose("a", defaultBits, taken)
	if !ok || p.Overlaps(taken[0].prefix) || !p.Addr().IsPrivate() {
		t.Errorf("beside 10.0.0.0/8, %s is chosen, %v", p, ok)
	}
	again, _ := choose("a", defaultBits, taken)
	other, _ := choose("b", defaultBits, taken)
	if again != p || other == p {
		t.Errorf("the same hull chooses %s, then %s; another %s", p, again, other)
	}
	for _, all := range []string{"172.16.0.0/12", "192.168.0.0/16"} {
		taken = append(taken, used{netip.MustParsePrefix(all), "the office"})
	}
	if p, ok := choose("a", otherBits, taken); ok {
		t.Errorf("where everything is taken, %s is chosen", p)
	}
}
