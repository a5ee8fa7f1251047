package engine

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"hull/engine/network"
)

// maxPorts bounds what a container publishes: each port is held by a socket.
const maxPorts = 1024

// privilegedPorts is the first port that anybody may listen on; those below are root's, as the kernel has it.
const privilegedPorts = 1024

// localhost is where ports are published if no address is given: not to other machines.
func localhost() netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, 1}) }

// published reads the setting, which has been checked, one by one.
func (v values) published() []network.Port {
	return PublishedPorts(v.list("ports"))
}

// PublishedPorts reads the items of the setting ports; those of a later release, which it cannot read, are none.
func PublishedPorts(items []string) []network.Port {
	ports, err := readPorts(items)
	if err != nil {
		return nil
	}
	return ports
}

// parsePorts takes docker's -p, an item a line.
func parsePorts(value string) (any, error) {
	items, err := parsePortList(value)
	if err != nil {
		return nil, err
	}
	for i := range items {
		if items[i], err = shortPort(strings.TrimSpace(items[i])); err != nil {
			return nil, err
		}
	}
	if _, err := readPorts(items); err != nil {
		return nil, err
	}
	return items, nil
}

// parsePortList is parseList for items that may begin with an address in brackets.
func parsePortList(value string) ([]string, error) {
	inner, bracket := strings.CutPrefix(strings.TrimSpace(value), "[")
	if inner = strings.TrimSpace(inner); bracket && inner != "" && !strings.ContainsRune(`"]`, rune(inner[0])) {
		return parseList("#\n" + value) // not an array of strings, which begins so too
	}
	return parseList(value)
}

// shortPort writes docker's long form, published=8080,target=80,protocol=tcp, as the short one.
func shortPort(item string) (string, error) {
	if !strings.Contains(item, "=") {
		return item, nil
	}
	var published, target, protocol string
	for field := range strings.SplitSeq(item, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		into := map[string]*string{"published": &published, "target": &target, "protocol": &protocol}[key]
		switch {
		case into == nil && key == "mode" && value == "host":
			continue
		case into == nil || value == "" || *into != "":
			return "", fmt.Errorf("%q is not published=PORT,target=PORT,protocol=tcp, each once", clip(item))
		}
		*into = value
	}
	if protocol != "" {
		protocol = "/" + protocol
	}
	return published + ":" + target + protocol, nil
}

// readPorts reads all items, and refuses two that want the same.
func readPorts(items []string) ([]network.Port, error) {
	var all []network.Port
	for _, item := range items {
		ports, err := parsePort(item)
		if err != nil {
			return nil, err
		}
		if all = append(all, ports...); len(all) > maxPorts {
			return nil, fmt.Errorf("a container may publish %d ports, and these are more", maxPorts)
		}
	}
	taken := map[network.Port]bool{} // those that are not to be chosen, by what of the host they take
	place := func(host netip.Addr, p network.Port) network.Port {
		return network.Port{HostIP: host, HostPort: p.HostPort, Proto: p.Proto}
	}
	for _, p := range all {
		if p.HostPort == 0 || p.HostPortEnd != 0 {
			continue
		}
		if taken[place(p.HostIP, p)] {
			return nil, fmt.Errorf("port %d of the host is published twice on %s (%s)", p.HostPort, p.HostIP, p.Proto)
		}
		taken[place(p.HostIP, p)] = true
	}
	for _, p := range all { // one on all addresses takes it on each
		if every := anyOf(p.HostIP); p.HostIP != every && p.HostPortEnd == 0 && taken[place(every, p)] {
			return nil, fmt.Errorf("port %d of the host is published twice, on %s and on all addresses (%s)", p.HostPort, p.HostIP, p.Proto)
		}
	}
	return all, nil
}

// anyOf is the address that stands for all of a family.
func anyOf(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// parsePort reads [[ADDRESS:]HOSTPORT[-LAST]:]PORT[-LAST][/PROTOCOL], as docker's -p: ranges of the same length stand
// for port by port, and one port in the container for any of the host's range.
func parsePort(item string) ([]network.Port, error) {
	rest, protocol, given := strings.Cut(item, "/")
	switch {
	case !given:
		protocol = "tcp"
	case strings.EqualFold(protocol, "sctp"):
		return nil, fmt.Errorf("%q: sctp cannot be published; tcp and udp can", clip(item))
	case !strings.EqualFold(protocol, "tcp") && !strings.EqualFold(protocol, "udp"):
		return nil, fmt.Errorf("%q: a port's protocol is tcp or udp", clip(item))
	}
	host, rest, err := portAddress(rest)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", clip(item), err)
	}
	of, in, both := strings.Cut(rest, ":")
	if !both {
		of, in = "", rest
	}
	first, last, err := portRange(in, 1)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", clip(item), err)
	}
	var from, to uint16
	if of != "" {
		if from, to, err = portRange(of, 0); err != nil {
			return nil, fmt.Errorf("%q: %w", clip(item), err)
		}
	}
	several := from != 0 && first != last // port by port; else any free one for each
	if several && to-from != last-first {
		return nil, fmt.Errorf("%q: the host's range and the container's differ in length", clip(item))
	}
	if last-first >= maxPorts {
		return nil, fmt.Errorf("%q: a container may publish %d ports", clip(item), maxPorts)
	}
	var ports []network.Port
	for i := range uint32(last-first) + 1 {
		p := network.Port{HostIP: host, HostPort: from, Port: first + uint16(i), Proto: strings.ToLower(protocol)}
		switch {
		case several:
			p.HostPort += uint16(i)
		case from != to:
			p.HostPortEnd = to
		}
		ports = append(ports, p)
	}
	return ports, nil
}

// portAddress takes the address off, which is there if two ':' follow each other, or in brackets.
func portAddress(s string) (host netip.Addr, rest string, err error) {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		text, rest, ok := strings.Cut(inner, "]:")
		host, err := netip.ParseAddr(text)
		if !ok || err != nil || !host.Is6() || host.Is4In6() || host.Zone() != "" {
			return host, "", errors.New("between [ and ]: stands an IPv6 address")
		}
		return host, rest, onHostAddress(host)
	}
	switch strings.Count(s, ":") {
	case 0, 1:
		return localhost(), s, nil
	case 2:
	default:
		return host, "", errors.New("it has too many ':'; an IPv6 address stands in brackets, as [::1]:8080:80")
	}
	text, rest, _ := strings.Cut(s, ":")
	if text == "" {
		return host, "", errors.New("there is no address before the first ':'; without one it is 8080:80")
	}
	if host, err = netip.ParseAddr(text); err != nil || !host.Is4() {
		return host, "", fmt.Errorf("%q is not an address of the host, as 127.0.0.1 or 0.0.0.0", clip(text))
	}
	return host, rest, onHostAddress(host)
}

// onHostAddress refuses addresses that no host has for itself.
func onHostAddress(a netip.Addr) error {
	if a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) || a.IsLinkLocalUnicast() && a.Is6() {
		return fmt.Errorf("nothing can be published on %s", a)
	}
	return nil
}

// portRange reads PORT or FIRST-LAST, none of which is below least.
func portRange(s string, least uint16) (first, last uint16, err error) {
	a, b, several := strings.Cut(s, "-")
	if !several {
		b = a
	}
	for _, e := range []struct {
		text string
		into *uint16
	}{{a, &first}, {b, &last}} {
		n, err := strconv.ParseUint(e.text, 10, 16)
		if err != nil || uint16(n) < least || strings.HasPrefix(e.text, "+") {
			return 0, 0, fmt.Errorf("%q is not a port from %d to 65535, nor a range of them", clip(s), least)
		}
		*e.into = uint16(n)
	}
	if first > last || several && first == 0 {
		return 0, 0, fmt.Errorf("%q is no range of ports: its first is the lower", clip(s))
	}
	return first, last, nil
}

// parseExposed takes docker's --expose, an item a line.
func parseExposed(value string) (any, error) {
	items, err := parseList(value)
	if err != nil {
		return nil, err
	}
	for i, item := range items {
		items[i] = strings.ToLower(strings.TrimSpace(item))
		number, proto, given := strings.Cut(items[i], "/")
		if _, _, err := portRange(number, 1); err != nil {
			return nil, err
		}
		if given && proto != "tcp" && proto != "udp" {
			return nil, fmt.Errorf("%q is no protocol of ports; tcp and udp are", clip(proto))
		}
	}
	if len(items) > maxPorts {
		return nil, fmt.Errorf("a container may name %d ports, and these are more", maxPorts)
	}
	return items, nil
}

// takesPrivileged tells whether ports are among those on which only root may listen.
func takesPrivileged(v any) bool {
	items, _ := v.([]string)
	ports, err := readPorts(items)
	if err != nil {
		return true
	}
	for _, p := range ports {
		if p.HostPort != 0 && p.HostPort < privilegedPorts {
			return true
		}
	}
	return false
}
