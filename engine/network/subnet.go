package network

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	defaultBits = 16 // of the default network, where stopped containers by the thousand keep their addresses
	otherBits   = 20
	bits6       = 64
	largest     = 8  // what a subnet may be at most
	smallest    = 30 // two addresses: the gateway's and one more
)

// checkSubnet tells why a network cannot have a subnet.
func checkSubnet(name string, p netip.Prefix) error {
	bad := func(why string) error {
		return fail("create", name, Invalid, "%s is no subnet for a network: %s", p, why)
	}
	switch {
	case !p.IsValid() || !p.Addr().Is4():
		return fail("create", name, Invalid, "a subnet is written as 10.1.2.0/24")
	case p.Masked() != p:
		return bad("it would be " + p.Masked().String())
	case p.Bits() < largest || p.Bits() > smallest:
		return bad(fmt.Sprintf("its length is from /%d to /%d", largest, smallest))
	}
	for _, no := range [...]string{"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"} {
		if p.Overlaps(netip.MustParsePrefix(no)) {
			return bad("addresses of " + no + " are not to be had")
		}
	}
	return nil
}

// checkSubnet6 is the same for IPv6, which a network need not have.
func checkSubnet6(name string, p netip.Prefix) error {
	bad := func(why string) error {
		return fail("create", name, Invalid, "%s is no subnet for a network: %s", p, why)
	}
	switch {
	case p == netip.Prefix{}:
		return nil
	case !p.IsValid() || !p.Addr().Is6() || p.Addr().Is4In6():
		return fail("create", name, Invalid, "a subnet of IPv6 is written as fd12:3456:789a::/64")
	case p.Masked() != p:
		return bad("it would be " + p.Masked().String())
	case p.Bits() < 16 || p.Bits() > 96: // the rest of an address is as long as one of IPv4
		return bad("its length is from /16 to /96")
	}
	for _, no := range [...]string{"::/8", "fe80::/10", "ff00::/8"} {
		if p.Overlaps(netip.MustParsePrefix(no)) {
			return bad("addresses of " + no + " are not to be had")
		}
	}
	return nil
}

// used is an address range that somebody has, and who.
type used struct {
	prefix netip.Prefix
	by     string
}

// overlap answers who has something of a subnet.
func overlap(p netip.Prefix, taken []used) (used, bool) {
	for _, u := range taken {
		if u.prefix.Overlaps(p) {
			return u, true
		}
	}
	return used{}, false
}

// others are the subnets of all networks but one. The caller holds mu.
func (n *Networks) others(but string) []used {
	var list []used
	for name, h := range n.networks {
		if name == but {
			continue
		}
		for _, p := range []netip.Prefix{h.network.Subnet, h.network.Subnet6} {
			if p.IsValid() {
				list = append(list, used{p, "the network " + name})
			}
		}
	}
	return list
}

// hostUses are the ranges that the host routes somewhere other than to the bridge but, and those of its servers of names.
func hostUses(but string) ([]used, error) {
	var list []used
	links, err := allLinks()
	if err != nil {
		return nil, fmt.Errorf("the host's interfaces cannot be listed: %w", err)
	}
	names := map[int]string{}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	for _, fam := range []int{unix.AF_INET, unix.AF_INET6} {
		routes, err := whole(func() ([]netlink.Route, error) {
			return netlink.RouteListFiltered(fam, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
		})
		if err != nil && fam == unix.AF_INET {
			return nil, fmt.Errorf("the host's routes cannot be listed: %w", err)
		}
		for _, r := range routes {
			if r.Dst == nil {
				continue // the default
			}
			ip, ok := netip.AddrFromSlice(r.Dst.IP)
			ones, _ := r.Dst.Mask.Size()
			p := netip.PrefixFrom(ip.Unmap(), ones)
			if !ok || ones == 0 || !p.IsValid() || r.Type == unix.RTN_MULTICAST || but != "" && names[r.LinkIndex] == but {
				continue
			}
			by := "the host's route to " + p.String()
			if name := names[r.LinkIndex]; name != "" {
				by += " by " + name
			}
			list = append(list, used{p, by})
		}
	}
	return append(list, nameservers("/etc/resolv.conf")...), nil
}

// nameservers are the addresses of the host's servers of names, which are often in no subnet that is routed by itself.
func nameservers(file string) []used {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	var list []used
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "nameserver" {
			if a, err := netip.ParseAddr(f[1]); err == nil {
				a = a.WithZone("").Unmap()
				list = append(list, used{netip.PrefixFrom(a, a.BitLen()), "the host's name server " + f[1]})
			}
		}
	}
	return list
}

// choose finds a private subnet of a length that nobody has. Where it begins to look follows from the seed, so that two hulls of
// one machine seldom want the same.
func choose(seed string, bits int, taken []used) (netip.Prefix, bool) {
	sum := sha256.Sum256([]byte(seed))
	begin := binary.BigEndian.Uint32(sum[:])
	for _, area := range [...]struct {
		from  netip.Addr
		count uint32 // how many /16
	}{
		{netip.AddrFrom4([4]byte{10, 64, 0, 0}), 128},
		{netip.AddrFrom4([4]byte{172, 20, 0, 0}), 12},
		{netip.AddrFrom4([4]byte{10, 0, 0, 0}), 256},
		{netip.AddrFrom4([4]byte{192, 168, 0, 0}), 1},
	} {
		base := number(area.from)
		parts := area.count << (bits - 16)
		for i := range parts {
			p := netip.PrefixFrom(address(base+(begin+i)%parts<<(32-bits)), bits)
			if _, found := overlap(p, taken); !found {
				return p, true
			}
		}
	}
	return netip.Prefix{}, false
}

// choose6 makes a private subnet of IPv6, which nobody else has but by a chance of one in 2^56.
func choose6(id string) netip.Prefix {
	sum := sha256.Sum256([]byte(id))
	var b [16]byte
	b[0] = 0xfd
	copy(b[1:8], sum[:])
	return netip.PrefixFrom(netip.AddrFrom16(b), bits6)
}

// number and address are the two ways to write an address of IPv4.
func number(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func address(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

// last is the address after the last of a prefix, or the highest there is.
func end(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a.Next()
}
