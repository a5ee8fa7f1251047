package fs

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Port is a port of a container: one that is published, or that its image names and nobody has published.
type Port struct {
	Host  netip.AddrPort // where on the host; not valid of one that is not published
	Port  uint16
	Proto string // tcp or udp
}

func (p Port) String() string { return strconv.Itoa(int(p.Port)) + "/" + p.Proto }

// portLines are docker port's: what is published, a line each.
func portLines(c *Container) string {
	var b strings.Builder
	for _, p := range sorted(c.Ports) {
		if p.Host.IsValid() {
			fmt.Fprintf(&b, "%s -> %s\n", p, p.Host)
		}
	}
	return b.String()
}

// sorted is docker's order.
func sorted(ports []Port) []Port {
	return slices.SortedFunc(slices.Values(ports), func(a, b Port) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), a.Host.Compare(b.Host), cmp.Compare(a.Proto, b.Proto))
	})
}

// portColumn is docker's PORTS: neighbours that are published as themselves, or not at all, are shown as a range.
func portColumn(ports []Port) string {
	if len(ports) == 0 {
		return ""
	}
	type run struct {
		at          netip.Addr
		proto       string
		first, last uint16
	}
	var runs []*run
	var moved []string // published as another number
	for _, p := range sorted(ports) {
		at := p.Host.Addr()
		if at.IsValid() && p.Host.Port() != p.Port {
			moved = append(moved, fmt.Sprintf("%s->%s", p.Host, p))
			continue
		}
		i := slices.IndexFunc(runs, func(r *run) bool { return r.at == at && r.proto == p.Proto && r.last+1 == p.Port })
		if i >= 0 {
			runs[i].last = p.Port
		} else {
			runs = append(runs, &run{at, p.Proto, p.Port, p.Port})
		}
	}
	var shown []string
	for _, r := range runs {
		text := strconv.Itoa(int(r.first))
		if r.first != r.last {
			text += "-" + strconv.Itoa(int(r.last))
		}
		if r.at.IsValid() {
			text = net.JoinHostPort(r.at.String(), text) + "->" + text
		}
		shown = append(shown, text+"/"+r.proto)
	}
	return strings.Join(append(shown, moved...), ", ")
}

// shownPorts are those in the tables: docker's has them of what runs only.
func (c *Container) shownPorts() []Port {
	if !c.Running() {
		return nil
	}
	return c.Ports
}
