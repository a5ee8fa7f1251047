package engine

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"hull/engine/network"
	"hull/engine/network/resolver"
)

// found is what there is of networks when all that lasts a moment is over.
func (w *world) found(places, plugged, ports int) {
	w.t.Helper()
	want := foundLinks{places, plugged, ports}
	w.until("this is there of networks: "+cmp.Diff(foundLinks{}, want), func() bool { return *w.links.count() == want })
}

// A container keeps its place over all its runs, even those of another daemon, and nobody else gets it; with the container it
// is given back.
func TestPlaceStays(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	web := w.create("web", "sleep", true)
	if len(web.Endpoints) != 1 || web.Endpoints[0].Network != network.Default || web.Endpoints[0].Name != "eth0" {
		t.Fatalf("it has the places %+v", web.Endpoints)
	}
	same := func() {
		t.Helper()
		if now := w.find("web").Endpoints; !slices.Equal(now, web.Endpoints) {
			t.Errorf("it had %+v, and has %+v", web.Endpoints, now)
		}
	}
	w.ok(w.e.Stop(ctx, "web", -1))
	w.found(1, 0, 0)
	same()
	w.create("db", "sleep", true)
	w.ok(w.e.Start(ctx, "web"))
	same()
	w.ok(w.e.Restart(ctx, "web", -1))
	same()
	w.ok(w.e.Stop(ctx, "web", -1))
	w.ok(w.e.Close())
	if w.links.cleared {
		t.Error("the networks were taken down with a container on them")
	}
	w.names = newTestNames()
	var early []string
	w.links.before = func() { early = w.names.known() }
	w.open()
	same()
	if !slices.Equal(early, []string{"db"}) {
		t.Errorf("when names are answered again, the next daemon knows %v", early)
	}
	w.ok(w.e.Recreate(ctx, "web"))
	w.ok(w.e.Start(ctx, "web"))
	same()
	if known := w.names.known(); !slices.Equal(known, []string{"db", "web"}) {
		t.Errorf("by their names are known %v", known)
	}
	w.ok(w.e.Rename(ctx, "web", "www"))
	if known := w.names.known(); !slices.Equal(known, []string{"db", "www"}) {
		t.Errorf("by their names are known %v", known)
	}
	w.ok(w.e.Remove(ctx, "www", true))
	w.ok(w.e.Remove(ctx, "db", true))
	w.found(0, 0, 0)
	if known := w.names.known(); len(known) > 0 {
		t.Errorf("by their names are known %v", known)
	}
	w.ok(w.e.Close())
	if !w.links.cleared {
		t.Error("the networks were not taken down")
	}
}

// What a start that fails has taken of networks is nobody's; what the container had stays its own.
func TestPlaceOfFailedStart(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	bad := map[string]string{"command": "badexec", "ports": "8080:80"}
	_, err := w.e.Create(ctx, New{Name: "web", Image: "box", Settings: bad, Start: true})
	w.want(err, NotExecutable)
	w.found(0, 0, 0)
	web := w.create("web", "sleep", true)
	w.ok(w.e.Stop(ctx, "web", -1))
	w.ok(w.e.Set(ctx, "web", "command", "badexec"))
	w.want(w.e.Start(ctx, "web"), NotExecutable)
	w.found(1, 0, 0)
	w.ok(w.e.Set(ctx, "web", "command", "sleep"))
	w.links.mu.Lock()
	w.links.broken = &network.Error{Kind: network.Unsupported, Err: errors.New("this kernel has no bridges")}
	w.links.mu.Unlock()
	err = w.e.Start(ctx, "web")
	w.want(err, Unsupported)
	if !strings.Contains(err.Error(), "this kernel has no bridges") {
		t.Errorf("it says %v", err)
	}
	w.ok(w.e.Set(ctx, "web", "network", "none")) // which works still, and needs no place
	w.found(0, 0, 0)
	w.ok(w.e.Start(ctx, "web"))
	if now := w.find("web"); len(now.Endpoints) > 0 || slices.Equal(now.Endpoints, web.Endpoints) {
		t.Errorf("it has %+v", now.Endpoints)
	}
}

// A container is on all the networks that it names, in their order, with the addresses it wants; others hear of what is not so.
func TestSeveralNetworks(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	settings := map[string]string{"command": "sleep", "network": "back:alias=db,ip=10.0.9.9\ndefault"}
	_, err := w.e.Create(ctx, New{Name: "web", Image: "box", Settings: settings, Start: true})
	w.want(err, NotFound)
	w.links.known = append(w.links.known, "back")
	web, err := w.e.Create(ctx, New{Name: "web", Image: "box", Settings: settings, Start: true})
	w.ok(err)
	var got []string
	for _, p := range web.Endpoints {
		got = append(got, p.Network+" "+p.Name)
	}
	if !slices.Equal(got, []string{"back eth0", "default eth1"}) || web.Endpoints[0].Addr.String() != "10.0.9.9" {
		t.Errorf("it has %+v", web.Endpoints)
	}
	host := w.names.hosts[web.ID]
	if len(host.Attachments) != 2 || !slices.Equal(host.Attachments[0].Aliases, []string{"db"}) || host.Attachments[1].Aliases != nil {
		t.Errorf("it is known as %+v", host)
	}
	_, err = w.e.Create(ctx, New{Name: "two", Image: "box", Settings: map[string]string{"command": "sleep", "network": "back:ip=10.0.9.9"}, Start: true})
	w.want(err, InUse)
	w.found(2, 2, 0)

	// Another address takes the place of the one it had, from the next start on; a network it is not on any more is left.
	w.ok(w.e.Set(ctx, "web", "network", "back:ip=10.0.9.10"))
	if now := w.find("web").Endpoints; !slices.Equal(now, web.Endpoints) {
		t.Errorf("while it runs it has %+v", now)
	}
	w.ok(w.e.Restart(ctx, "web", -1))
	if now := w.find("web").Endpoints; len(now) != 1 || now[0].Addr.String() != "10.0.9.10" {
		t.Errorf("it has %+v", now)
	}
	w.found(1, 1, 0)
	w.ok(w.e.Stop(ctx, "web", -1))
	w.ok(w.e.Set(ctx, "web", "network", ""))
	w.found(0, 0, 0)
}

// Ports are the host's as long as the container runs, and one that is taken fails the start.
func TestPorts(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.roots.images["box"].Ports = []string{"80/tcp", "53/udp", "nonsense", "9000-9001/tcp"}
	run := func(name string, settings map[string]string) (*Container, error) {
		settings["command"] = "sleep"
		return w.e.Create(ctx, New{Name: name, Image: "box", Settings: settings, Start: true})
	}
	web, err := run("web", map[string]string{"ports": "0.0.0.0:8080:80", "publish_all": "true", "expose": "7000/udp\n9000"})
	w.ok(err)
	all, here := netip.IPv4Unspecified(), localhost()
	want := []network.Bound{
		{HostIP: all, HostPort: 8080, Port: 80, Proto: "tcp"},
		{HostIP: here, HostPort: 40053, Port: 53, Proto: "udp"},
		{HostIP: here, HostPort: 47000, Port: 7000, Proto: "udp"},
		{HostIP: here, HostPort: 49000, Port: 9000, Proto: "tcp"},
		{HostIP: here, HostPort: 49001, Port: 9001, Proto: "tcp"},
	}
	if diff := cmp.Diff(want, web.Ports, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
	_, err = run("two", map[string]string{"ports": "8080:80"})
	w.want(err, InUse)
	w.found(1, 1, 5)
	w.ok(w.e.Close())
	w.open() // takes them again
	w.found(1, 1, 5)
	w.ok(w.e.Stop(ctx, "web", -1))
	w.found(1, 0, 0)
	if now := w.find("web"); len(now.Ports) > 0 {
		t.Errorf("it has %+v", now.Ports)
	}
}

// Of those made beforehand, with a place of their own, one becomes a container that wants no other; what is not used gives its
// place back.
func TestWarmPlaces(t *testing.T) {
	w := warmWorld(t, 2)
	w.found(2, 2, 0)
	ready := map[netip.Addr]bool{}
	for _, p := range w.links.held {
		ready[p[0].Addr] = true
	}
	web := w.create("web", "sleep", true)
	if !ready[web.Endpoints[0].Addr] {
		t.Errorf("it has %+v, and ready were %v", web.Endpoints, ready)
	}
	w.filled()
	w.found(3, 3, 0)
	w.ok(w.e.Restart(t.Context(), "web", -1)) // with its own place, in a process that is made for it
	if now := w.find("web").Endpoints; !slices.Equal(now, web.Endpoints) {
		t.Errorf("it had %+v, and has %+v", web.Endpoints, now)
	}
	w.filled()
	w.found(3, 3, 0)
	for _, s := range w.launch.waiting() {
		s.dying = true // when it is to become a container
	}
	w.create("db", "sleep", true)
	w.filled()
	w.found(4, 4, 0)
	w.ok(w.e.Remove(t.Context(), "web", true))
	w.ok(w.e.Remove(t.Context(), "db", true))
	w.found(2, 2, 0)
	w.ok(w.e.Close())
	if n := w.links.count(); n.Places > 0 {
		t.Errorf("%+v are left", n)
	}
}

// TestEtc: the files of a container's own in /etc.
func TestEtc(t *testing.T) {
	place := network.Endpoint{Addr: netip.MustParseAddr("10.1.0.2"), Addr6: netip.MustParseAddr("fd00::2")}
	host := resolver.Conf{Servers: []netip.Addr{netip.MustParseAddr("127.0.0.53")}, Search: []string{"example.com"}, Options: []string{"edns0"}}
	const usual = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
	bridge := etcWriter{hostname: "web", places: []network.Endpoint{place}, gateway: netip.MustParseAddr("10.1.0.1"), host: host}
	own := bridge
	own.dns = resolving{Servers: []netip.Addr{netip.MustParseAddr("9.9.9.9")}, Search: []string{""}, Options: []string{"ndots:3"}}
	own.hosts = []knownHost{{Name: "host", Gateway: true}, {Name: "db", Addr: netip.MustParseAddr("10.2.0.2")}}
	none := etcWriter{hostname: "web", mode: unplugged}
	asked := none
	asked.dns.Servers = own.dns.Servers
	hosts := etcWriter{hostname: "web", mode: hosted, host: host}
	for _, c := range []struct {
		name, hosts, resolv string
		w                   etcWriter
	}{
		{"bridge", usual + "10.1.0.2\tweb\nfd00::2\tweb\n", "nameserver 10.1.0.1\nsearch example.com\noptions ndots:0 edns0\n", bridge},
		{"own", usual + "10.1.0.2\tweb\nfd00::2\tweb\n10.1.0.1\thost\n10.2.0.2\tdb\n", "nameserver 10.1.0.1\noptions ndots:3\n", own},
		{"none", usual + "127.0.1.1\tweb\n", "# this container has no network\n", none},
		{"asked", usual + "127.0.1.1\tweb\n", "nameserver 9.9.9.9\n", asked},
		{"host", "", "nameserver 127.0.0.53\nsearch example.com\noptions edns0\n", hosts},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := string(c.w.hostsFile()); c.hosts != "" && got != c.hosts {
				t.Errorf("hosts: %s", cmp.Diff(c.hosts, got))
			}
			if got := string(c.w.resolvConf()); got != c.resolv {
				t.Errorf("resolv.conf: %s", cmp.Diff(c.resolv, got))
			}
		})
	}
}
