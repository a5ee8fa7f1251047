package engine

import (
	"fmt"
	"net/netip"
	"os"
	"strings"

	"hull/engine/internal/sys"
	"hull/engine/network"
	"hull/engine/network/resolver"
)

// names answers containers' questions for names; *resolver.Resolver is the real one.
type names interface {
	Put(h resolver.Host)
	Drop(id string)
	Listen(networks []resolver.Network) (uint16, error)
	HostConf() resolver.Conf
	Close()
}

// tellNames makes the container of a run known by its names, or by others than before.
func (s *supervisor) tellNames() { s.tellNamesOf(&s.st.Run) }

func (s *supervisor) tellNamesOf(note *runNote) {
	if len(note.Endpoints) == 0 {
		return
	}
	set := settingsOf(note)
	h := resolver.Host{ID: s.id, Name: s.rec.Name, Owner: s.rec.Owner.UID}
	for _, a := range set.resolving().Servers {
		h.Servers = append(h.Servers, netip.AddrPortFrom(a, dnsPort))
	}
	attach := set.networking().Attach
	for _, p := range note.Endpoints {
		place := resolver.Attachment{Network: p.Network, Addrs: addresses(p)}
		for _, a := range attach {
			if a.Network == p.Network {
				place.Aliases = a.Aliases
			}
		}
		h.Attachments = append(h.Attachments, place)
	}
	s.e.names.Put(h)
}

const dnsPort = 53

// settingsOf are the settings that a run began with.
func settingsOf(note *runNote) values {
	set, err := parseSettings(note.Settings)
	if err != nil {
		return values{} // of a later release
	}
	return set
}

// listen has names answered on the gateways of all networks there are.
func (e *Engine) listen() {
	var all []resolver.Network
	for _, n := range e.networks.List() {
		shown := shownNetwork(n)
		all = append(all, resolver.Network{Name: n.Name, Prefixes: shown.Subnets, Gateways: shown.Gateways})
	}
	port, err := e.names.Listen(all)
	if err != nil && e.ctx.Err() == nil {
		e.o.Logger.Warn("containers' questions for names are not answered everywhere", "op", "listen", "err", err)
	}
	if port == 0 {
		return
	}
	if err := e.networks.SetResolver(e.ctx, port); err != nil && e.ctx.Err() == nil {
		e.o.Logger.Warn("containers' questions for names do not arrive", "op", "listen", "err", err)
	}
}

// etc is what a run has of its own in /etc.
func (n *runNote) etc(e *Engine) map[string][]byte {
	if n.Etc != nil { // another's
		return n.Etc
	}
	hostname := ""
	if n.Process != nil {
		hostname = n.Process.Hostname
	}
	set := settingsOf(n)
	w := etcWriter{hostname: hostname, mode: set.networking().Mode, places: n.Endpoints, hosts: set.knownHosts(), dns: set.resolving()}
	if len(n.Endpoints) > 0 {
		if x, ok := e.links.Find(n.Endpoints[0].Network); ok {
			w.gateway = x.Gateway
		}
	}
	if w.mode != unplugged {
		w.host = e.names.HostConf()
	}
	return map[string][]byte{
		"/etc/hostname":    []byte(hostname + "\n"),
		"/etc/hosts":       w.hostsFile(),
		"/etc/resolv.conf": w.resolvConf(),
	}
}

// etcWriter writes those files.
type etcWriter struct {
	hostname string
	mode     networkMode
	places   []network.Endpoint
	gateway  netip.Addr // of the first
	hosts    []knownHost
	dns      resolving
	host     resolver.Conf
}

// maxHostsFile bounds what is read of the host's.
const maxHostsFile = 1 << 20

// hostsFile is as Docker's: on the host's network the host's own.
func (w etcWriter) hostsFile() []byte {
	var b strings.Builder
	var own []byte
	if w.mode == hosted {
		own, _ = sys.ReadRegular("/etc/hosts", maxHostsFile) // without one there is what every machine has
	}
	if b.Write(own); len(own) > 0 && own[len(own)-1] != '\n' {
		b.WriteByte('\n')
	}
	if len(own) == 0 {
		b.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n" +
			"fe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n")
	}
	for _, p := range w.places {
		for _, a := range addresses(p) {
			fmt.Fprintf(&b, "%s\t%s\n", a, w.hostname)
		}
	}
	if len(w.places) == 0 && w.mode != hosted {
		fmt.Fprintf(&b, "127.0.1.1\t%s\n", w.hostname)
	}
	for _, h := range w.hosts {
		addr := h.Addr
		if h.Gateway {
			if addr = w.gateway; !addr.IsValid() {
				addr = localhost()
			}
		}
		fmt.Fprintf(&b, "%s\t%s\n", addr, h.Name)
	}
	return []byte(b.String())
}

// resolvConf names who is asked for names: the gateway, which asks the others on the container's behalf; on the host's
// network those that the host asks.
func (w etcWriter) resolvConf() []byte {
	var b strings.Builder
	servers := w.dns.Servers
	switch {
	case w.mode == bridged && w.gateway.IsValid():
		servers = []netip.Addr{w.gateway}
	case len(servers) == 0:
		servers = w.host.Servers
	}
	for _, a := range servers {
		fmt.Fprintf(&b, "nameserver %s\n", a)
	}
	search, options := w.dns.Search, w.dns.Options
	if search == nil {
		search = w.host.Search
	}
	if len(search) > 0 && search[0] != "" {
		fmt.Fprintf(&b, "search %s\n", strings.Join(search, " "))
	}
	if options == nil {
		options = w.host.Options
	}
	if w.mode == bridged && !setsDots(options) { // a name of one label is a container's, whatever domains there are
		options = append([]string{"ndots:0"}, options...)
	}
	if len(options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(options, " "))
	}
	if b.Len() == 0 {
		return []byte("# this container has no network\n")
	}
	return []byte(b.String())
}

func setsDots(options []string) bool {
	for _, o := range options {
		if strings.HasPrefix(o, "ndots:") {
			return true
		}
	}
	return false
}

// hostsName is the host's own name, for a container on its network.
func hostsName() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}
