package resolver

import (
	"context"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// answer makes the answer to a container's message (of nobody's, if by is nil), or nothing if there is to be none.
// Over TCP all fits; a datagram holds what the question says that it may, and a bit in it tells of the rest.
func (r *Resolver) answer(ctx context.Context, by *host, wire []byte, datagram bool) []byte {
	ask := new(dns.Msg)
	if err := ask.Unpack(wire); err != nil {
		if len(wire) < 12 || ask.Response {
			return nil
		}
		ask.Question, ask.Answer, ask.Ns, ask.Extra = nil, nil, nil, nil
		return packed(refusal(ask, dns.RcodeFormatError))
	}
	if ask.Response {
		return nil // two that answer each other's answers would never end
	}
	reply := r.consider(ctx, by, ask)
	size := dns.MaxMsgSize
	if datagram {
		size = dns.MinMsgSize
	}
	if opt := ask.IsEdns0(); opt != nil {
		if datagram {
			size = min(max(int(opt.UDPSize()), dns.MinMsgSize), udpSize)
		}
		reply.SetEdns0(udpSize, opt.Do())
	} else if reply.Rcode > 0xf { // which only the extension can say
		reply.Rcode = dns.RcodeServerFailure
	}
	reply.Compress = true
	reply.Truncate(size)
	out := packed(reply)
	switch {
	case out == nil:
		return packed(refusal(ask, dns.RcodeServerFailure))
	case by == nil && len(out) > len(wire):
		return nil // who sends from another's address must not have more sent there than he sent
	}
	return out
}

func packed(m *dns.Msg) []byte {
	wire, err := m.Pack()
	if err != nil {
		return nil
	}
	return wire
}

// refusal is an answer without anything in it but its code.
func refusal(ask *dns.Msg, code int) *dns.Msg {
	m := new(dns.Msg).SetRcode(ask, code)
	m.RecursionAvailable = true
	m.CheckingDisabled = ask.CheckingDisabled
	return m
}

// consider answers what can be answered here and forwards the rest.
func (r *Resolver) consider(ctx context.Context, by *host, ask *dns.Msg) *dns.Msg {
	switch {
	case ask.Opcode != dns.OpcodeQuery:
		return refusal(ask, dns.RcodeNotImplemented)
	case len(ask.Question) != 1:
		return refusal(ask, dns.RcodeFormatError)
	case by == nil:
		return refusal(ask, dns.RcodeRefused)
	}
	if opt := ask.IsEdns0(); opt != nil && opt.Version() != 0 {
		return refusal(ask, dns.RcodeBadVers)
	}
	q := ask.Question[0]
	if q.Qclass != dns.ClassINET || !askable(q.Qtype) {
		return refusal(ask, dns.RcodeRefused)
	}
	name := strings.ToLower(strings.TrimSuffix(q.Name, "."))
	if addrs, found := r.names.find(by, name); found {
		return addresses(ask, addrs)
	}
	switch last := name[strings.LastIndexByte(name, '.')+1:]; {
	case last == "localhost":
		return addresses(ask, []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()})
	case last == "invalid", last == "onion", !strings.Contains(name, ".") && !infrastructure(q.Qtype):
		return nothing(ask, dns.RcodeNameError)
	}
	if addr, ok := reversed(name); ok {
		if host, ours := r.names.reverse(by, addr); ours {
			return pointer(ask, host)
		}
	}
	return r.forward(ctx, by, ask)
}

// askable says whether a type is one of a record, and not of a transfer or of the protocol itself.
func askable(kind uint16) bool {
	switch kind {
	case dns.TypeAXFR, dns.TypeIXFR, dns.TypeMAILA, dns.TypeMAILB, dns.TypeOPT, dns.TypeTSIG, dns.TypeTKEY, dns.TypeNone:
		return false
	}
	return true
}

// infrastructure says whether a type is one by which a container that checks signatures itself climbs down from the root.
func infrastructure(kind uint16) bool {
	return kind == dns.TypeNS || kind == dns.TypeDS || kind == dns.TypeDNSKEY
}

// forward asks the servers, and makes what they said the answer to this question.
func (r *Resolver) forward(ctx context.Context, by *host, ask *dns.Msg) *dns.Msg {
	q := ask.Question[0]
	opt := ask.IsEdns0()
	got := r.servers.ask(ctx, r.serversFor(by), question{
		name: strings.ToLower(q.Name), kind: q.Qtype, class: q.Qclass,
		recursion: ask.RecursionDesired, unchecked: ask.CheckingDisabled, authenticated: ask.AuthenticatedData,
		signed: opt != nil && opt.Do(),
	})
	if got == nil {
		return refusal(ask, dns.RcodeServerFailure)
	}
	m := refusal(ask, got.Rcode)
	m.Truncated = got.Truncated
	m.AuthenticatedData = got.AuthenticatedData && (ask.AuthenticatedData || opt != nil && opt.Do())
	m.Answer, m.Ns = got.Answer, got.Ns
	// These speak of the way between two, and ours to the container is another.
	m.Extra = slices.DeleteFunc(got.Extra, func(rr dns.RR) bool {
		kind := rr.Header().Rrtype
		return kind == dns.TypeOPT || kind == dns.TypeTSIG || kind == dns.TypeSIG
	})
	return m
}

// serversFor are the servers to be asked for a container: its own, if it was given any.
func (r *Resolver) serversFor(by *host) []netip.AddrPort {
	if len(by.Servers) > 0 {
		return r.names.serversOf(by)
	}
	conf := r.conf.now()
	servers := make([]netip.AddrPort, len(conf.Servers))
	for i, addr := range conf.Servers {
		servers[i] = netip.AddrPortFrom(addr, r.port)
	}
	return servers
}

// addresses answers with those addresses that are of the type asked for.
func addresses(ask *dns.Msg, addrs []netip.Addr) *dns.Msg {
	m := refusal(ask, dns.RcodeSuccess)
	q := ask.Question[0]
	for _, addr := range addrs {
		switch {
		case addr.Is4() && (q.Qtype == dns.TypeA || q.Qtype == dns.TypeANY):
			m.Answer = append(m.Answer, &dns.A{Hdr: header(q.Name, dns.TypeA), A: addr.AsSlice()})
		case addr.Is6() && (q.Qtype == dns.TypeAAAA || q.Qtype == dns.TypeANY):
			m.Answer = append(m.Answer, &dns.AAAA{Hdr: header(q.Name, dns.TypeAAAA), AAAA: addr.AsSlice()})
		}
	}
	if len(m.Answer) == 0 {
		return nothing(ask, dns.RcodeSuccess)
	}
	return m
}

// pointer answers with a name, or that there is none.
func pointer(ask *dns.Msg, name string) *dns.Msg {
	if name == "" {
		return nothing(ask, dns.RcodeNameError)
	}
	q := ask.Question[0]
	if q.Qtype != dns.TypePTR && q.Qtype != dns.TypeANY {
		return nothing(ask, dns.RcodeSuccess)
	}
	m := refusal(ask, dns.RcodeSuccess)
	m.Answer = []dns.RR{&dns.PTR{Hdr: header(q.Name, dns.TypePTR), Ptr: dns.Fqdn(name)}}
	return m
}

// nothing answers that there is nothing, and that this is not to be remembered.
func nothing(ask *dns.Msg, code int) *dns.Msg {
	m := refusal(ask, code)
	name := ask.Question[0].Name
	m.Ns = []dns.RR{&dns.SOA{Hdr: header(name, dns.TypeSOA), Ns: "localhost.", Mbox: "nobody.localhost.", Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400}}
	return m
}

func header(name string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET}
}

// reversed reads the address out of the name under which its reverse stands.
func reversed(name string) (netip.Addr, bool) {
	if digits, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		parts := strings.Split(digits, ".")
		slices.Reverse(parts)
		addr, err := netip.ParseAddr(strings.Join(parts, "."))
		return addr, err == nil && addr.Is4()
	}
	if digits, ok := strings.CutSuffix(name, ".ip6.arpa"); ok && len(digits) == 63 {
		parts := strings.Split(digits, ".")
		slices.Reverse(parts)
		raw, err := hex.DecodeString(strings.Join(parts, ""))
		if err != nil || len(raw) != 16 {
			return netip.Addr{}, false
		}
		return netip.AddrFromSlice(raw)
	}
	return netip.Addr{}, false
}
