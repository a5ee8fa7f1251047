package resolver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// open makes a resolver whose host has these servers, all on one port.
func open(t *testing.T, port uint16, servers ...string) (r *Resolver, conf string) {
	t.Helper()
	conf = filepath.Join(t.TempDir(), "resolv.conf")
	write(t, conf, servers...)
	r = New(t.Context(), Options{Conf: conf, Port: port})
	t.Cleanup(r.Close)
	return r, conf
}

func write(t *testing.T, conf string, servers ...string) {
	t.Helper()
	text := ""
	for _, s := range servers {
		text += "nameserver " + s + "\n"
	}
	if err := os.WriteFile(conf+".new", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(conf+".new", conf); err != nil {
		t.Fatal(err)
	}
}

var back = Network{Name: "back", Prefixes: []netip.Prefix{netip.MustParsePrefix("127.20.0.0/24")}, Gateways: []netip.Addr{addr("127.20.0.1")}}

// listen has a resolver answer the containers of the tests on back, and returns the port.
func listen(t *testing.T, r *Resolver) uint16 {
	t.Helper()
	populate(r.Put)
	port, err := r.Listen([]Network{back})
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// askFrom asks from an address, as a container does.
func askFrom(t *testing.T, from, way string, port uint16, m *dns.Msg) (*dns.Msg, error) {
	t.Helper()
	var local net.Addr = &net.UDPAddr{IP: net.ParseIP(from)}
	if way == "tcp" {
		local = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	c := dns.Client{Net: way, Timeout: 60 * time.Second, Dialer: &net.Dialer{LocalAddr: local, Timeout: 60 * time.Second}}
	reply, _, err := c.Exchange(m, netip.AddrPortFrom(addr("127.20.0.1"), port).String())
	return reply, err
}

// ask asks as db does, and must be answered.
func ask(t *testing.T, port uint16, way, name string, kind uint16) *dns.Msg {
	t.Helper()
	reply, err := askFrom(t, "127.20.0.2", way, port, new(dns.Msg).SetQuestion(name, kind))
	if err != nil {
		t.Fatalf("%s %s over %s: %v", name, dns.TypeToString[kind], way, err)
	}
	return reply
}

// said is an answer in short: its code, and what the records say.
func said(m *dns.Msg) string {
	words := []string{dns.RcodeToString[m.Rcode]}
	for _, rr := range m.Answer {
		words = append(words, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	slices.Sort(words[1:])
	return strings.Join(words, " ")
}

func TestNamesOfContainers(t *testing.T) {
	r, _ := open(t, 1, "127.0.0.1") // nobody is there: nothing is to be forwarded
	port := listen(t, r)
	for _, c := range []struct {
		name string
		kind uint16
		want string
	}{
		{"db.", dns.TypeA, "NOERROR 127.20.0.2"},
		{"db.", dns.TypeAAAA, "NOERROR fd00::2"},
		{"DB.", dns.TypeA, "NOERROR 127.20.0.2"},
		{"db.", dns.TypeANY, "NOERROR 127.20.0.2 fd00::2"},
		{"db.", dns.TypeMX, "NOERROR"},
		{"web.", dns.TypeAAAA, "NOERROR"}, // it is there, and has none
		{"web.back.", dns.TypeA, "NOERROR 127.20.0.3"},
		{"cache.", dns.TypeA, "NOERROR 127.20.0.4 127.20.0.5"},
		{"bbbbbbbbbbbb.", dns.TypeA, "NOERROR 127.20.0.3"},
		{"mail.", dns.TypeA, "NXDOMAIN"},   // of another network
		{"nobody.", dns.TypeA, "NXDOMAIN"}, // a name of one label stays here
		{"a.localhost.", dns.TypeA, "NOERROR 127.0.0.1"},
		{"localhost.", dns.TypeAAAA, "NOERROR ::1"},
		{"x.invalid.", dns.TypeA, "NXDOMAIN"},
		{"secret.onion.", dns.TypeA, "NXDOMAIN"},
		{"3.0.20.127.in-addr.arpa.", dns.TypePTR, "NOERROR web.back."},
		{"2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.", dns.TypePTR, "NOERROR db.back."},
		{"9.0.20.127.in-addr.arpa.", dns.TypePTR, "NXDOMAIN"},
		{"example.org.", dns.TypeAXFR, "REFUSED"},
	} {
		for _, way := range []string{"udp", "tcp"} {
			if got := said(ask(t, port, way, c.name, c.kind)); got != c.want {
				t.Errorf("%s %s over %s: %q, want %q", c.name, dns.TypeToString[c.kind], way, got, c.want)
			}
		}
	}
	for _, rr := range ask(t, port, "udp", "db.", dns.TypeA).Answer {
		if rr.Header().Ttl != 0 {
			t.Errorf("a container's address may be kept: %v", rr)
		}
	}
}

func TestOddQuestions(t *testing.T) {
	r, _ := open(t, 1, "127.0.0.1")
	port := listen(t, r)
	question := func(change func(*dns.Msg)) *dns.Msg {
		m := new(dns.Msg).SetQuestion("db.", dns.TypeA)
		change(m)
		return m
	}
	for name, c := range map[string]struct {
		ask  *dns.Msg
		want int
	}{
		"update":        {question(func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }), dns.RcodeNotImplemented},
		"notify":        {question(func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }), dns.RcodeNotImplemented},
		"no question":   {question(func(m *dns.Msg) { m.Question = nil }), dns.RcodeFormatError},
		"two questions": {question(func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }), dns.RcodeFormatError},
		"another class": {question(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }), dns.RcodeRefused},
		"a later EDNS":  {question(func(m *dns.Msg) { m.SetEdns0(1232, false); m.IsEdns0().SetVersion(1) }), dns.RcodeBadVers},
		"EDNS as it is": {question(func(m *dns.Msg) { m.SetEdns0(1232, false) }), dns.RcodeSuccess},
		"a cookie in it": {question(func(m *dns.Msg) {
			m.SetEdns0(1232, true).IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Cookie: "0011223344556677"}}
		}), dns.RcodeSuccess},
	} {
		for _, way := range []string{"udp", "tcp"} {
			reply, err := askFrom(t, "127.20.0.2", way, port, c.ask)
			if err != nil {
				t.Errorf("%s over %s: %v", name, way, err)
				continue
			}
			if reply.Rcode != c.want {
				t.Errorf("%s over %s: %s, want %s", name, way, dns.RcodeToString[reply.Rcode], dns.RcodeToString[c.want])
			}
			if (reply.IsEdns0() != nil) != (c.ask.IsEdns0() != nil) {
				t.Errorf("%s over %s: the extension is not answered in kind: %v", name, way, reply)
			}
		}
	}
}

func TestStrangersAreRefused(t *testing.T) {
	var asked counter
	up := serveUpstream(t, "127.0.0.1", asked.handler(static("example.org.", "192.0.2.1")))
	r, _ := open(t, up, "127.0.0.1")
	port := listen(t, r)
	for _, from := range []string{"127.20.0.1", "127.0.0.1", "127.21.0.6"} { // the host, and a container of another network
		for _, name := range []string{"db.", "example.org."} {
			reply, err := askFrom(t, from, "udp", port, new(dns.Msg).SetQuestion(name, dns.TypeA))
			if err != nil {
				t.Fatal(err)
			}
			if got := said(reply); got != "REFUSED" {
				t.Errorf("%s asks for %s: %q, want it refused", from, name, got)
			}
			if _, err := askFrom(t, from, "tcp", port, new(dns.Msg).SetQuestion(name, dns.TypeA)); err == nil {
				t.Errorf("%s is answered over TCP", from)
			}
		}
	}
	if n := asked.total(); n != 0 {
		t.Errorf("%d questions of strangers were forwarded", n)
	}
}

func TestListenFollowsNetworks(t *testing.T) {
	r, _ := open(t, 1, "127.0.0.1")
	port := listen(t, r)
	front := Network{Name: "front", Gateways: []netip.Addr{addr("127.21.0.1")}}
	// An address that is not this machine's: a bridge that is yet to be made.
	later := Network{Name: "later", Gateways: []netip.Addr{addr("192.0.2.1"), addr("2001:db8::1")}}
	networks := []Network{back, front, later}
	got, err := r.Listen(networks)
	if err != nil && !strings.Contains(err.Error(), "2001:db8::1") { // where there is no IPv6
		t.Fatal(err)
	}
	if got != port {
		t.Errorf("with further networks the port is %d, before it was %d", got, port)
	}

	// Somebody has that port on a gateway that comes.
	other, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP("127.22.0.1"), Port: int(port)})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	moved, err := r.Listen(append(networks[:2:2], Network{Name: "third", Gateways: []netip.Addr{addr("127.22.0.1")}}))
	if err != nil {
		t.Fatal(err)
	}
	if moved == port {
		t.Errorf("the port is still %d, which another has", port)
	}
	if got := said(ask(t, moved, "udp", "db.", dns.TypeA)); got != "NOERROR 127.20.0.2" {
		t.Errorf("after the move: %q", got)
	}

	// A network that is gone is not listened on.
	if _, err := r.Listen([]Network{front}); err != nil {
		t.Fatal(err)
	}
	again, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP("127.20.0.1"), Port: int(moved)})
	if err != nil {
		t.Fatalf("the address of a network that is gone is still listened on: %v", err)
	}
	again.Close()
	r.Close()
	if _, err := r.Listen([]Network{back}); !errors.Is(err, ErrClosed) {
		t.Errorf("listening after the end: %v", err)
	}
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	arrived := make(chan struct{}, 1)
	up := serveUpstream(t, "127.0.0.1", func(dns.ResponseWriter, *dns.Msg) {
		select {
		case arrived <- struct{}{}:
		default:
		}
	})
	r, _ := open(t, up, "127.0.0.1")
	r.servers.budget = time.Hour
	port := listen(t, r)
	idle, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.20.0.2")}}).DialContext(t.Context(), "tcp", netip.AddrPortFrom(addr("127.20.0.1"), port).String())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	c := dns.Client{Dialer: &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP("127.20.0.2")}}}
	conn, err := c.Dial(netip.AddrPortFrom(addr("127.20.0.1"), port).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.WriteMsg(new(dns.Msg).SetQuestion("example.org.", dns.TypeA)); err != nil {
		t.Fatal(err)
	}
	<-arrived
	done := make(chan struct{})
	go func() { r.Close(); close(done) }()
	select {
	case <-done:
	case <-time.After(60 * time.Second):
		t.Fatal("Close waits for a server that does not answer")
	}
}

// counter counts the questions that come to a server, by what they are for.
type counter struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counter) handler(next dns.HandlerFunc) dns.HandlerFunc {
	return func(w dns.ResponseWriter, m *dns.Msg) {
		c.mu.Lock()
		if c.n == nil {
			c.n = map[string]int{}
		}
		c.n[m.Question[0].Name+" "+w.LocalAddr().Network()]++
		c.mu.Unlock()
		next(w, m)
	}
}

func (c *counter) total() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.n {
		n += one
	}
	return n
}

func (c *counter) count(what string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[what]
}

// serveUpstream runs a server of the host's, UDP and TCP, and returns its port.
func serveUpstream(t *testing.T, on string, h dns.HandlerFunc) uint16 {
	t.Helper()
	return serveUpstreamAt(t, on, 0, h)
}

// serveUpstreamAt runs one on the port of another.
func serveUpstreamAt(t *testing.T, on string, port uint16, h dns.HandlerFunc) uint16 {
	t.Helper()
	s, port, err := bindFree(t.Context(), addr(on), port)
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range []*dns.Server{{PacketConn: s.udp, Handler: h}, {Listener: s.tcp, Handler: h}} {
		started, ended := make(chan struct{}), make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		go func() {
			defer close(ended)
			server.ActivateAndServe()
		}()
		<-started
		t.Cleanup(func() { server.Shutdown(); <-ended })
	}
	return port
}

// bindFree is bind that looks for a port that is free both ways.
func bindFree(ctx context.Context, on netip.Addr, port uint16) (s sockets, got uint16, err error) {
	for range 20 {
		if s, got, err = bind(ctx, on, port); err == nil {
			break
		}
	}
	return s, got, err
}

// static is a server that knows one address, and a zone that says how long that there is nothing holds.
func static(name, address string) dns.HandlerFunc {
	return func(w dns.ResponseWriter, m *dns.Msg) {
		reply := new(dns.Msg).SetReply(m)
		q := m.Question[0]
		switch {
		case q.Name == name && q.Qtype == dns.TypeA:
			reply.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 300}, A: net.ParseIP(address)}}
		default:
			if q.Name != name {
				reply.Rcode = dns.RcodeNameError
			}
			reply.Ns = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: "org.", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 300}, Ns: "a.", Mbox: "b.", Minttl: 300}}
		}
		w.WriteMsg(reply)
	}
}
