package engine

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// resolving is what the setting dns says.
type resolving struct {
	Servers []netip.Addr // asked in the place of the host's
	Search  []string     // domains, in the place of the host's; an empty string alone: none
	Options []string     // as resolv.conf(5) has them
}

const (
	maxServers = 16
	maxSearch  = 32
	maxHosts   = 1024
)

// resolving reads the setting, which has been checked.
func (v values) resolving() resolving {
	r, err := readResolving(v.list("dns"))
	if err != nil {
		return resolving{}
	}
	return r
}

// parseDNS takes the address of a server a line, "search DOMAIN…" and "options OPTION…"; the lines of a resolv.conf are
// good, too.
func parseDNS(value string) (any, error) {
	items, err := parseList(value)
	if err != nil {
		return nil, err
	}
	r, err := readResolving(items)
	if err != nil {
		return nil, err
	}
	items = items[:0]
	for _, a := range r.Servers {
		items = append(items, a.String())
	}
	for _, d := range r.Search {
		items = append(items, "search "+cmp.Or(d, "."))
	}
	for _, o := range r.Options {
		items = append(items, "options "+o)
	}
	return items, nil
}

func readResolving(items []string) (resolving, error) {
	var r resolving
	for _, item := range items {
		words := strings.Fields(item)
		if len(words) == 0 {
			continue
		}
		var err error
		switch rest := words[1:]; {
		case words[0] == "search" || words[0] == "options" || words[0] == "nameserver":
			if len(rest) == 0 {
				return r, fmt.Errorf("%q has nothing behind it", clip(item))
			}
			err = r.add(words[0], rest)
		case len(rest) > 0:
			return r, fmt.Errorf("%q is not a server's address, search DOMAIN or options OPTION", clip(item))
		default:
			err = r.add("nameserver", words)
		}
		if err != nil {
			return r, err
		}
	}
	switch {
	case len(r.Servers) > maxServers:
		return r, fmt.Errorf("a container may have %d servers for names", maxServers)
	case len(r.Search) > maxSearch:
		return r, fmt.Errorf("a container may have %d domains to search", maxSearch)
	case slices.Contains(r.Search, "") && len(r.Search) > 1:
		return r, errors.New("search . is no domain at all, and there are others")
	}
	return r, nil
}

// add takes the words of one line.
func (r *resolving) add(kind string, words []string) error {
	for _, w := range words {
		switch kind {
		case "nameserver":
			a, err := netip.ParseAddr(w)
			if err != nil || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
				return fmt.Errorf("%q is not the address of a server for names", clip(w))
			}
			r.Servers = addOnce(r.Servers, a.Unmap())
		case "search":
			domain := strings.TrimSuffix(w, ".")
			if domain != "" {
				if err := checkHost(domain); err != nil {
					return err
				}
			}
			r.Search = addOnce(r.Search, domain)
		case "options":
			if err := checkResolverOption(w); err != nil {
				return err
			}
			r.Options = addOnce(r.Options, w)
		}
	}
	return nil
}

func addOnce[T comparable](list []T, x T) []T {
	if slices.Contains(list, x) {
		return list
	}
	return append(list, x)
}

// checkResolverOption checks the form of one: ndots:2, rotate, single-request-reopen.
func checkResolverOption(s string) error {
	name, number, given := strings.Cut(s, ":")
	if name == "" || len(s) > 64 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" ||
		given && (number == "" || strings.Trim(number, "0123456789") != "") {
		return fmt.Errorf("%q is not an option as resolv.conf(5) has them: ndots:2, timeout:1, rotate …", clip(s))
	}
	return nil
}

// knownHost is an item of the setting extra_hosts.
type knownHost struct {
	Name    string
	Addr    netip.Addr
	Gateway bool // the address by which the container reaches the host, whatever that is
}

// hostGateway is Docker's word for it.
const hostGateway = "host-gateway"

// knownHosts reads the setting, which has been checked.
func (v values) knownHosts() []knownHost {
	var hosts []knownHost
	for _, item := range v.list("extra_hosts") {
		if h, err := parseKnownHost(item); err == nil {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// parseExtraHosts takes NAME:ADDRESS, or NAME=ADDRESS, as docker's --add-host.
func parseExtraHosts(value string) (any, error) {
	items, err := parseList(value)
	if err != nil {
		return nil, err
	}
	if len(items) > maxHosts {
		return nil, fmt.Errorf("%d hosts may be named, and these are %d", maxHosts, len(items))
	}
	for i, item := range items {
		h, err := parseKnownHost(item)
		if err != nil {
			return nil, err
		}
		items[i] = h.Name + ":" + hostGateway
		if !h.Gateway {
			items[i] = h.Name + ":" + h.Addr.String()
		}
	}
	return items, nil
}

func parseKnownHost(item string) (knownHost, error) {
	i := strings.IndexAny(item, ":=")
	if i < 0 {
		return knownHost{}, fmt.Errorf("%q is not NAME:ADDRESS", clip(item))
	}
	h := knownHost{Name: strings.TrimSpace(item[:i])}
	text := strings.TrimSpace(item[i+1:])
	if err := checkHost(h.Name); err != nil {
		return h, err
	}
	if text == hostGateway {
		h.Gateway = true
		return h, nil
	}
	if inner, ok := strings.CutPrefix(text, "["); ok && strings.HasSuffix(inner, "]") {
		text = strings.TrimSuffix(inner, "]")
	}
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return h, fmt.Errorf("%q is not an address, nor %s", clip(text), hostGateway)
	}
	h.Addr = a.Unmap()
	return h, nil
}
