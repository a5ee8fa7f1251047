package resolver

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// shelf lends as the monitor does.
type shelf map[string]int

func (s shelf) Lend(name string, fd int) error {
	_ = s.Return(name)
	d, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		s[name] = d
	}
	return err
}

func (s shelf) Return(name string) error {
	if fd, ok := s[name]; ok {
		_ = unix.Close(fd)
		delete(s, name)
	}
	return nil
}

// lent are duplicates for the next one.
func (s shelf) lent(t *testing.T) map[string]int {
	t.Helper()
	all := map[string]int{}
	for name, fd := range s {
		d, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = d
	}
	return all
}

// dead keeps what was lent, as a process that is killed returns nothing.
type dead struct{ shelf }

func (dead) Return(string) error { return nil }

// What is asked while nobody answers is answered by the next resolver, on the same port, over both ways.
func TestQuestionsWaitForTheNextOne(t *testing.T) {
	kept := shelf{}
	front := Network{Name: "front", Gateways: []netip.Addr{addr("127.21.0.1")}}
	first := New(t.Context(), Options{Conf: "/nonexistent", Lender: dead{kept}})
	port, err := first.Listen([]Network{back, front})
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	if names := slices.Sorted(maps.Keys(kept)); strings.Join(names, " ") != "names/tcp/127.20.0.1 names/tcp/127.21.0.1 names/udp/127.20.0.1 names/udp/127.21.0.1" {
		t.Fatalf("it has lent %q", names)
	}
	var asked []*dns.Conn
	for _, way := range []string{"udp", "tcp"} {
		var local net.Addr = &net.UDPAddr{IP: net.ParseIP("127.20.0.2")}
		if way == "tcp" {
			local = &net.TCPAddr{IP: net.ParseIP("127.20.0.2")}
		}
		d := net.Dialer{LocalAddr: local}
		c, err := d.DialContext(t.Context(), way, netip.AddrPortFrom(addr("127.20.0.1"), port).String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conn := &dns.Conn{Conn: c}
		if err := conn.WriteMsg(new(dns.Msg).SetQuestion("db.", dns.TypeA)); err != nil {
			t.Fatal(err)
		}
		asked = append(asked, conn)
	}
	next := New(t.Context(), Options{Conf: "/nonexistent", Lender: kept, Lent: kept.lent(t)})
	t.Cleanup(next.Close)
	if now := listen(t, next); now != port {
		t.Errorf("the port was %d and is %d", port, now)
	}
	for _, conn := range asked {
		_ = conn.SetReadDeadline(time.Now().Add(60 * time.Second))
		m, err := conn.ReadMsg()
		if err != nil || said(m) != "NOERROR 127.20.0.2" {
			t.Errorf("%s: %v, %v", conn.LocalAddr().Network(), m, err)
		}
	}
	// A network that is gone is let go of, and at the orderly end all.
	if names := slices.Sorted(maps.Keys(kept)); strings.Join(names, " ") != "names/tcp/127.20.0.1 names/udp/127.20.0.1" {
		t.Errorf("there is lent %q", names)
	}
	next.Close()
	if len(kept) != 0 {
		t.Errorf("after the end there is lent %v", kept)
	}
}
