package resolver

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

func TestAllowance(t *testing.T) {
	var a allowance
	now := time.Unix(1000, 0)
	asked := 0
	for a.ask(now) {
		a.done()
		asked++
	}
	if asked != askBurst {
		t.Errorf("%d questions at once were allowed, want %d", asked, askBurst)
	}
	now = now.Add(time.Second / 10)
	for asked = 0; a.ask(now); asked++ {
		a.done()
	}
	if asked != askRate/10 {
		t.Errorf("%d more were allowed after a tenth of a second, want %d", asked, askRate/10)
	}
	now = now.Add(time.Hour)
	for asked = 0; a.ask(now); asked++ {
	}
	if asked != askOpen {
		t.Errorf("%d questions were under way, want at most %d", asked, askOpen)
	}
	a.done()
	if !a.ask(now) {
		t.Error("none is allowed after one has ended")
	}
	for range askConns {
		if !a.connect() {
			t.Fatal("too few connections are allowed")
		}
	}
	if a.connect() {
		t.Error("too many connections are allowed")
	}
	a.disconnect()
	if !a.connect() {
		t.Error("no connection is allowed after one has ended")
	}
}

func TestCache(t *testing.T) {
	var c cache
	now := time.Unix(1000, 0)
	c.put("a", []byte("one"), now, 10*time.Second)
	if wire, age := c.get("a", now.Add(9*time.Second)); string(wire) != "one" || age != 9*time.Second {
		t.Errorf("after 9 of 10 seconds: %q, %v", wire, age)
	}
	if wire, _ := c.get("a", now.Add(10*time.Second)); wire != nil {
		t.Errorf("after its time: %q", wire)
	}
	c.put("never", []byte("x"), now, 0)
	c.put("large", make([]byte, cacheAnswer+1), now, time.Hour)
	if len(c.entries) != 0 || c.bytes != 0 {
		t.Errorf("%d entries of %d bytes are kept, want none", len(c.entries), c.bytes)
	}
	// However much comes, it stays within its bounds, and what was asked for last stays.
	c.put("first", []byte("x"), now, time.Hour)
	for i := range 3 * cacheBytes / cacheAnswer {
		c.put(fmt.Sprint(i), make([]byte, cacheAnswer), now, time.Hour)
		if wire, _ := c.get("first", now); wire == nil {
			t.Fatalf("what is asked for all the time was dropped after %d others", i)
		}
	}
	if c.bytes > cacheBytes || len(c.entries) != c.order.Len() {
		t.Errorf("%d bytes are kept, of %d; %d entries, %d in order", c.bytes, cacheBytes, len(c.entries), c.order.Len())
	}
	if wire, _ := c.get("0", now); wire != nil {
		t.Error("the one asked for longest ago is still there")
	}
}

func TestLifetime(t *testing.T) {
	message := func(code int, records ...string) *dns.Msg {
		m := new(dns.Msg)
		m.Rcode = code
		for _, text := range records {
			rr, err := dns.NewRR(text)
			if err != nil {
				t.Fatal(err)
			}
			if rr.Header().Rrtype == dns.TypeSOA {
				m.Ns = append(m.Ns, rr)
			} else {
				m.Answer = append(m.Answer, rr)
			}
		}
		return m.SetEdns0(1232, true)
	}
	for name, c := range map[string]struct {
		m     *dns.Msg
		local bool
		want  time.Duration
	}{
		"the shortest":     {m: message(0, "a. 300 IN CNAME b.", "b. 60 IN A 192.0.2.1"), want: time.Minute},
		"of a local one":   {m: message(0, "a. 300 IN A 192.0.2.1"), local: true, want: keepLocal},
		"no longer than":   {m: message(0, "a. 999999 IN A 192.0.2.1"), want: keepLongest},
		"not at all":       {m: message(0, "a. 0 IN A 192.0.2.1"), want: 0},
		"no such name":     {m: message(dns.RcodeNameError, "org. 300 IN SOA a. b. 1 2 3 4 20"), want: 20 * time.Second},
		"no such record":   {m: message(0, "org. 10 IN SOA a. b. 1 2 3 4 20"), want: 10 * time.Second},
		"nothing for long": {m: message(0, "org. 99999 IN SOA a. b. 1 2 3 4 99999"), want: keepNegative},
		"nothing, no zone": {m: message(dns.RcodeNameError), want: 0},
		"a failure":        {m: message(dns.RcodeServerFailure, "a. 300 IN A 192.0.2.1"), want: 0},
	} {
		if got := lifetime(c.m, c.local); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	m := message(0, "a. 300 IN A 192.0.2.1", "b. 5 IN A 192.0.2.1")
	older(m, 10*time.Second)
	if m.Answer[0].Header().Ttl != 290 || m.Answer[1].Header().Ttl != 0 || !m.IsEdns0().Do() {
		t.Errorf("10 seconds on: %v", m)
	}
}

func TestParseConf(t *testing.T) {
	got := ParseConf([]byte(strings.Join([]string{
		"# a comment", "; another", "nameserver 127.0.0.53", "nameserver\t2001:db8::1  # with a word", "nameserver fe80::1%eth0",
		"nameserver localhost", "nameserver", "nameserver 127.0.0.53", "domain a.example", "search b.example c.example",
		"options edns0 trust-ad", "options ndots:2", "sortlist 192.0.2.0", "\x00\xff",
	}, "\r\n")))
	want := Conf{
		Servers: []netip.Addr{addr("127.0.0.53"), addr("2001:db8::1"), addr("fe80::1%eth0")},
		Search:  []string{"b.example", "c.example"}, Options: []string{"edns0", "trust-ad", "ndots:2"},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzParseConf(f *testing.F) {
	f.Add([]byte("nameserver 127.0.0.53\nsearch a b\noptions edns0"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if c := ParseConf(text); len(c.Servers) > confServers {
			t.Errorf("%d servers", len(c.Servers))
		}
	})
}

// FuzzAnswer sends a container's messages, whatever they may be, the whole way but for the servers.
func FuzzAnswer(f *testing.F) {
	add := func(m *dns.Msg) {
		wire, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire, true)
		f.Add(wire[:len(wire)-1], false)
	}
	for _, name := range []string{"db.", "web.back.", "example.org.", ".", "3.0.20.127.in-addr.arpa.", strings.Repeat("a.", 120)} {
		for _, kind := range []uint16{dns.TypeA, dns.TypePTR, dns.TypeANY, dns.TypeAXFR} {
			add(new(dns.Msg).SetQuestion(name, kind))
			add(new(dns.Msg).SetQuestion(name, kind).SetEdns0(4096, true))
		}
	}
	f.Add([]byte("\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01"), true) // a name that leads to itself
	f.Add([]byte("0000\x00\x01000000\x00"), true)                                                   // a question that ends too early
	r := New(f.Context(), Options{Conf: "/nonexistent", Port: 1})
	f.Cleanup(r.Close)
	populate(r.Put)
	by := *r.names.asker("back", addr("127.20.0.2"))
	by.Servers = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")} // which is never asked
	f.Fuzz(func(t *testing.T, wire []byte, datagram bool) {
		for _, by := range []*host{nil, &by} {
			out := r.answer(t.Context(), by, wire, datagram)
			if out == nil {
				continue
			}
			if datagram && len(out) > udpSize || by == nil && len(out) > len(wire) {
				t.Errorf("%d bytes are answered to %d", len(out), len(wire))
			}
			m := new(dns.Msg)
			if err := m.Unpack(out); err != nil || !m.Response || out[0] != wire[0] || out[1] != wire[1] {
				t.Errorf("the answer is none: %v, %v", m, err)
			}
		}
	})
}

// FuzzParse reads what a server may send.
func FuzzParse(f *testing.F) {
	asked := new(dns.Msg).SetQuestion("example.org.", dns.TypeA)
	asked.Id = 7
	reply := new(dns.Msg).SetReply(asked)
	rr, err := dns.NewRR("example.org. 60 IN A 192.0.2.1")
	if err != nil {
		f.Fatal(err)
	}
	reply.Answer = []dns.RR{rr}
	wire, err := reply.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wire)
	f.Add(wire[:len(wire)-3])
	f.Fuzz(func(t *testing.T, wire []byte) {
		answer, err := parse(wire, asked)
		if err != nil {
			return
		}
		if answer.Id != 7 || !answer.Response {
			t.Errorf("%v counts as an answer", answer)
		}
		if keep := lifetime(answer, false); keep < 0 || keep > keepLongest {
			t.Errorf("an answer is kept for %v", keep)
		}
		older(answer, time.Hour)
	})
}
