package resolver

import (
	"container/list"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	cacheBytes  = 4 << 20 // of answers, with what keeping one costs
	cacheAnswer = 4 << 10 // a longer one is not kept
	cacheCost   = 256     // of keeping one, about

	keepLongest  = time.Hour
	keepNegative = 5 * time.Minute
	// keepLocal bounds the keeping of what a server on loopback said.
	keepLocal = 5 * time.Second
)

// cache keeps answers, as they came, for as long as they allow. The one not asked for longest goes first.
type cache struct {
	mu      sync.Mutex
	entries map[string]*list.Element
	order   list.List // *kept, the one asked for last in front
	bytes   int
}

type kept struct {
	key      string
	wire     []byte
	at, till time.Time
}

// get returns an answer, which is not to be changed, and its age.
func (c *cache) get(key string, now time.Time) ([]byte, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[key]
	if e == nil {
		return nil, 0
	}
	k := e.Value.(*kept)
	if !now.Before(k.till) {
		c.remove(e)
		return nil, 0
	}
	c.order.MoveToFront(e)
	return k.wire, now.Sub(k.at)
}

func (c *cache) put(key string, wire []byte, now time.Time, keep time.Duration) {
	if keep <= 0 || len(wire) > cacheAnswer {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		c.entries = map[string]*list.Element{}
	}
	if e := c.entries[key]; e != nil {
		c.remove(e)
	}
	c.entries[key] = c.order.PushFront(&kept{key: key, wire: wire, at: now, till: now.Add(keep)})
	c.bytes += cost(key, wire)
	for c.bytes > cacheBytes {
		c.remove(c.order.Back())
	}
}

func (c *cache) remove(e *list.Element) {
	k := c.order.Remove(e).(*kept)
	delete(c.entries, k.key)
	c.bytes -= cost(k.key, k.wire)
}

func cost(key string, wire []byte) int { return 2*len(key) + len(wire) + cacheCost }

// lifetime is how long an answer may be kept: as long as its shortest-lived record, or, if there is nothing of that name
// or type, as long as the zone says that this stays so (RFC 2308). Failures are not kept.
func lifetime(m *dns.Msg, local bool) time.Duration {
	longest, records := keepLongest, 0
	negative := m.Rcode == dns.RcodeNameError || m.Rcode == dns.RcodeSuccess && len(m.Answer) == 0
	if m.Truncated || m.Rcode != dns.RcodeSuccess && !negative {
		return 0
	}
	if negative {
		longest = keepNegative
		soa := false
		for _, rr := range m.Ns {
			if s, ok := rr.(*dns.SOA); ok {
				soa = true
				longest = min(longest, time.Duration(s.Minttl)*time.Second)
			}
		}
		if !soa {
			return 0
		}
	}
	if local {
		longest = min(longest, keepLocal)
	}
	for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range section {
			if rr.Header().Rrtype != dns.TypeOPT {
				records++
				longest = min(longest, time.Duration(rr.Header().Ttl)*time.Second)
			}
		}
	}
	if records == 0 {
		return 0
	}
	return longest
}

// older takes an answer's age off its records' times to live.
func older(m *dns.Msg, age time.Duration) {
	seconds := uint32(age / time.Second)
	for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range section {
			if h := rr.Header(); h.Rrtype != dns.TypeOPT {
				h.Ttl -= min(h.Ttl, seconds)
			}
		}
	}
}
