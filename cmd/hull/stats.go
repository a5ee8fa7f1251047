package main

import (
	"fmt"
	"strings"

	"hull/engine/network"
)

// Stats are "key value" lines about what a container uses, those that this
// machine counts, and of networks only if it has places of its own there. Bytes, microseconds and numbers, as in the kernel's files; a
// limit that is not set reads max, as there.
func (c containers) Stats(id string) ([]byte, error) {
	s, err := c.engine.Stats(id)
	if err != nil || s == nil {
		return nil, c.failed(id, err)
	}
	t, err := c.engine.Traffic(id)
	if err != nil {
		return nil, c.failed(id, err)
	}
	if t == nil {
		t = &network.Traffic{ReceivedBytes: -1, SentBytes: -1, ReceivedPackets: -1, SentPackets: -1}
	}
	var b strings.Builder
	for _, l := range []struct {
		key   string
		value int64
	}{
		{"cpu.usec", micros(s.CPUNanos)},
		{"cpu.user.usec", micros(s.UserNanos)},
		{"cpu.system.usec", micros(s.SysNanos)},
		{"cpu.throttled", s.Throttled},
		{"cpu.throttled.usec", micros(s.ThrottledNanos)},
		{"memory.bytes", inUse(s.Memory, s.InactiveFile)},
		{"memory.cache.bytes", s.File},
		{"memory.anonymous.bytes", s.Anonymous},
		{"memory.charged.bytes", s.Memory},
		{"memory.peak.bytes", s.MemoryPeak},
		{"memory.limit.bytes", s.MemoryMax},
		{"memory.swap.bytes", s.Swap},
		{"memory.oom_kills", s.OOMKills},
		{"pids", s.Pids},
		{"pids.limit", s.PidsMax},
		{"io.read.bytes", s.ReadBytes},
		{"io.written.bytes", s.WrittenBytes},
		{"io.reads", s.Reads},
		{"io.writes", s.Writes},
		{"net.received.bytes", t.ReceivedBytes},
		{"net.sent.bytes", t.SentBytes},
		{"net.received.packets", t.ReceivedPackets},
		{"net.sent.packets", t.SentPackets},
	} {
		switch {
		case l.value >= 0:
			fmt.Fprintf(&b, "%s %d\n", l.key, l.value)
		case strings.Contains(l.key, ".limit"):
			fmt.Fprintf(&b, "%s max\n", l.key)
		}
	}
	return []byte(b.String()), nil
}

func micros(nanos int64) int64 {
	if nanos < 0 {
		return nanos
	}
	return nanos / 1000
}

// inUse is what docker stats shows: without the cache that can go at once.
func inUse(charged, inactive int64) int64 {
	if charged < 0 || inactive < 0 {
		return charged
	}
	return max(0, charged-inactive)
}
