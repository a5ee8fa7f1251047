package engine

import (
	"fmt"
	"strings"

	"hull/engine/network"
)

// Rules among the settings of a container's network, and between them and the container's owner.

// agreeOnNetwork refuses settings of the network that are at odds with each other.
func (v values) agreeOnNetwork() error {
	n := v.networking()
	atOdds := func(format string, args ...any) error { return fail("set", "", Invalid, format, args...) }
	for _, name := range []string{"ports", "publish_all"} {
		if n.Mode != bridged && (len(v.list(name)) > 0 || v.flag(name)) {
			return atOdds("%s and the network %s exclude each other: ports are published of a container that has an address of its own; set both at once in json", name, n.word())
		}
	}
	if n.Mode == hosted || n.Mode == joined {
		for _, item := range v.list("sysctls") {
			if strings.HasPrefix(item, "net.") {
				name, _, _ := strings.Cut(item, "=")
				return atOdds("the sysctl %s and the network %s exclude each other: it is not the container's own", name, n.word())
			}
		}
	}
	if n.Mode == joined {
		for _, name := range []string{"hostname", "dns", "extra_hosts"} {
			if v[name] != nil {
				return atOdds("%s and the network %s exclude each other: both containers have the same; set it for the other one", name, n.word())
			}
		}
	}
	for _, a := range v.resolving().Servers {
		if n.Mode == bridged && a.IsLoopback() {
			return atOdds("the server %s in dns cannot be asked: hull asks on the container's behalf, and there that address is the host's own; without a setting the host's servers are asked", a)
		}
	}
	return nil
}

// word is the mode as the setting has it.
func (n networking) word() string {
	if n.Mode == joined {
		return containerWord + ":" + n.Target
	}
	return string(n.Mode)
}

// mayNetwork tells why a container of an owner may not have the network and the ports that settings give it: it acts with
// its owner's rights.
func (e *Engine) mayNetwork(owner Owner, set values) error {
	if owner.Root() {
		return nil
	}
	if takesPrivileged(set.list("ports")) {
		return fail("set", "", NeedsRoot, "the ports of the host below %d are root's to publish, and this is user %d", privilegedPorts, owner.UID)
	}
	n := set.networking()
	for _, a := range n.Attach {
		if x, ok := e.FindNetwork(a.Network); ok && a.Network != network.Default && x.UID != owner.UID {
			return fail("set", "", Denied, "the network %s belongs to user %d, and the container acts with the rights of user %d; chown gives it to somebody", a.Network, x.UID, owner.UID)
		}
	}
	if n.Mode != joined {
		return nil
	}
	if other, ok := e.Find(n.Target); ok && other.UID != owner.UID {
		return fail("set", "", NeedsRoot,
			"the network of the container %s, which is user %d's, is not for user %d to have: only root joins the containers of others", n.Target, other.UID, owner.UID)
	}
	return nil
}

// joinsAnother tells whether a container is in the network of another one, with all that this one has there.
func joinsAnother(set values) bool { return set.networking().Mode == joined }

// WithEndpoint writes a value of the setting network in which the first network has options more, as docker's flags --ip, --ip6,
// --mac-address and --network-alias give them to it.
func WithEndpoint(value string, options ...string) (string, error) {
	row, _ := FindSetting("network")
	v, err := row.Parse(value)
	if err != nil {
		return "", err
	}
	items, _ := v.([]string)
	n := values{"network": items}.networking()
	if n.Mode != bridged {
		return "", row.invalid(fmt.Errorf("with the network %s a container has no address and no alias of its own", n.word()))
	}
	for _, o := range options {
		if err := n.Attach[0].option(o); err != nil {
			return "", row.invalid(err)
		}
	}
	lines := make([]string, len(n.Attach))
	for i, a := range n.Attach {
		lines[i] = a.String()
	}
	return formatList(lines), nil
}
