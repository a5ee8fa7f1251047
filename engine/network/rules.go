package network

import (
	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// setID is one of the sets and maps that the rules ask.
type setID int

// The sets.
const (
	setBridges  setID = iota // the bridges
	setSame                  // each bridge with itself
	setOwn4                  // each bridge with its gateway
	setOwn6                  //
	setGates4                // the gateways
	setGates6                //
	setNets4                 // the subnets
	setNets6                 //
	setHost4                 // address, protocol and port of the host: published
	setHost6                 //
	setAny4                  // protocol and port of every address of the host: published
	setAny6                  //
	setResolver              // 53, and the port where the resolver is
	setLinks                 // the host's ends
	setAddrs4                // each with the MAC and the addresses that it may send from
	setAddrs6                //
	setCount
)

// set is what one is made of.
type set struct {
	name     string
	key      []nftables.SetDatatype
	data     []nftables.SetDatatype // of a map
	interval bool
	bridge   bool // it is of the table for bridges
}

var (
	typeName  = nftables.TypeIFName
	typeIP4   = nftables.TypeIPAddr
	typeIP6   = nftables.TypeIP6Addr
	typeProto = nftables.TypeInetProto
	typePort  = nftables.TypeInetService
	typeMAC   = nftables.TypeEtherAddr
)

type types = []nftables.SetDatatype

var sets = [setCount]set{
	setBridges:  {name: "bridges", key: types{typeName}},
	setSame:     {name: "same", key: types{typeName, typeName}},
	setOwn4:     {name: "own4", key: types{typeName, typeIP4}},
	setOwn6:     {name: "own6", key: types{typeName, typeIP6}},
	setGates4:   {name: "gateways4", key: types{typeIP4}},
	setGates6:   {name: "gateways6", key: types{typeIP6}},
	setNets4:    {name: "subnets4", key: types{typeIP4}, interval: true},
	setNets6:    {name: "subnets6", key: types{typeIP6}, interval: true},
	setHost4:    {name: "published4", key: types{typeIP4, typeProto, typePort}, data: types{typeIP4, typePort}},
	setHost6:    {name: "published6", key: types{typeIP6, typeProto, typePort}, data: types{typeIP6, typePort}},
	setAny4:     {name: "everywhere4", key: types{typeProto, typePort}, data: types{typeIP4, typePort}},
	setAny6:     {name: "everywhere6", key: types{typeProto, typePort}, data: types{typeIP6, typePort}},
	setResolver: {name: "resolver", key: types{typePort}, data: types{typePort}},
	setLinks:    {name: "links", key: types{typeName}, bridge: true},
	setAddrs4:   {name: "addresses4", key: types{typeName, typeMAC, typeIP4}, bridge: true},
	setAddrs6:   {name: "addresses6", key: types{typeName, typeMAC, typeIP6}, bridge: true},
}

// chain is rules in order, at a hook of the kernel's if it has one.
type chain struct {
	name     string
	kind     nftables.ChainType
	hook     *nftables.ChainHook
	priority nftables.ChainPriority
	rules    []rule
}

// Bits of the state and the status of a connection.
const (
	ctInvalid     = 1 << 0
	ctEstablished = 1 << 1
	ctRelated     = 1 << 2
	ctDNAT        = 1 << 5
)

// routed are the chains for packets that are routed. An accept ends the chain, not the packet's way through others'.
func routed() []chain {
	known := on(anyOf(state, ctEstablished|ctRelated), accept)
	return []chain{
		// Before anything else sees them: what nobody sends who is what he says.
		{"arriving", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, *nftables.ChainPriorityRaw, []rule{
			// route_localnet, without which the host itself could not be led to a container, lets containers in, too.
			on(v4(), loopback4(to4), in(setBridges, inName), drop),
			on(v4(), loopback4(from4), in(setBridges, inName), drop),
			on(in(setBridges, inName), accept), // whose ports have been looked at
			on(isNot(inName, bytes16("lo")...), v4(), in(setNets4, from4), drop),
			on(isNot(inName, bytes16("lo")...), v6(), in(setNets6, from6), drop),
		}},
		{"published", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, *nftables.ChainPriorityNATDest, []rule{
			on(v4(), in(setOwn4, inName, to4), is(protocol, unix.IPPROTO_UDP), portTo(setResolver, unix.NFPROTO_IPV4)),
			on(v4(), in(setOwn4, inName, to4), is(protocol, unix.IPPROTO_TCP), portTo(setResolver, unix.NFPROTO_IPV4)),
			on(v6(), in(setOwn6, inName, to6), is(protocol, unix.IPPROTO_UDP), portTo(setResolver, unix.NFPROTO_IPV6)),
			on(v6(), in(setOwn6, inName, to6), is(protocol, unix.IPPROTO_TCP), portTo(setResolver, unix.NFPROTO_IPV6)),
			// What comes from outside to 127.0.0.1 would be led into the container here, before the kernel finds it impossible.
			on(v4(), loopback4(to4), back),
			on(v4(), leadTo(setHost4, unix.NFPROTO_IPV4, to4, protocol, toPort)),
			on(v4(), toHost(), leadTo(setAny4, unix.NFPROTO_IPV4, protocol, toPort)),
			on(v6(), isLoopback6(), back),
			on(v6(), leadTo(setHost6, unix.NFPROTO_IPV6, to6, protocol, toPort)),
			on(v6(), toHost(), leadTo(setAny6, unix.NFPROTO_IPV6, protocol, toPort)),
		}},
		{"published-here", nftables.ChainTypeNAT, nftables.ChainHookOutput, *nftables.ChainPriorityNATDest, []rule{
			on(v4(), leadTo(setHost4, unix.NFPROTO_IPV4, to4, protocol, toPort)),
			on(v4(), toHost(), leadTo(setAny4, unix.NFPROTO_IPV4, protocol, toPort)),
			on(v6(), isLoopback6(), back), // the daemon's proxy has those
			on(v6(), leadTo(setHost6, unix.NFPROTO_IPV6, to6, protocol, toPort)),
			on(v6(), toHost(), leadTo(setAny6, unix.NFPROTO_IPV6, protocol, toPort)),
		}},
		{"leaving", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, *nftables.ChainPriorityNATSource, []rule{
			on(in(setBridges, outName), v4(), loopback4(from4), masquerade()),
			// A container that comes back to its own network by a published port: the answer must come back here.
			on(in(setBridges, outName), v4(), in(setNets4, from4), anyOf(status, ctDNAT), masquerade()),
			on(in(setBridges, outName), v6(), in(setNets6, from6), anyOf(status, ctDNAT), masquerade()),
			on(notIn(setBridges, outName), v4(), in(setNets4, from4), masquerade()),
			on(notIn(setBridges, outName), v6(), in(setNets6, from6), masquerade()),
		}},
		{"to-host", nftables.ChainTypeFilter, nftables.ChainHookInput, *nftables.ChainPriorityFilter, []rule{
			known,
			on(v4(), in(setGates4, to4), call("to-gateway")),
			on(v6(), in(setGates6, to6), call("to-gateway")),
		}},
		{name: "to-gateway", rules: []rule{ // which is no way from one network, or from outside, to another's
			on(is(inName, bytes16("lo")...), accept),
			on(v4(), in(setOwn4, inName, to4), accept),
			on(v6(), in(setOwn6, inName, to6), accept),
			drop,
		}},
		{"forward", nftables.ChainTypeFilter, nftables.ChainHookForward, *nftables.ChainPriorityFilter, []rule{
			known,
			on(in(setBridges, outName), call("to-container")),
		}},
		{name: "to-container", rules: []rule{
			on(in(setSame, inName, outName), accept), // where br_netfilter is on; else nobody asks
			on(anyOf(state, ctInvalid), drop),
			on(anyOf(status, ctDNAT), accept),
			drop,
		}},
	}
}

// Types of messages of ICMPv6, about neighbours but for the first ones: of who listens to which group (RFC 2710, RFC 3810), and
// of routers (RFC 4861).
const (
	listenerQuery       = 130
	listenerReport      = 131
	listenerDone        = 132
	routerSolicitation  = 133
	routerAdvertisement = 134
	neighbourAdvert     = 136
	redirect            = 137
	listenerReport2     = 143
)

// useless are the messages that no port has an answer to. A bridge sends what is for a group to all its ports, whoever listens;
// the kernel of each container tells the groups that it listens to, so that a start would be heard by all others.
func useless() (list []rule) {
	for _, kind := range []byte{listenerReport2, routerSolicitation, listenerQuery, listenerReport, listenerDone} {
		list = append(list, on(is(protocol, unix.IPPROTO_ICMPV6), is(icmpType, kind), drop))
	}
	return list
}

// bridged are the chains for frames that arrive at the ports of bridges: each sends as itself only.
func bridged() []chain {
	return []chain{
		{"arriving", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, -200, []rule{
			// The type as it is in the frame: one with a VLAN's tag is no packet, whatever is in it. Nearly all that there is
			// passes here, by one look.
			on(is(etherType, 0x08, 0x00), in(setAddrs4, inName, etherFrom, from4), accept),
			on(notIn(setLinks, inName), accept),
			on(is(etherType, 0x08, 0x06), call("arp")),
			on(is(etherType, 0x86, 0xdd), call("packet6")),
			drop,
		}},
		{name: "arp", rules: []rule{
			on(isNot(arpHead, 0, 1, 8, 0, 6, 4), drop),
			on(notIn(setAddrs4, inName, etherFrom, arpFrom), drop),
			on(in(setAddrs4, inName, arpEther, arpFrom), accept),
			drop,
		}},
		{name: "packet6", rules: append(append([]rule{
			on(isNot(protocol, unix.IPPROTO_ICMPV6), in(setAddrs6, inName, etherFrom, from6), accept),
		}, useless()...), []rule{
			on(is(protocol, unix.IPPROTO_ICMPV6), is(icmpType, routerAdvertisement), drop),
			on(is(protocol, unix.IPPROTO_ICMPV6), is(icmpType, redirect), drop),
			on(is(protocol, unix.IPPROTO_ICMPV6), is(icmpType, neighbourAdvert), notIn(setAddrs6, inName, etherFrom, neighbour), drop),
			on(in(setAddrs6, inName, etherFrom, from6), accept),
			drop,
		}...)},
	}
}

// router is the chain that keeps a host from becoming a router because hull turned forwarding on: what is neither from nor to
// a bridge, of whatever program's, is dropped.
func router(off4, off6 bool) []chain {
	rules := []rule{
		on(is(meta(metaInKind, 4), bytes16("bridge")...), accept),
		on(is(meta(metaOutKind, 4), bytes16("bridge")...), accept),
	}
	if off4 {
		rules = append(rules, on(v4(), drop))
	}
	if off6 {
		rules = append(rules, on(v6(), drop))
	}
	return []chain{{"forward", nftables.ChainTypeFilter, nftables.ChainHookForward, *nftables.ChainPriorityFilter, rules}}
}
