package network

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// The kernel's table of connections is asked as a whole, and each of its answers looked at as bytes before it is taken apart: on a
// busy host there are hundreds of thousands, and few are a container's.

// Attributes of a connection (linux/netfilter/nfnetlink_conntrack.h).
const (
	ctTupleOrig  = 1
	ctTupleReply = 2
	ctID         = 12
	tupleIP      = 1
	tupleProto   = 2
	ipFrom4      = 1
	ipTo4        = 2
	ipFrom6      = 3
	ipTo6        = 4
	protoNumber  = 1
	protoToPort  = 3

	newConnection = unix.NFNL_SUBSYS_CTNETLINK << 8
	getConnection = unix.NFNL_SUBSYS_CTNETLINK<<8 | 1
	delConnection = unix.NFNL_SUBSYS_CTNETLINK<<8 | 2

	nfgenmsg = 4 // bytes of the header in front of the attributes, of which the first is the family
)

// tuple is one direction of a connection.
type tuple struct {
	from, to netip.Addr
	proto    byte
	toPort   uint16
}

// forgetConnections has the kernel forget the connections of addresses, so that whoever has one next gets none of them.
func forgetConnections(addresses map[netip.Addr]bool) error {
	var texts [][]byte
	for a := range addresses {
		texts = append(texts, a.AsSlice())
	}
	return forgetFlows(texts, func(orig, reply tuple) bool {
		// Outwards, it began them; inwards, it answers them, whatever address they went to at first.
		return addresses[orig.from] || addresses[reply.from]
	})
}

// forgetPorts has it forget those over ports of the host.
func forgetPorts(ports []Bound) error {
	var texts [][]byte
	for _, b := range ports {
		texts = append(texts, port(b.HostPort))
	}
	return forgetFlows(texts, func(orig, _ tuple) bool {
		for _, b := range ports {
			if orig.toPort == b.HostPort && orig.proto == protocols[b.Proto] && (b.HostIP.IsUnspecified() || b.HostIP == orig.to) {
				return true
			}
		}
		return false
	})
}

// forgetFlows has the kernel forget the connections that match, each of which has one of the texts in it.
func forgetFlows(texts [][]byte, match func(orig, reply tuple) bool) error {
	if count, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_count"); err == nil && strings.TrimSpace(string(count)) == "0" {
		return nil
	}
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	all, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: getConnection, Flags: netlink.Request | netlink.Dump}, Data: make([]byte, nfgenmsg),
	})
	if err != nil {
		return err
	}
	for _, m := range all {
		if m.Header.Type != newConnection || len(m.Data) < nfgenmsg || !hasAny(m.Data, texts) {
			continue
		}
		orig, reply, name, err := parseFlow(m.Data[nfgenmsg:])
		if err != nil || !match(orig, reply) {
			continue
		}
		_, err = c.Execute(netlink.Message{
			Header: netlink.Header{Type: delConnection, Flags: netlink.Request | netlink.Acknowledge},
			Data:   append([]byte{m.Data[0], 0, 0, 0}, name...),
		})
		if err != nil && !errors.Is(err, unix.ENOENT) { // which ended by itself meanwhile
			return err
		}
	}
	return nil
}

func hasAny(b []byte, texts [][]byte) bool {
	for _, t := range texts {
		if bytes.Contains(b, t) {
			return true
		}
	}
	return false
}

// parseFlow takes a connection apart; name are the attributes by which the kernel finds it.
func parseFlow(b []byte) (orig, reply tuple, name []byte, err error) {
	list, err := netlink.UnmarshalAttributes(b)
	if err != nil {
		return orig, reply, nil, err
	}
	var named []netlink.Attribute
	for _, a := range list {
		switch a.Type &^ (netlink.Nested | netlink.NetByteOrder) {
		case ctTupleOrig:
			orig, err = parseTuple(a.Data)
			named = append(named, a)
		case ctTupleReply:
			reply, err = parseTuple(a.Data)
		case ctID:
			named = append(named, a)
		}
		if err != nil {
			return orig, reply, nil, err
		}
	}
	name, err = netlink.MarshalAttributes(named)
	return orig, reply, name, err
}

func parseTuple(b []byte) (t tuple, err error) {
	list, err := netlink.UnmarshalAttributes(b)
	if err != nil {
		return t, err
	}
	for _, part := range list {
		fields, err := netlink.UnmarshalAttributes(part.Data)
		if err != nil {
			continue // a zone
		}
		kind := part.Type &^ (netlink.Nested | netlink.NetByteOrder)
		for _, f := range fields {
			switch {
			case kind == tupleIP && (f.Type == ipFrom4 || f.Type == ipFrom6):
				t.from, _ = netip.AddrFromSlice(f.Data)
			case kind == tupleIP && (f.Type == ipTo4 || f.Type == ipTo6):
				t.to, _ = netip.AddrFromSlice(f.Data)
			case kind == tupleProto && f.Type == protoNumber && len(f.Data) == 1:
				t.proto = f.Data[0]
			case kind == tupleProto && f.Type == protoToPort && len(f.Data) == 2:
				t.toPort = binary.BigEndian.Uint16(f.Data)
			}
		}
	}
	return t, nil
}
