package engine

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hull/engine/network"
)

// TestParseNetworkSettings: what the settings of the network take, and how they write it.
func TestParseNetworkSettings(t *testing.T) {
	list := func(items ...string) []string { return append([]string{}, items...) }
	long := strings.Repeat("a", 63)
	for _, r := range []struct {
		setting, value string
		want           []string // nil: refused
	}{
		{"network", "default\n", list("default")},
		{"network", "bridge", list("default")},
		{"network", "none\n", list("none")},
		{"network", "host", list("host")},
		{"network", "container:web", list("container:web")},
		{"network", "container:" + testID, list("container:" + testID)},
		{"network", "backend\nfrontend:alias=www", list("backend", "frontend:alias=www")},
		{"network", "backend:alias=db, alias=db,alias=db2,ip6=FD00:0::2,ip=10.1.2.3", list("backend:alias=db,alias=db2,ip=10.1.2.3,ip6=fd00::2")},
		{"network", "name=backend,alias=db,ip=10.1.2.3", list("backend:alias=db,ip=10.1.2.3")},
		{"network", "alias=db,name=bridge", list("default:alias=db")},
		{"network", `["a","b"]`, list("a", "b")},
		{"network", "# nothing", list()},
		{"network", strings.Repeat("n", 64), list(strings.Repeat("n", 64))},
		{"network", strings.Repeat("n", 300), nil},
		{"network", "host:x=1", nil},
		{"network", "none:", nil},
		{"network", "host\nbackend", nil},
		{"network", "container:a\ncontainer:b", nil},
		{"network", "container:", nil},
		{"network", "container", nil},
		{"network", "container:a b", nil},
		{"network", "name=host", nil},
		{"network", "a\na:ip=10.0.0.1", nil},
		{"network", "bridge\ndefault", nil},
		{"network", "-a", nil},
		{"network", "a/b", nil},
		{"network", "ä", nil},
		{"network", "a b", nil},
		{"network", "a:", nil},
		{"network", "a:ip", nil},
		{"network", "a:ip=", nil},
		{"network", "a:ip=10.0.0", nil},
		{"network", "a:ip=10.0.0.1,ip=10.0.0.2", nil},
		{"network", "a:ip=fd00::1", nil},
		{"network", "a:ip6=10.0.0.1", nil},
		{"network", "a:ip6=::ffff:10.0.0.1", nil},
		{"network", "a:ip6=fe80::1", nil},
		{"network", "a:ip6=fd00::1%eth0", nil},
		{"network", "a:ip=127.0.0.1", nil},
		{"network", "a:ip=0.0.0.0", nil},
		{"network", "a:ip=224.0.0.1", nil},
		{"network", "a:ip=255.255.255.255", nil},
		{"network", "a:alias=-x", nil},
		{"network", "a:alias=10.0.0.1", nil},
		{"network", "a:mac-address=02:00:00:00:0A:01,alias=x", list("a:alias=x,mac-address=02:00:00:00:0a:01")},
		{"network", "name=a,mac-address=02-00-00-00-00-01", list("a:mac-address=02:00:00:00:00:01")},
		{"network", "a:mac-address=03:00:00:00:00:01", nil},
		{"network", "a:mac-address=00:00:00:00:00:00", nil},
		{"network", "a:mac-address=02:00:00:00:00:00:00:01", nil},
		{"network", "a:mac-address=02:00:00:00:00:01,mac-address=02:00:00:00:00:02", nil},
		{"network", "a:what=1", nil},
		{"network", `a:"alias=x`, nil},
		{"network", "name=a,name=b", nil},
		{"network", "alias=x", nil},

		{"expose", "80\n 443/TCP \n7000-7002/udp", list("80", "443/tcp", "7000-7002/udp")},
		{"expose", "80/sctp", nil},
		{"expose", "0", nil},
		{"expose", "70000", nil},
		{"expose", "8080:80", nil},
		{"expose", "90-80", nil},
		{"expose", "80/", nil},
		{"ports", "8080:80\n", list("8080:80")},
		{"ports", "80", list("80")},
		{"ports", " [::1]:8080:80\n8080:80", list("[::1]:8080:80", "8080:80")},
		{"ports", `["[::1]:8080:80","80"]`, list("[::1]:8080:80", "80")},
		{"ports", "[]", list()},
		{"ports", "127.0.0.1:8080:80\n0.0.0.0:8081:80\n[::1]:8080:80\n[::]:53:53/udp", list("127.0.0.1:8080:80", "0.0.0.0:8081:80", "[::1]:8080:80", "[::]:53:53/udp")},
		{"ports", "127.0.0.1::80", list("127.0.0.1::80")},
		{"ports", "0:80", list("0:80")},
		{"ports", "8000-8010:9000-9010/UDP", list("8000-8010:9000-9010/UDP")},
		{"ports", "8000-8010:80", list("8000-8010:80")},
		{"ports", "published=8080,target=80,protocol=udp,mode=host", list("8080:80/udp")},
		{"ports", "target=80", list(":80")},
		{"ports", "80:80\n80:80/udp", list("80:80", "80:80/udp")},
		{"ports", "127.0.0.1:80:80\n127.0.0.2:80:80\n[::]:80:80", list("127.0.0.1:80:80", "127.0.0.2:80:80", "[::]:80:80")},
		{"ports", "0:80\n0:80", list("0:80", "0:80")},
		{"ports", "80:80\n80:81", nil},
		{"ports", "0.0.0.0:80:80\n80:81", nil},
		{"ports", "80:81\n0.0.0.0:80:80", nil},
		{"ports", "8000-8010:8000-8010\n8010:1", nil},
		{"ports", "0", nil},
		{"ports", "80:0", nil},
		{"ports", "80:", nil},
		{"ports", ":", nil},
		{"ports", "65536:80", nil},
		{"ports", "80:65536", nil},
		{"ports", "-1:80", nil},
		{"ports", "+80:80", nil},
		{"ports", "80 :80", nil},
		{"ports", "http:80", nil},
		{"ports", "8000-8010:80-81", nil},
		{"ports", "8010-8000:80", nil},
		{"ports", "0-5:80", nil},
		{"ports", "80-90-100", nil},
		{"ports", "1-65535:1-65535", nil},
		{"ports", "8080:80/sctp", nil},
		{"ports", "8080:80/", nil},
		{"ports", "8080:80/tcp/udp", nil},
		{"ports", "localhost:8080:80", nil},
		{"ports", "::1:8080:80", nil},
		{"ports", "[::1]", nil},
		{"ports", "[::1]80:80", nil},
		{"ports", "[127.0.0.1]:80:80", nil},
		{"ports", "[fe80::1%eth0]:80:80", nil},
		{"ports", "224.0.0.1:80:80", nil},
		{"ports", "255.255.255.255:80:80", nil},
		{"ports", "256.0.0.1:80:80", nil},
		{"ports", ":80:80", nil},
		{"ports", "published=1,published=2,target=3", nil},
		{"ports", "published=1,target=3,mode=ingress", nil},
		{"ports", "published=1,what=3", nil},
		{"ports", "published=1", nil},

		{"dns", "1.1.1.1\n2606:4700:4700::1111\nsearch example.org Example.com.\noptions ndots:2 rotate\n", list(
			"1.1.1.1", "2606:4700:4700::1111", "search example.org", "search Example.com", "options ndots:2", "options rotate")},
		{"dns", "nameserver 1.1.1.1\nnameserver 1.1.1.1\n# a comment\nsearch .", list("1.1.1.1", "search .")},
		{"dns", "127.0.0.53", list("127.0.0.53")},
		{"dns", "dns.example.org", nil},
		{"dns", "1.1.1.1 8.8.8.8", nil},
		{"dns", "1.1.1.1:53", nil},
		{"dns", "0.0.0.0", nil},
		{"dns", "fe80::1%eth0", nil},
		{"dns", "search", nil},
		{"dns", "search a..b", nil},
		{"dns", "search .\nsearch a", nil},
		{"dns", "options", nil},
		{"dns", "options ndots:", nil},
		{"dns", "options a;b", nil},
		{"dns", "search " + long + "a", nil},

		{"extra_hosts", "db:10.1.2.3\nv6:fd00::1\nb=[fd00::2]\ngate:host-gateway\n" + long + ".x_y:1.2.3.4", list(
			"db:10.1.2.3", "v6:fd00::1", "b:fd00::2", "gate:host-gateway", long+".x_y:1.2.3.4")},
		{"extra_hosts", "db", nil},
		{"extra_hosts", "db:", nil},
		{"extra_hosts", ":1.2.3.4", nil},
		{"extra_hosts", "db:other", nil},
		{"extra_hosts", "d b:1.2.3.4", nil},
		{"extra_hosts", "db\t1.2.3.4", nil},
		{"extra_hosts", "1.2.3.4:1.2.3.4", nil},
		{"extra_hosts", long + "a:1.2.3.4", nil},
		{"extra_hosts", "db-:1.2.3.4", nil},
		{"extra_hosts", "db:fe80::1%eth0", nil},
	} {
		row, _ := FindSetting(r.setting)
		got, err := row.Parse(r.value)
		if r.want == nil {
			if KindOf(err) != Invalid || err == nil {
				t.Errorf("%s %q: %v, %v and should be refused", r.setting, r.value, got, err)
			}
			continue
		}
		if d := cmp.Diff(any(r.want), got); err != nil || d != "" {
			t.Errorf("%s %q: %v %s", r.setting, r.value, err, d)
			continue
		}
		// What is written so means the same.
		again, err := row.Parse(formatList(r.want))
		if err != nil || len(r.want) > 0 && !cmp.Equal(any(r.want), again) {
			t.Errorf("%s %q is %q and then %v, %v", r.setting, r.value, r.want, again, err)
		}
	}
}

// TestPublished: which ports an item of the setting stands for.
func TestPublished(t *testing.T) {
	any4, here := netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("127.0.0.1")
	for item, want := range map[string][]network.Port{
		"80":                        {{HostIP: here, Port: 80, Proto: "tcp"}},
		"0.0.0.0:0:80":              {{HostIP: any4, Port: 80, Proto: "tcp"}},
		"8080:80/UDP":               {{HostIP: here, HostPort: 8080, Port: 80, Proto: "udp"}},
		"8080-8081:80-81":           {{HostIP: here, HostPort: 8080, Port: 80, Proto: "tcp"}, {HostIP: here, HostPort: 8081, Port: 81, Proto: "tcp"}},
		"8080-8090:80":              {{HostIP: here, HostPort: 8080, HostPortEnd: 8090, Port: 80, Proto: "tcp"}},
		"8080-8080:80":              {{HostIP: here, HostPort: 8080, Port: 80, Proto: "tcp"}},
		"0:80-81":                   {{HostIP: here, Port: 80, Proto: "tcp"}, {HostIP: here, Port: 81, Proto: "tcp"}},
		"[::1]::65535":              {{HostIP: netip.MustParseAddr("::1"), Port: 65535, Proto: "tcp"}},
		"published=65535,target=80": {{HostIP: here, HostPort: 65535, Port: 80, Proto: "tcp"}},
	} {
		set, err := parseSettings(map[string]string{"ports": item})
		if err != nil {
			t.Fatal(err)
		}
		if got := set.published(); !slices.Equal(got, want) {
			t.Errorf("%s: %v", item, got)
		}
	}
	var many []string
	for i := range maxPorts + 1 {
		many = append(many, strconv.Itoa(1024+i)+":80")
	}
	if _, err := parseSettings(map[string]string{"ports": strings.Join(many, "\n")}); KindOf(err) != Invalid {
		t.Errorf("%d ports: %v", len(many), err)
	}
}

// TestExposed: what an image says of its ports, and no more: where on the host they are is not the image's to say.
func TestExposed(t *testing.T) {
	at := func(port uint16, proto string) network.Port {
		return network.Port{HostIP: localhost(), Port: port, Proto: proto}
	}
	image := []string{
		"80/tcp", "53/UDP", "53", "8000-8001/tcp", "443/tcp", "0.0.0.0:22:22/tcp", "22:22", "published=23,target=23", "99/sctp", "0/tcp", "x", "", "1-70000/tcp", "80/tcp",
	}
	want := []network.Port{at(53, "tcp"), at(53, "udp"), at(80, "tcp"), at(8000, "tcp"), at(8001, "tcp")}
	if got := unpublished(image, []network.Port{{Port: 443, Proto: "tcp", HostPort: 8443}}); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if got := unpublished([]string{"1-65535/tcp"}, nil); len(got) != maxPorts {
		t.Errorf("%d ports", len(got))
	}
}

// TestNetworking: what a container gets by its settings.
func TestNetworking(t *testing.T) {
	for value, want := range map[string]networking{
		"":              {Attach: []attachment{{Network: "default"}}},
		"# only this":   {Attach: []attachment{{Network: "default"}}},
		"host":          {Mode: hosted},
		"none":          {Mode: unplugged},
		"container:web": {Mode: joined, Target: "web"},
		"a:ip=10.0.0.1,alias=x\nb": {Attach: []attachment{
			{Network: "a", Aliases: []string{"x"}, Addr: netip.MustParseAddr("10.0.0.1")}, {Network: "b"},
		}},
	} {
		set, err := parseSettings(map[string]string{"network": value})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, set.networking(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
			t.Errorf("%q: %s", value, d)
		}
	}
	set, err := parseSettings(map[string]string{"dns": "1.1.1.1\nsearch .\noptions ndots:1", "extra_hosts": "a:host-gateway\nb:::1"})
	if err != nil {
		t.Fatal(err)
	}
	if r := set.resolving(); len(r.Servers) != 1 || !slices.Equal(r.Search, []string{""}) || !slices.Equal(r.Options, []string{"ndots:1"}) {
		t.Errorf("%+v", r)
	}
	if h := set.knownHosts(); len(h) != 2 || !h[0].Gateway || h[1].Addr != netip.IPv6Loopback() {
		t.Errorf("%+v", h)
	}
}

// TestNetworkSettingsAgree: settings that cannot both be are refused together, whichever comes last.
func TestNetworkSettingsAgree(t *testing.T) {
	for _, r := range []struct {
		raw  map[string]string
		good bool
	}{
		{map[string]string{"network": "host", "ports": "8080:80"}, false},
		{map[string]string{"network": "none", "publish_all": "true"}, false},
		{map[string]string{"network": "none", "publish_all": "false"}, true},
		{map[string]string{"network": "container:x", "ports": "80"}, false},
		{map[string]string{"network": "container:x", "hostname": "h"}, false},
		{map[string]string{"network": "container:x", "dns": "1.1.1.1"}, false},
		{map[string]string{"network": "container:x", "extra_hosts": "a:1.1.1.1"}, false},
		{map[string]string{"network": "container:x", "sysctls": "net.core.somaxconn=1"}, false},
		{map[string]string{"network": "host", "sysctls": "net.core.somaxconn=1"}, false},
		{map[string]string{"network": "host", "sysctls": "kernel.shmmax=1", "hostname": "h", "dns": "127.0.0.53"}, true},
		{map[string]string{"dns": "127.0.0.53"}, false},
		{map[string]string{"network": "a", "dns": "::1"}, false},
		{map[string]string{"network": "none", "dns": "::1"}, true},
		{map[string]string{"network": "a", "ports": "80", "sysctls": "net.core.somaxconn=1", "hostname": "h"}, true},
	} {
		set, err := parseSettings(r.raw)
		if err != nil {
			t.Fatal(err)
		}
		if err := set.consistent(); (err == nil) != r.good || err != nil && KindOf(err) != Invalid {
			t.Errorf("%v: %v", r.raw, err)
		}
	}
}

// TestMayNetwork: what of the network is root's to give.
func TestMayNetwork(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	alice := Owner{UID: 1000, GID: 100}
	for _, name := range []string{"roots", "hers", "web"} {
		w.create(name, "sleep", false)
	}
	w.ok(w.e.Chown(ctx, "hers", alice))
	w.ok(w.e.Chown(ctx, "web", alice))
	for _, r := range []struct {
		setting, value string
		kept           bool
	}{
		{"network", "host", true},
		{"network", "none", false},
		{"network", "default", false},
		{"network", "container:roots", true},
		{"network", "container:hers", false},
		{"network", "container:nobody", false},
		{"network", "", false},
		{"ports", "80:80", true},
		{"ports", "8080:80\n1000-2000:80", true},
		{"ports", "1024:80\n0:81", false},
	} {
		err := w.e.Set(ctx, "web", r.setting, r.value)
		if r.kept {
			w.want(err, NeedsRoot)
		} else {
			w.ok(err)
		}
		if err := w.e.MayGive("roots", alice, r.setting, r.value); (KindOf(err) == NeedsRoot) != r.kept {
			t.Errorf("alice gives root's container %s %q: %v", r.setting, r.value, err)
		}
	}
	// What was nobody's when it was set may be root's when it is started.
	w.ok(w.e.Set(ctx, "web", AllSettings, `{"image": "box", "command": ["sleep"], "network": ["container:late"]}`))
	if c, _ := w.e.Find("web"); !c.Reaches {
		t.Error("who acts in it has the network of another container, and it does not reach")
	}
	w.create("late", "sleep", false)
	w.want(w.e.Start(ctx, "web"), NeedsRoot)

	// A container that has what is root's cannot be given away.
	w.ok(w.e.Set(ctx, "roots", "ports", "80:80"))
	w.want(w.e.Chown(ctx, "roots", alice), NeedsRoot)
	if c, _ := w.e.Find("roots"); c.Reaches {
		t.Error("a port of the host is no reach of who acts in the container")
	}
}

// TestWithEndpoint: docker's flags for the first network.
func TestWithEndpoint(t *testing.T) {
	for _, r := range []struct{ value, options, want string }{ // empty: refused
		{"", "ip=10.0.0.2", "default:ip=10.0.0.2"},
		{"a\nb", "ip6=fd00::1 alias=x alias=y", "a:alias=x,alias=y,ip6=fd00::1\nb"},
		{"a:alias=x", "ip=10.0.0.2 mac-address=02-0A-00-00-00-01", "a:alias=x,ip=10.0.0.2,mac-address=02:0a:00:00:00:01"},
		{"a:ip=10.0.0.3", "ip=10.0.0.2", ""},
		{"a:mac-address=02:0a:00:00:00:01", "mac-address=02:0a:00:00:00:02", ""},
		{"host", "ip=10.0.0.2", ""},
		{"none", "mac-address=02:0a:00:00:00:01", ""},
		{"container:x", "alias=x", ""},
		{"a", "ip=x", ""},
		{"a", "mac-address=01:0a:00:00:00:01", ""},
		{"a", "mac-address=x", ""},
		{"a:?", "alias=x", ""},
	} {
		got, err := WithEndpoint(r.value, strings.Fields(r.options)...)
		if got != r.want || (err == nil) != (r.want != "") || err != nil && KindOf(err) != Invalid {
			t.Errorf("%+v: %q, %v", r, got, err)
		}
	}
}

func FuzzNetwork(f *testing.F) {
	for _, seed := range []string{"a:ip=10.0.0.1", "name=a,alias=b", "container:x", "[::1]:1-2:3-4/udp", "a:[::1]", "search a\noptions b:1", "0:80", "host-gateway=1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, name := range []string{"network", "ports", "expose", "dns", "extra_hosts"} {
			row, _ := FindSetting(name)
			got, err := row.Parse(value)
			if err != nil || got == nil {
				continue
			}
			again, err := row.Parse(formatList(got.([]string)))
			if len(got.([]string)) > 0 && (err != nil || !slices.Equal(again.([]string), got.([]string))) {
				t.Fatalf("%s: %q is %q and then %q (%v)", name, value, got, again, err)
			}
			set := values{name: got}
			if n := set.networking(); n.Mode == bridged && len(n.Attach) == 0 || len(set.published()) < len(set.list("ports")) ||
				len(set.knownHosts()) != len(set.list("extra_hosts")) {
				t.Fatalf("%s: %q is read as nothing", name, value)
			}
		}
	})
}
