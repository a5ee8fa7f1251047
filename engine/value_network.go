package engine

import (
	"encoding/csv"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"hull/engine/network"
)

// The words that the setting network has beside the names of networks. None of them can be a network's name.
const (
	bridgeWord    = "bridge"    // Docker's for the default network
	hostWord      = "host"      // the host's own network
	noneWord      = "none"      // a loopback interface and nothing else
	containerWord = "container" // with :NAME behind it that container's network
)

// networkMode is where a container's network comes from.
type networkMode string

const (
	bridged   networkMode = ""          // an interface of its own on each of its networks
	hosted    networkMode = "host"      // the host's
	unplugged networkMode = "none"      // none
	joined    networkMode = "container" // another container's
)

// networking is what the setting network says.
type networking struct {
	Mode   networkMode
	Target string       // of joined: the other container's name or ID
	Attach []attachment // of bridged, at least one; they become eth0, eth1 …
}

// attachment is one network of a container, and what it wants there.
type attachment struct {
	Network string     `json:"network"`
	Aliases []string   `json:"aliases,omitempty"`
	Addr    netip.Addr `json:"ip,omitzero"`  // invalid: any that is free
	Addr6   netip.Addr `json:"ip6,omitzero"` // as Addr
	MAC     string     `json:"mac,omitempty"`
}

// String writes the attachment as the setting does.
func (a attachment) String() string {
	var options []string
	for _, alias := range a.Aliases {
		options = append(options, "alias="+alias)
	}
	if a.Addr.IsValid() {
		options = append(options, "ip="+a.Addr.String())
	}
	if a.Addr6.IsValid() {
		options = append(options, "ip6="+a.Addr6.String())
	}
	if a.MAC != "" {
		options = append(options, "mac-address="+a.MAC)
	}
	if len(options) == 0 {
		return a.Network
	}
	return a.Network + ":" + strings.Join(options, ",")
}

const (
	maxAttachments = 32 // networks of a container
	maxAliases     = 64 // names of a container on one of them
)

// networking reads the setting, which has been checked.
func (v values) networking() networking {
	n, err := readNetworks(v.list("network"))
	if err != nil || n.Mode == bridged && len(n.Attach) == 0 {
		return networking{Attach: []attachment{{Network: network.Default}}}
	}
	return n
}

// parseNetworks takes a word, or networks' names with options, one a line, as docker's --network has them; what
// means the same is written in the same way.
func parseNetworks(value string) (any, error) {
	items, err := parseList(value)
	if err != nil {
		return nil, err
	}
	n, err := readNetworks(items)
	switch {
	case err != nil:
		return nil, err
	case n.Mode == joined:
		return []string{containerWord + ":" + n.Target}, nil
	case n.Mode != bridged:
		return []string{string(n.Mode)}, nil
	}
	items = items[:0]
	for _, a := range n.Attach {
		items = append(items, a.String())
	}
	return items, nil
}

func readNetworks(items []string) (networking, error) {
	var n networking
	for _, item := range items {
		item = strings.TrimSpace(item)
		name, rest, more := strings.Cut(item, ":")
		switch name {
		case containerWord:
			if err := checkTarget(rest); err != nil {
				return n, err
			}
			n.Mode, n.Target = joined, rest
		case hostWord, noneWord:
			if more {
				return n, fmt.Errorf("%s is no network of hull's making and takes no options", name)
			}
			n.Mode = networkMode(name)
		default:
			a, err := parseAttachment(item)
			if err != nil {
				return n, err
			}
			if slices.ContainsFunc(n.Attach, func(b attachment) bool { return b.Network == a.Network }) {
				return n, fmt.Errorf("the network %s is there twice", a.Network)
			}
			n.Attach = append(n.Attach, a)
		}
	}
	switch {
	case n.Mode != bridged && len(items) > 1:
		return n, errors.New("host, none and container:NAME stand alone: a container with one of them has no other network")
	case len(n.Attach) > maxAttachments:
		return n, fmt.Errorf("a container may be on %d networks and not on %d", maxAttachments, len(n.Attach))
	}
	return n, nil
}

// checkTarget answers why a text cannot be another container's name or ID.
func checkTarget(name string) error {
	if isHex(name, 12) || isHex(name, 64) {
		return nil
	}
	if err := checkName("set", name); err != nil {
		return fmt.Errorf("container:NAME needs a container's name or ID, and %q is neither", clip(name))
	}
	return nil
}

// parseAttachment reads NAME[:OPTION,…], or docker's long form name=NAME,OPTION,…
func parseAttachment(item string) (attachment, error) {
	a := attachment{}
	options := ""
	if i := strings.IndexAny(item, "=:,"); i > 0 && item[i] == '=' {
		options = item
	} else {
		var more bool
		if a.Network, options, more = strings.Cut(item, ":"); more && options == "" {
			return a, fmt.Errorf("%q names no option behind its ':'", clip(item))
		}
	}
	if options != "" {
		fields, err := csv.NewReader(strings.NewReader(options)).Read()
		if err != nil {
			return a, fmt.Errorf("%q is not a list of KEY=VALUE with commas between", clip(options))
		}
		for _, field := range fields {
			if err := a.option(field); err != nil {
				return a, err
			}
		}
	}
	if a.Network == bridgeWord {
		a.Network = network.Default
	}
	return a, network.CheckName(a.Network)
}

// option is one of a network's.
func (a *attachment) option(field string) error {
	key, value, given := strings.Cut(strings.TrimSpace(field), "=")
	if !given || value == "" {
		return fmt.Errorf("%q is not KEY=VALUE", clip(field))
	}
	switch strings.ToLower(key) {
	case "name":
		if a.Network != "" {
			return fmt.Errorf("%q names a network, and %q has been named", clip(field), clip(a.Network))
		}
		a.Network = value
	case "alias":
		if err := checkHost(value); err != nil {
			return err
		}
		switch {
		case slices.Contains(a.Aliases, value):
		case len(a.Aliases) == maxAliases:
			return fmt.Errorf("a container may have %d aliases on a network", maxAliases)
		default:
			a.Aliases = append(a.Aliases, value)
		}
	case "ip":
		return a.take(&a.Addr, value, netip.Addr.Is4, "an IPv4 address")
	case "ip6":
		return a.take(&a.Addr6, value, netip.Addr.Is6, "an IPv6 address")
	case "mac-address":
		mac, err := network.ParseMAC(value)
		if err != nil {
			return err
		}
		if a.MAC != "" {
			return errors.New("it has two MAC addresses on one network")
		}
		a.MAC = mac
	case "driver-opt", "link-local-ip", "gw-priority":
		return fmt.Errorf("hull's networks have no %s; there are name, alias, ip, ip6 and mac-address", key)
	default:
		return fmt.Errorf("there is no option %q of a network; there are name, alias, ip, ip6 and mac-address", clip(key))
	}
	return nil
}

// take reads an address that a container wants for itself.
func (a *attachment) take(into *netip.Addr, value string, family func(netip.Addr) bool, what string) error {
	addr, err := netip.ParseAddr(value)
	switch {
	case err != nil, !family(addr), addr.Is4In6(), addr.Zone() != "":
		return fmt.Errorf("%q is not %s", clip(value), what)
	case into.IsValid():
		return fmt.Errorf("it has two of %s on one network", what)
	case !addr.IsGlobalUnicast(): // neither loopback, link-local, multicast nor broadcast
		return fmt.Errorf("a container cannot have %s for its own", addr)
	}
	*into = addr
	return nil
}

// checkHost answers why a text cannot be the name of a host in a container's network.
func checkHost(name string) error {
	ok := len(name) <= 253 && strings.Trim(name, "0123456789.") != "" // else it could be taken for an address
	for label := range strings.SplitSeq(name, ".") {
		ok = ok && label != "" && len(label) <= 63 && label[0] != '-' && label[len(label)-1] != '-'
		for i := 0; ok && i < len(label); i++ {
			c := label[i]
			ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
		}
	}
	if !ok {
		return fmt.Errorf("%q is not the name of a host: letters, digits, '-' and '_' make one, in parts of at most 63 with '.' between", clip(name))
	}
	return nil
}

// parseSubnets reads at most one subnet of each family.
func parseSubnets(value string) ([]netip.Prefix, error) {
	items, err := parseList(value)
	if err != nil {
		return nil, err
	}
	var subnets []netip.Prefix
	for _, item := range items {
		s, err := netip.ParsePrefix(strings.TrimSpace(item))
		switch {
		case err != nil, s.Addr().Is4In6():
			return nil, fmt.Errorf("%q is not a subnet, as 10.89.0.0/24 or fd00:89::/64", clip(item))
		case s != s.Masked():
			return nil, fmt.Errorf("%s has bits set that are not the network's; %s is the subnet", s, s.Masked())
		case slices.ContainsFunc(subnets, func(o netip.Prefix) bool { return o.Addr().Is4() == s.Addr().Is4() }):
			return nil, errors.New("a network has one subnet for IPv4 and one for IPv6")
		}
		subnets = append(subnets, s)
	}
	if len(subnets) == 0 {
		return nil, errors.New("it names none")
	}
	return subnets, nil
}

// onHost tells whether a container is on the host's network, which is root's to give.
func onHost(v any) bool {
	items, _ := v.([]string)
	return len(items) == 1 && items[0] == hostWord
}
