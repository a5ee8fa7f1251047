package engine

import (
	"cmp"
	"slices"
	"strings"

	"hull/engine/network"
)

// A container's ports on the host, from the start of a run to its end.

// publishPorts takes the host's ports. Who connects before the command listens is refused, as by a server that starts.
func (l *launching) publishPorts() error {
	s := l.s
	ports := s.set.published()
	if s.set.flag("publish_all") {
		ports = append(ports, unpublished(slices.Concat(s.set.list("expose"), l.image.Ports), ports)...)
	}
	if len(ports) == 0 || len(l.note.Endpoints) == 0 {
		return nil
	}
	bound, err := s.e.links.Publish(s.e.ctx, s.id, l.note.Endpoints[0], ports)
	if err != nil {
		return s.mark("start", err)
	}
	l.note.Ports = bound
	l.onFailure(func() { s.unpublish() })
	s.e.crash(startPublished)
	return nil
}

// unpublished are the ports that the setting expose and an image name, each to be published on any free one of 127.0.0.1, but for
// those that are published already. Of where on the host an image says nothing, whatever it writes there.
func unpublished(exposed []string, besides []network.Port) []network.Port {
	return slices.DeleteFunc(ExposedPorts(exposed), func(p network.Port) bool {
		return slices.ContainsFunc(besides, func(o network.Port) bool { return o.Port == p.Port && o.Proto == p.Proto })
	})
}

// unpublish gives the ports back.
func (s *supervisor) unpublish() {
	if err := s.e.links.Unpublish(s.e.ctx, s.id); err != nil && s.e.ctx.Err() == nil {
		s.e.o.Logger.Warn("ports of a container stay published", "container", s.id, "op", "unpublish", "err", err)
	}
}

// ExposedPorts reads what an image says of its ports (EXPOSE), as "80/tcp", which may be anything.
func ExposedPorts(exposed []string) []network.Port {
	var ports []network.Port
	for _, text := range exposed {
		number, proto, given := strings.Cut(text, "/")
		if proto = strings.ToLower(proto); !given {
			proto = "tcp"
		}
		first, last, err := portRange(number, 1)
		if err != nil || proto != "tcp" && proto != "udp" {
			continue
		}
		for p := uint32(first); p <= uint32(last) && len(ports) < maxPorts; p++ {
			ports = append(ports, network.Port{HostIP: localhost(), Port: uint16(p), Proto: proto})
		}
	}
	slices.SortFunc(ports, func(a, b network.Port) int { return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Proto, b.Proto)) })
	return slices.Compact(ports)
}
