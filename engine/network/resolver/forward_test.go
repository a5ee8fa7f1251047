package resolver

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

func TestForwardsAndKeeps(t *testing.T) {
	var asked counter
	up := serveUpstream(t, "127.0.0.1", asked.handler(static("example.org.", "192.0.2.1")))
	r, _ := open(t, up, "127.0.0.1")
	port := listen(t, r)
	for range 3 {
		reply := ask(t, port, "udp", "Example.ORG.", dns.TypeA)
		if got := said(reply); got != "NOERROR 192.0.2.1" {
			t.Fatalf("example.org: %q", got)
		}
		if reply.Question[0].Name != "Example.ORG." {
			t.Errorf("the question comes back as %s", reply.Question[0].Name)
		}
		if ttl := reply.Answer[0].Header().Ttl; ttl > 300 || ttl < 290 {
			t.Errorf("the answer may be kept for %d s, the server said 300", ttl)
		}
	}
	// A container of another owner: the host's answers are everybody's.
	reply, err := askFrom(t, "127.20.0.5", "tcp", port, new(dns.Msg).SetQuestion("example.org.", dns.TypeA))
	if err != nil || said(reply) != "NOERROR 192.0.2.1" {
		t.Errorf("over TCP, from another: %v, %v", reply, err)
	}
	if got := said(ask(t, port, "udp", "nothing.org.", dns.TypeA)); got != "NXDOMAIN" {
		t.Errorf("a name that is not there: %q", got)
	}
	// The types that those who check signatures ask of top-level domains.
	if got := said(ask(t, port, "udp", "org.", dns.TypeDS)); got != "NXDOMAIN" {
		t.Errorf("org DS: %q", got)
	}
	if asked.count("org. udp") == 0 {
		t.Error("a question for signatures did not leave the machine")
	}
	if asked.count("example.org. tcp") != 0 {
		t.Error("a question that came over TCP went on over TCP")
	}
	// What was said is kept, once, whoever asked and in whatever case.
	r.servers.cache.mu.Lock()
	defer r.servers.cache.mu.Unlock()
	if n := len(r.servers.cache.entries); n != 3 {
		t.Errorf("%d answers are kept, want those about example.org, nothing.org and org", n)
	}
}

func TestManyAskOnce(t *testing.T) {
	var mu sync.Mutex
	var active, most int
	begun, hold := make(chan struct{}, 50), make(chan struct{})
	up := serveUpstream(t, "127.0.0.1", func(w dns.ResponseWriter, m *dns.Msg) {
		mu.Lock()
		active++
		most = max(most, active)
		mu.Unlock()
		<-hold
		mu.Lock()
		active--
		mu.Unlock()
		static("example.org.", "192.0.2.1")(w, m)
	})
	r, _ := open(t, up, "127.0.0.1")
	r.servers.patience, r.servers.budget = time.Hour, time.Hour
	wire, err := new(dns.Msg).SetQuestion("example.org.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	for range cap(begun) {
		running.Go(func() {
			begun <- struct{}{}
			reply := new(dns.Msg)
			if err := reply.Unpack(r.answer(t.Context(), &host{}, wire, true)); err != nil || said(reply) != "NOERROR 192.0.2.1" {
				t.Errorf("%v, %v", reply, err)
			}
		})
	}
	for range cap(begun) {
		<-begun
	}
	close(hold)
	running.Wait()
	mu.Lock()
	defer mu.Unlock()
	if most != 1 {
		t.Errorf("the server was asked the same by %d at once", most)
	}
}

func TestFollowsTheHostsServers(t *testing.T) {
	up := serveUpstream(t, "127.0.0.1", static("example.org.", "192.0.2.1"))
	serveUpstreamAt(t, "127.0.0.2", up, static("example.org.", "192.0.2.2"))
	r, conf := open(t, up, "127.0.0.1")
	port := listen(t, r)
	want := func(what, want string) {
		t.Helper()
		if got := said(ask(t, port, "udp", "example.org.", dns.TypeA)); got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	want("at first", "NOERROR 192.0.2.1")
	write(t, conf, "127.0.0.2")
	want("with another file in its place", "NOERROR 192.0.2.2")
	if err := os.WriteFile(conf, []byte("nameserver 127.0.0.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	want("written over", "NOERROR 192.0.2.1")
	if err := os.WriteFile(conf, []byte("search example.net\nnameserver 127.0.0.2\noptions edns0"), 0o644); err != nil {
		t.Fatal(err)
	}
	want("with more in it", "NOERROR 192.0.2.2")
	if diff := cmp.Diff([]string{"example.net"}, r.HostConf().Search); diff != "" {
		t.Errorf("search domains (-want +got):\n%s", diff)
	}
	if err := os.Remove(conf); err != nil {
		t.Fatal(err)
	}
	want("without one: this machine's own", "NOERROR 192.0.2.1")
	if err := os.WriteFile(conf+".there", []byte("nameserver 127.0.0.2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(conf+".there", conf); err != nil {
		t.Fatal(err)
	}
	want("through a link", "NOERROR 192.0.2.2")
	// What cannot be read leaves what was known.
	if err := os.Remove(conf); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(conf, 0o755); err != nil {
		t.Fatal(err)
	}
	want("with a directory in its place", "NOERROR 192.0.2.2")
}

func TestLongAnswers(t *testing.T) {
	text := strings.Repeat("x", 200)
	var asked counter
	up := serveUpstream(t, "127.0.0.1", asked.handler(func(w dns.ResponseWriter, m *dns.Msg) {
		reply := new(dns.Msg).SetReply(m)
		for range 20 {
			reply.Answer = append(reply.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 300}, Txt: []string{text}})
		}
		if w.LocalAddr().Network() == "udp" {
			reply.Truncate(1232)
		}
		w.WriteMsg(reply)
	}))
	r, _ := open(t, up, "127.0.0.1")
	port := listen(t, r)
	whole := ask(t, port, "tcp", "long.example.org.", dns.TypeTXT)
	if len(whole.Answer) != 20 || whole.Truncated {
		t.Errorf("over TCP %d of 20 records came, cut off %t", len(whole.Answer), whole.Truncated)
	}
	for _, c := range []struct{ allows, most int }{{0, 512}, {100, 512}, {800, 800}, {65535, 1232}} {
		m := new(dns.Msg).SetQuestion("long.example.org.", dns.TypeTXT)
		if c.allows > 0 {
			m.SetEdns0(uint16(c.allows), false)
		}
		wire, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		out := r.answer(t.Context(), r.names.asker("back", addr("127.20.0.2")), wire, true)
		reply := new(dns.Msg)
		if err := reply.Unpack(out); err != nil {
			t.Fatal(err)
		}
		if len(out) > c.most || len(reply.Answer) == 0 || !reply.Truncated {
			t.Errorf("a datagram to who allows %d: %d bytes, %d records, cut off %t", c.allows, len(out), len(reply.Answer), reply.Truncated)
		}
	}
	if asked.count("long.example.org. tcp") == 0 {
		t.Error("what was cut off was not asked for over TCP")
	}
}

func TestServersThatAreNoGood(t *testing.T) {
	good := static("example.org.", "192.0.2.7")
	code := func(rcode int) dns.HandlerFunc {
		return func(w dns.ResponseWriter, m *dns.Msg) { w.WriteMsg(new(dns.Msg).SetRcode(m, rcode)) }
	}
	for name, bad := range map[string]dns.HandlerFunc{
		"fails":   code(dns.RcodeServerFailure),
		"refuses": code(dns.RcodeRefused),
		"silent":  func(dns.ResponseWriter, *dns.Msg) {},
		"babbles": func(w dns.ResponseWriter, m *dns.Msg) { w.Write([]byte("\x00\x01no message at all")) },
		"says another thing": func(w dns.ResponseWriter, m *dns.Msg) {
			reply := new(dns.Msg).SetReply(m)
			reply.Question[0].Name = "example.net."
			w.WriteMsg(reply)
		},
		"has another number": func(w dns.ResponseWriter, m *dns.Msg) {
			m.Id++
			good(w, m)
		},
		"asks back": func(w dns.ResponseWriter, m *dns.Msg) { w.WriteMsg(m) },
	} {
		t.Run(name, func(t *testing.T) {
			up := serveUpstream(t, "127.0.0.1", bad)
			serveUpstreamAt(t, "127.0.0.2", up, good)
			r, _ := open(t, up, "127.0.0.1", "127.0.0.2")
			r.servers.patience = 20 * time.Millisecond
			r.servers.budget = time.Minute
			port := listen(t, r)
			if got := said(ask(t, port, "udp", "example.org.", dns.TypeA)); got != "NOERROR 192.0.2.7" {
				t.Errorf("with the second server all right: %q", got)
			}
		})
		t.Run(name+" alone", func(t *testing.T) {
			up := serveUpstream(t, "127.0.0.1", bad)
			r, _ := open(t, up, "127.0.0.1")
			r.servers.patience, r.servers.budget = 20*time.Millisecond, 200*time.Millisecond
			port := listen(t, r)
			want := "SERVFAIL"
			if name == "refuses" {
				want = "REFUSED"
				r.servers.budget = time.Minute // it says so, sooner or later
			}
			if got := said(ask(t, port, "udp", "example.org.", dns.TypeA)); got != want {
				t.Errorf("without another: %q, want %q", got, want)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		up := serveUpstream(t, "127.0.0.2", good)
		r, _ := open(t, up, "127.0.0.1", "127.0.0.2")
		r.servers.patience, r.servers.budget = time.Hour, time.Hour
		port := listen(t, r)
		if got := said(ask(t, port, "udp", "example.org.", dns.TypeA)); got != "NOERROR 192.0.2.7" {
			t.Errorf("with the second server there: %q", got)
		}
		first := r.servers.order(r.serversFor(&host{}))[0]
		if first.Addr() != addr("127.0.0.2") {
			t.Errorf("%s, where nobody answered, is asked first again", first)
		}
	})
}

// A forged datagram that arrives before the answer does not count, and does not end the waiting.
func TestForgedAnswersArePassedOver(t *testing.T) {
	up := serveUpstream(t, "127.0.0.1", func(w dns.ResponseWriter, m *dns.Msg) {
		forged := m.Copy()
		forged.Id ^= 0x5555
		static("example.org.", "203.0.113.1")(w, forged)
		forged = m.Copy()
		forged.Question[0].Name = "example.net."
		static("example.net.", "203.0.113.1")(w, forged)
		w.Write([]byte{0, 1, 2})
		static("example.org.", "192.0.2.1")(w, m)
	})
	r, _ := open(t, up, "127.0.0.1")
	r.servers.patience, r.servers.budget = time.Hour, time.Hour
	port := listen(t, r)
	if got := said(ask(t, port, "udp", "example.org.", dns.TypeA)); got != "NOERROR 192.0.2.1" {
		t.Errorf("%q, want what the server said", got)
	}
}

// An old server that knows no extension is asked without.
func TestServerWithoutExtensions(t *testing.T) {
	up := serveUpstream(t, "127.0.0.1", func(w dns.ResponseWriter, m *dns.Msg) {
		if m.IsEdns0() != nil {
			w.WriteMsg(&dns.Msg{MsgHdr: dns.MsgHdr{Id: m.Id, Response: true, Rcode: dns.RcodeFormatError}})
			return
		}
		static("example.org.", "192.0.2.1")(w, m)
	})
	r, _ := open(t, up, "127.0.0.1")
	port := listen(t, r)
	if got := said(ask(t, port, "udp", "example.org.", dns.TypeA)); got != "NOERROR 192.0.2.1" {
		t.Errorf("%q", got)
	}
}

func TestFlagsGoThrough(t *testing.T) {
	up := serveUpstream(t, "127.0.0.1", func(w dns.ResponseWriter, m *dns.Msg) {
		reply := new(dns.Msg).SetReply(m)
		reply.AuthenticatedData = m.IsEdns0() != nil && m.IsEdns0().Do()
		reply.Answer = []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 60}, Txt: []string{
			map[bool]string{true: "unchecked", false: "checked"}[m.CheckingDisabled],
		}}}
		reply.SetEdns0(1232, true)
		reply.Extra = append(reply.Extra, &dns.TSIG{Hdr: dns.RR_Header{Name: "key.", Rrtype: dns.TypeTSIG, Class: dns.ClassANY}, Algorithm: "hmac-sha256."})
		w.WriteMsg(reply)
	})
	r, _ := open(t, up, "127.0.0.1")
	port := listen(t, r)
	for _, c := range []struct{ signed, unchecked bool }{{false, false}, {true, false}, {true, true}, {false, true}} {
		m := new(dns.Msg).SetQuestion("example.org.", dns.TypeTXT)
		m.CheckingDisabled = c.unchecked
		if c.signed {
			m.SetEdns0(1232, true)
		}
		reply, err := askFrom(t, "127.20.0.2", "udp", port, m)
		if err != nil {
			t.Fatal(err)
		}
		want := `NOERROR "checked"`
		if c.unchecked {
			want = `NOERROR "unchecked"`
		}
		if got := said(reply); got != want || reply.AuthenticatedData != c.signed || reply.CheckingDisabled != c.unchecked {
			t.Errorf("signed %t unchecked %t: %q, flags %v", c.signed, c.unchecked, got, reply.MsgHdr)
		}
		if (reply.IsEdns0() != nil) != c.signed || reply.IsTsig() != nil {
			t.Errorf("what is the server's own came along: %v", reply.Extra)
		}
	}
}

func TestIPv6Servers(t *testing.T) {
	l, err := net.ListenPacket("udp", "[::1]:0")
	if err != nil {
		t.Skip("this machine has no IPv6: ", err)
	}
	l.Close()
	up := serveUpstream(t, "::1", static("example.org.", "192.0.2.6"))
	r, _ := open(t, up, "::1")
	port := listen(t, r)
	if got := said(ask(t, port, "udp", "example.org.", dns.TypeA)); got != "NOERROR 192.0.2.6" {
		t.Errorf("%q", got)
	}
}

// A container that has servers of its own has no others, and none on the host's loopback, whoever listens there.
func TestOwnServersAreNotTheHosts(t *testing.T) {
	var asked counter
	up := serveUpstream(t, "127.0.0.1", asked.handler(static("example.org.", "192.0.2.1")))
	r, _ := open(t, up, "127.0.0.1")
	port := listen(t, r)
	r.Put(Host{
		ID: "aaaaaaaaaaaa0000", Name: "db", Servers: []netip.AddrPort{netip.AddrPortFrom(addr("127.0.0.1"), up)},
		Attachments: []Attachment{{Network: "back", Addrs: []netip.Addr{addr("127.20.0.2")}}},
	})
	if got := said(ask(t, port, "udp", "example.org.", dns.TypeA)); got != "SERVFAIL" {
		t.Errorf("%q", got)
	}
	if got := said(ask(t, port, "udp", "web.", dns.TypeA)); got != "NOERROR 127.20.0.3" {
		t.Errorf("a container's name: %q", got)
	}
	if n := asked.total(); n != 0 {
		t.Errorf("a service on the host's loopback was asked %d times", n)
	}
}
