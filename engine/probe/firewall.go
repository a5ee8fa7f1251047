package probe

import (
	"bytes"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// firewallFeature is not the kernel's to have: nothing is missing, and containers reach nobody all the same.
const firewallFeature = "a firewall that lets containers' packets through"

// firewall tells whether this machine's firewall drops what is forwarded, or what comes to the machine itself, unless a rule
// accepts it, and has no rule about hull's bridges. Docker turns the first on. One of the old iptables, which is not of
// nftables, is not seen.
func firewall(options ...nftables.ConnOption) error {
	c, err := nftables.New(options...)
	if err != nil {
		return nil //nolint:nilerr // there is no firewall of nftables; that there can be none is told by the other features
	}
	chains, err := c.ListChains()
	if err != nil {
		return nil //nolint:nilerr // likewise
	}
	for _, ch := range chains {
		if ch.Hooknum == nil || ch.Policy == nil || *ch.Policy != nftables.ChainPolicyDrop || ch.Table.Family == nftables.TableFamilyBridge {
			continue
		}
		where, what := "", ""
		switch *ch.Hooknum {
		case *nftables.ChainHookForward:
			where, what = "accept there what comes from and what goes to the interfaces hull*", "containers reach nobody but each other and this machine, and are not reached by others"
		case *nftables.ChainHookInput:
			where, what = "accept there what comes from the interfaces hull*", "containers find no names"
		}
		if where == "" || knowsHull(c, ch) {
			continue
		}
		return fmt.Errorf("the chain %s of the table %s drops what no rule accepts, and none is about hull: %s, or %s", ch.Name, ch.Table.Name, where, what)
	}
	return nil
}

// knowsHull tells whether a rule of a chain asks for an interface of hull's.
func knowsHull(c *nftables.Conn, ch *nftables.Chain) bool {
	rules, err := c.GetRules(ch.Table, ch)
	if err != nil {
		return false
	}
	for _, r := range rules {
		name := false
		for _, e := range r.Exprs {
			switch e := e.(type) {
			case *expr.Meta:
				name = e.Key == expr.MetaKeyIIFNAME || e.Key == expr.MetaKeyOIFNAME
			case *expr.Cmp:
				if name && bytes.HasPrefix(e.Data, []byte("hull")) {
					return true
				}
			}
		}
	}
	return false
}
