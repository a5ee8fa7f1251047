package network

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// freeName is the first of eth0, eth1 … that a holder does not have. The caller holds mu.
func (n *Networks) freeName(holder string) string {
	for i := 0; ; i++ {
		name := "eth" + strconv.Itoa(i)
		taken := false
		for _, e := range n.holders[holder] {
			taken = taken || e.Name == name
		}
		if !taken {
			return name
		}
	}
}

const linkPrefix = "hv"

func newLink() string {
	b := make([]byte, 6)
	_, _ = rand.Read(b) // it never fails
	return linkPrefix + hex.EncodeToString(b)
}

// isLink tells whether a name is one that newLink makes.
func isLink(name string) bool {
	digits, ok := strings.CutPrefix(name, linkPrefix)
	return ok && len(digits) == 12 && strings.Trim(digits, "0123456789abcdef") == ""
}

// linkNames are what the links of a place may be called in the kernel. A run after another has another: the kernel may not have
// cleared away yet what was the first one's.
func linkNames(link string) []string {
	names := []string{link}
	for c := 'a'; c <= 'z'; c++ {
		names = append(names, link+string(c))
	}
	return names
}

// linkOf is which place's a link is, by its name.
func linkOf(name string) (link string, ok bool) {
	if len(name) == len(linkPrefix)+12+1 {
		name = name[:len(name)-1]
	}
	return name, isLink(name)
}

// macOf makes a MAC of an address: who gets the address later has the same, and nobody remembers a wrong one.
func macOf(a netip.Addr) string {
	b := a.As4()
	return fmt.Sprintf("02:42:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3])
}

// beside is the address of IPv6 that goes with one of IPv4: it has the same place in its subnet.
func beside(v Network, a netip.Addr) netip.Addr {
	b := v.Subnet6.Addr().As16()
	at := number(a) - number(v.Subnet.Addr())
	b[12], b[13], b[14], b[15] = byte(at>>24), byte(at>>16), byte(at>>8), byte(at)
	return netip.AddrFrom16(b)
}

// local6 is the address of IPv6 that a link has for itself.
func local6(mac net.HardwareAddr) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]})
}
