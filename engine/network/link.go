package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"unsafe"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// A kernelConn sends messages about links to one network namespace. A plug is on the way of every start, so that its messages
// are made here, several at a time, and the last only is answered.
type kernelConn struct{ c *netlink.Conn }

// dialLinks connects to a namespace's part of the kernel; nil is the one that the daemon is in.
func dialLinks(netns *os.File) (*kernelConn, error) {
	config := &netlink.Config{}
	if netns != nil {
		config.NetNS = int(netns.Fd())
	}
	c, err := netlink.Dial(unix.NETLINK_ROUTE, config)
	if err != nil {
		return nil, err
	}
	return &kernelConn{c}, nil
}

// do sends messages, and says what the first that failed did of.
func (k *kernelConn) do(messages ...netlink.Message) error {
	for i := range messages {
		messages[i].Header.Flags |= netlink.Request
	}
	messages[len(messages)-1].Header.Flags |= netlink.Acknowledge
	sent, err := k.c.SendMessages(messages)
	if err != nil {
		return err
	}
	last := sent[len(sent)-1].Header.Sequence
	for {
		answers, err := k.c.Receive()
		if err != nil {
			return err
		}
		for _, a := range answers {
			if a.Header.Sequence == last {
				return nil
			}
		}
	}
}

// index is the number of an interface.
func (k *kernelConn) index(name string) (uint32, error) {
	raw, err := k.c.SyscallConn()
	if err != nil {
		return 0, err
	}
	req, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	if e := raw.Control(func(fd uintptr) { err = unix.IoctlIfreq(int(fd), unix.SIOCGIFINDEX, req) }); e != nil {
		return 0, e
	}
	return req.Uint32(), err
}

func (k *kernelConn) close() {
	if k != nil {
		_ = k.c.Close()
	}
}

// bytesOf is a structure of the kernel's as it is in memory.
func bytesOf[T any](v *T) []byte {
	return append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))...)
}

func message(kind uint16, flags netlink.HeaderFlags, parts ...[]byte) netlink.Message {
	m := netlink.Message{Header: netlink.Header{Type: netlink.HeaderType(kind), Flags: flags}}
	for _, p := range parts {
		m.Data = append(m.Data, p...)
	}
	return m
}

// attrs are attributes one after the other.
func attrs(list ...netlink.Attribute) []byte {
	b, err := netlink.MarshalAttributes(list)
	if err != nil {
		panic(fmt.Sprintf("an attribute of the network's is too long: %v", err)) // it is made of names and addresses only
	}
	return b
}

func attr(kind uint16, data []byte) netlink.Attribute {
	return netlink.Attribute{Type: kind, Data: data}
}

func nested(kind uint16, list ...netlink.Attribute) netlink.Attribute {
	return netlink.Attribute{Type: kind | unix.NLA_F_NESTED, Data: attrs(list...)}
}

func text(s string) []byte { return append([]byte(s), 0) }

func u32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

// noAddresses keeps the kernel from making addresses of IPv6 by itself, and with them traffic.
func noAddresses() netlink.Attribute {
	const (
		addrGenMode = 8 // IFLA_INET6_ADDR_GEN_MODE
		none        = 1 // IN6_ADDR_GEN_MODE_NONE
	)
	return nested(unix.IFLA_AF_SPEC, nested(unix.AF_INET6, attr(addrGenMode, []byte{none})))
}

// newPair makes a pair of links: the one a port of a bridge, the other in a namespace.
func newPair(link, name string, mac net.HardwareAddr, bridge uint32, mtu int, netns *os.File) netlink.Message {
	const peerOf = 1 // VETH_INFO_PEER
	// One queue a direction, of which the kernel makes as many as there are processors else, with all that each has in /sys; a link
	// that has no queue of packets gains nothing by more.
	one := []netlink.Attribute{attr(unix.IFLA_NUM_TX_QUEUES, u32(1)), attr(unix.IFLA_NUM_RX_QUEUES, u32(1))}
	peer := append(bytesOf(&unix.IfInfomsg{}), attrs(append(one,
		attr(unix.IFLA_IFNAME, text(name)),
		attr(unix.IFLA_ADDRESS, mac),
		attr(unix.IFLA_MTU, u32(uint32(mtu))),
		attr(unix.IFLA_NET_NS_FD, u32(uint32(netns.Fd()))),
	)...)...)
	return message(unix.RTM_NEWLINK, netlink.Create|netlink.Excl, bytesOf(&unix.IfInfomsg{}), attrs(append(one,
		attr(unix.IFLA_IFNAME, text(link)),
		attr(unix.IFLA_MTU, u32(uint32(mtu))),
		attr(unix.IFLA_MASTER, u32(bridge)),
		nested(unix.IFLA_LINKINFO,
			attr(unix.IFLA_INFO_KIND, text("veth")),
			nested(unix.IFLA_INFO_DATA, attr(peerOf|unix.NLA_F_NESTED, peer))),
	)...))
}

// setPort has a port up, of which the bridge learns nothing, and to which it sends what is for its own MAC, and for everybody.
// What a container sends to a port that itself has published comes back to it by the bridge where br_netfilter is on.
func setPort(index uint32, v6 bool) netlink.Message {
	const ( // IFLA_BRPORT_…
		hairpin      = 4
		learning     = 8
		unicastFlood = 9
	)
	list := []netlink.Attribute{
		nested(unix.IFLA_LINKINFO,
			attr(unix.IFLA_INFO_SLAVE_KIND, text("bridge")),
			nested(unix.IFLA_INFO_SLAVE_DATA, attr(hairpin, []byte{1}), attr(learning, []byte{0}), attr(unicastFlood, []byte{0}))),
	}
	if v6 {
		list = append(list, noAddresses())
	}
	return setUp(index, list...)
}

// knowMAC tells the bridge where a MAC is, which it does not learn.
func knowMAC(index uint32, mac net.HardwareAddr) netlink.Message {
	return message(unix.RTM_NEWNEIGH, netlink.Create|netlink.Replace,
		bytesOf(&unix.NdMsg{Family: unix.AF_BRIDGE, Ifindex: int32(index), State: unix.NUD_NOARP, Flags: unix.NTF_MASTER}),
		attrs(attr(unix.NDA_LLADDR, mac)))
}

// setUp has an interface up.
func setUp(index uint32, more ...netlink.Attribute) netlink.Message {
	return message(unix.RTM_NEWLINK, 0, bytesOf(&unix.IfInfomsg{Index: int32(index), Flags: unix.IFF_UP, Change: unix.IFF_UP}), attrs(more...))
}

// setMaster makes an interface a port of a bridge.
func setMaster(index, bridge uint32) netlink.Message {
	return message(unix.RTM_NEWLINK, 0, bytesOf(&unix.IfInfomsg{Index: int32(index)}), attrs(attr(unix.IFLA_MASTER, u32(bridge))))
}

// addAddress gives an interface an address, which is nobody else's: there is no need to ask.
func addAddress(index uint32, p netip.Prefix) netlink.Message {
	m := unix.IfAddrmsg{Family: unix.AF_INET, Prefixlen: uint8(p.Bits()), Index: index}
	list := []netlink.Attribute{attr(unix.IFA_LOCAL, p.Addr().AsSlice()), attr(unix.IFA_ADDRESS, p.Addr().AsSlice())}
	if p.Addr().Is4() {
		list = append(list, attr(unix.IFA_BROADCAST, end(p).Prev().AsSlice()))
	} else {
		m.Family = unix.AF_INET6
		list = append(list, attr(unix.IFA_FLAGS, u32(unix.IFA_F_NODAD)))
	}
	if p.Addr().IsLinkLocalUnicast() {
		m.Scope = unix.RT_SCOPE_LINK
	}
	return message(unix.RTM_NEWADDR, netlink.Create|netlink.Replace, bytesOf(&m), attrs(list...))
}

// addDefault sends what is for nobody near to a gateway.
func addDefault(index uint32, gateway netip.Addr) netlink.Message {
	m := unix.RtMsg{Family: unix.AF_INET, Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_BOOT, Scope: unix.RT_SCOPE_UNIVERSE, Type: unix.RTN_UNICAST}
	if gateway.Is6() {
		m.Family = unix.AF_INET6
	}
	return message(unix.RTM_NEWROUTE, netlink.Create|netlink.Replace, bytesOf(&m),
		attrs(attr(unix.RTA_GATEWAY, gateway.AsSlice()), attr(unix.RTA_OIF, u32(index))))
}

// settle has the kernel take note at once that an interface has a carrier, which it does in its own time else, and which it does
// before it answers what one is (since Linux 6.6): a bridge sends nothing to a port before, and an interface nothing at all.
// Without, the first packet of a container is lost, and tried again a second later.
func settle(index uint32) netlink.Message {
	return message(unix.RTM_GETLINK, 0, bytesOf(&unix.IfInfomsg{Index: int32(index)}))
}

// removalGroup is the group that interfaces are put into to go all at once: for each by itself the kernel waits until nobody can
// see it any more. Whoever is in it, of whatever hull, is to go.
const removalGroup = 0x68756c6c

// remove takes interfaces away. Those that are gone are no error.
func (k *kernelConn) remove(indexes ...uint32) error {
	none := func(err error) error {
		if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ESRCH) {
			return nil
		}
		return err
	}
	if len(indexes) == 0 {
		return nil
	}
	if len(indexes) == 1 {
		return none(k.do(message(unix.RTM_DELLINK, 0, bytesOf(&unix.IfInfomsg{Index: int32(indexes[0])}))))
	}
	group := attrs(attr(unix.IFLA_GROUP, u32(removalGroup)))
	for _, i := range indexes {
		if err := none(k.do(message(unix.RTM_NEWLINK, 0, bytesOf(&unix.IfInfomsg{Index: int32(i)}), group))); err != nil {
			return err
		}
	}
	return none(k.do(message(unix.RTM_DELLINK, 0, bytesOf(&unix.IfInfomsg{}), group)))
}
