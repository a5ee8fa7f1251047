package tests

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// nameServer is a server for names, at port 53 of an address, UDP and TCP, of the tests' network or another machine. It knows
// one address for all of example.org, and as many texts for long.example.org as no datagram holds.
func nameServer(t *testing.T, on *another, at, address string) {
	t.Helper()
	answer := func(w dns.ResponseWriter, m *dns.Msg) {
		reply := new(dns.Msg).SetReply(m)
		q := m.Question[0]
		header := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET, Ttl: 300}
		switch {
		case !strings.HasSuffix(q.Name, "example.org."):
			reply.Rcode = dns.RcodeNameError
		case q.Qtype == dns.TypeA:
			reply.Answer = []dns.RR{&dns.A{Hdr: header, A: net.ParseIP(address)}}
		case q.Qtype == dns.TypeTXT:
			for range 30 {
				reply.Answer = append(reply.Answer, &dns.TXT{Hdr: header, Txt: []string{strings.Repeat("x", 200)}})
			}
			if w.LocalAddr().Network() == "udp" {
				reply.Truncate(dns.MinMsgSize)
			}
		}
		_ = w.WriteMsg(reply)
	}
	var packets net.PacketConn
	var connections net.Listener
	listen := func() (err error) {
		if packets, err = net.ListenPacket("udp", at+":53"); err != nil {
			return err
		}
		connections, err = net.Listen("tcp", at+":53")
		return err
	}
	if on != nil {
		inner := listen
		listen = func() error { return on.within(inner) }
	}
	if err := listen(); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: dns.HandlerFunc(answer)}, {Listener: connections, Handler: dns.HandlerFunc(answer)}} {
		started, ended := make(chan struct{}), make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() {
			defer close(ended)
			_ = s.ActivateAndServe()
		}()
		<-started
		t.Cleanup(func() { _ = s.Shutdown(); <-ended })
	}
}

// Containers ask for the world's names what the host asks, a server on the host's loopback too, and follow it.
func TestNamesOfTheWorld(t *testing.T) {
	tool(t, "dig")
	nameServer(t, nil, "127.0.0.53", "192.0.2.53")
	nameServer(t, nil, "127.0.0.54", "192.0.2.54")
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	list := func(text string) {
		t.Helper()
		if err := errors.Join(os.WriteFile(conf+".new", []byte(text), 0o644), os.Rename(conf+".new", conf)); err != nil {
			t.Fatal(err)
		}
	}
	list("nameserver 127.0.0.53\nsearch corp.example.org\noptions edns0\n")
	l := networked(t, "--resolv-conf", conf)
	l.run("db", "", "sleep 1000")
	l.run("app", "", "sleep 1000")
	app := func(want, line string) {
		t.Helper()
		if got := l.out("containers/app/enter " + line); got != want {
			t.Errorf("%s says %q, want %q", line, got, want)
		}
	}
	app("192.0.2.53", "dig +short www.example.org")
	app("192.0.2.53", "dig +short +tcp www.example.org")
	app("192.0.2.53 STREAM www.corp.example.org", "sh -c 'getent ahostsv4 www | head -n 1 | tr -s \" \"'") // by the host's search domain
	app(l.ip("db"), "dig +short db")
	app(l.ip("db"), "dig +short +tcp DB")
	app(l.ip("db"), "dig +short +search db") // and not db.corp.example.org
	app("db.default.", "dig +short -x "+l.ip("db"))
	app("30", "sh -c 'dig +short long.example.org TXT | wc -l'") // cut off, and asked for again over TCP
	app("0", "sh -c 'dig +short www.example.net | wc -l'")
	app("", "dig +short nobody") // a name of one label is nobody's but ours

	// The host asks another one now.
	list("nameserver 127.0.0.54\n")
	app("192.0.2.54", "dig +short www.example.org")
	app("192.0.2.54", "dig +short new.example.org")

	// A container's own server, on another machine.
	far := machine(t, 4)
	nameServer(t, far, far.its, "192.0.2.55")
	l.run("other", "--dns "+far.its, "sleep 1000")
	for name, want := range map[string]string{"www.example.org": "192.0.2.55", "db": l.ip("db")} {
		if got := l.out("containers/other/enter dig +short " + name); got != want {
			t.Errorf("with a server of its own a container hears of %s: %q, want %q", name, got, want)
		}
	}
	app("192.0.2.54", "dig +short www.example.org")

	// What docker's flags say.
	l.must(t, "./run --name own --dns-search example.org --dns-option ndots:3 --add-host box:192.0.2.9 --add-host host:host-gateway -v /usr:/usr:ro $REG/host:1 sh -c 'cat /etc/resolv.conf /etc/hosts; getent hosts box; getent ahostsv4 mail' > $H/../own")
	said, err := os.ReadFile(filepath.Join(l.base, "own"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"search example.org\n", "ndots:3", "192.0.2.9\tbox\n", "\thost\n", "mail.example.org"} {
		if !strings.Contains(string(said), want) {
			t.Errorf("a container with names of its own has no %q:\n%s", want, said)
		}
	}
}
