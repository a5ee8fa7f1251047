package network

import (
	"errors"

	"github.com/vishvananda/netlink"
)

// Traffic is what has gone through places on networks since they were plugged in, as whoever has them sees it.
type Traffic struct {
	ReceivedBytes, SentBytes     int64
	ReceivedPackets, SentPackets int64
}

// Traffic sums up what has gone through some places. One that is not plugged in counts nothing.
func (n *Networks) Traffic(endpoints []Endpoint) (Traffic, error) {
	var names []string
	n.mu.Lock()
	for _, e := range endpoints {
		names = append(names, n.plugged[e.Link]...)
	}
	n.mu.Unlock()
	var t Traffic
	for _, name := range names {
		link, err := netlink.LinkByName(name)
		var none netlink.LinkNotFoundError
		switch {
		case errors.As(err, &none):
			continue
		case err != nil:
			return Traffic{}, fail("stats", "", System, "the counters of the link %s cannot be read: %w", name, err)
		}
		if s := link.Attrs().Statistics; s != nil { // of the host's end: what that has received the other has sent
			t.ReceivedBytes += int64(s.TxBytes)
			t.SentBytes += int64(s.RxBytes)
			t.ReceivedPackets += int64(s.TxPackets)
			t.SentPackets += int64(s.RxPackets)
		}
	}
	return t, nil
}
