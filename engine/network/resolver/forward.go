package resolver

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/singleflight"
)

const (
	patience = time.Second      // after which the next server is asked too
	budget   = 8 * time.Second  // for an answer, whatever is tried
	rounds   = 2                // how often each server is asked
	grudge   = 30 * time.Second // how long one that did not answer is asked last
)

// question is what is asked of servers; what makes the answers differ is in it, and nothing else.
type question struct {
	name          string // in lower case, with the last dot
	kind, class   uint16
	recursion     bool // RD
	unchecked     bool // CD
	signed        bool // DO
	authenticated bool // AD
}

// key tells one question, of these servers, from another.
func (q question) key(servers []netip.AddrPort) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d %d %t%t%t%t", q.name, q.kind, q.class, q.recursion, q.unchecked, q.signed, q.authenticated)
	for _, s := range servers {
		b.WriteByte(' ')
		b.WriteString(s.String())
	}
	return b.String()
}

// message is the question as it is sent, but for its number.
func (q question) message() *dns.Msg {
	m := &dns.Msg{Question: []dns.Question{{Name: q.name, Qtype: q.kind, Qclass: q.class}}}
	m.RecursionDesired, m.CheckingDisabled, m.AuthenticatedData = q.recursion, q.unchecked, q.authenticated
	return m.SetEdns0(udpSize, q.signed)
}

// forwarder asks servers, and keeps what they answered.
type forwarder struct {
	log              *slog.Logger
	patience, budget time.Duration // as the constants, but in tests
	cache            cache
	flights          singleflight.Group

	mu   sync.Mutex
	last map[netip.AddrPort]time.Time // servers to be asked last, until when
}

// ask returns the answer to a question, as a message of the caller's own, from what is kept or from the servers; nil if
// none gave any.
func (f *forwarder) ask(ctx context.Context, servers []netip.AddrPort, q question) *dns.Msg {
	if len(servers) == 0 {
		return nil
	}
	key := q.key(servers)
	wire, age := f.cache.get(key, time.Now())
	if wire == nil {
		// The context is the resolver's: it does not end with the first of those who wait.
		got, _, _ := f.flights.Do(key, func() (any, error) { return f.fetch(ctx, servers, q, key), nil })
		wire, age = got.([]byte), 0
	}
	answer := new(dns.Msg)
	if wire == nil || answer.Unpack(wire) != nil {
		return nil
	}
	older(answer, age)
	return answer
}

// fetch asks the servers and keeps what can be kept.
func (f *forwarder) fetch(ctx context.Context, servers []netip.AddrPort, q question, key string) []byte {
	answer, by := f.race(ctx, servers, q)
	if answer == nil {
		return nil
	}
	answer.Compress = true
	wire, err := answer.Pack()
	if err != nil {
		f.log.Debug("a name server's answer cannot be passed on", "server", by, "name", q.name, "err", err)
		return nil
	}
	f.cache.put(key, wire, time.Now(), lifetime(answer, by.Addr().IsLoopback()))
	return wire
}

// reply is what became of one attempt.
type reply struct {
	server netip.AddrPort
	answer *dns.Msg
	err    error
}

// race asks one server after the other, the next when one has failed or let a second go by, and returns the first good
// answer; else the best of what was said.
func (f *forwarder) race(ctx context.Context, servers []netip.AddrPort, q question) (best *dns.Msg, by netip.AddrPort) {
	ctx, cancel := context.WithTimeout(ctx, f.budget)
	attempts := slices.Repeat(f.order(servers), rounds)
	replies := make(chan reply, len(attempts))
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	var silent []netip.AddrPort // those asked that have said nothing, in the order in which they were first asked
	pending := 0
	next := func() {
		if len(attempts) == 0 || ctx.Err() != nil {
			return
		}
		server := attempts[0]
		attempts = attempts[1:]
		pending++
		if !slices.Contains(silent, server) {
			silent = append(silent, server)
		}
		running.Go(func() {
			answer, err := exchange(ctx, server, q)
			replies <- reply{server, answer, err}
		})
	}
	next()
	tick := time.NewTicker(f.patience)
	defer tick.Stop()
	for pending > 0 {
		select {
		case <-tick.C:
			next()
			continue
		case r := <-replies:
			pending--
			if r.err != nil {
				f.log.Debug("a name server did not answer", "server", r.server, "name", q.name, "err", r.err)
				next()
				continue
			}
			if i := slices.Index(silent, r.server); i >= 0 {
				f.judge(r.server, silent[:i])
				silent = slices.Delete(silent, i, i+1)
			}
			if final(r.answer) {
				return r.answer, r.server
			}
			if best == nil || r.answer.Truncated {
				best, by = r.answer, r.server
			}
			attempts = slices.DeleteFunc(attempts, func(s netip.AddrPort) bool { return s == r.server }) // it would say so again
			next()
		}
	}
	return best, by
}

// final says whether an answer is one that no other server needs to be asked after.
func final(m *dns.Msg) bool {
	return !m.Truncated && (m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError)
}

// order puts the servers that have not answered lately last.
func (f *forwarder) order(servers []netip.AddrPort) []netip.AddrPort {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.last) == 0 {
		return servers
	}
	now := time.Now()
	var first, last []netip.AddrPort
	for _, s := range servers {
		if now.Before(f.last[s]) {
			last = append(last, s)
		} else {
			first = append(first, s)
		}
	}
	return append(first, last...)
}

// judge notes that a server answered, and that others, which were asked before it, have not.
func (f *forwarder) judge(good netip.AddrPort, bad []netip.AddrPort) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.last, good)
	if len(bad) == 0 {
		return
	}
	if f.last == nil || len(f.last) > 1000 { // of containers' own servers there may be any number
		f.last = map[netip.AddrPort]time.Time{}
	}
	for _, s := range bad {
		f.last[s] = time.Now().Add(grudge)
	}
}
