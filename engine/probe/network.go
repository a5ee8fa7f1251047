package probe

import (
	"errors"
	"fmt"
	"os"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"hull/engine/child"
)

// networks tries what networks of containers are made of, in a network of its own. None of it is needed for containers
// with the network none or host.
func (p *prober) networks() []Feature {
	names := []Feature{
		{Name: "bridges", Kernel: "2.6.12"},
		{Name: "pairs of interfaces", Kernel: "2.6.24"},
		{Name: "translation of addresses by nftables", Kernel: "5.2"},
		{Name: "nftables on bridges", Kernel: "3.14"},
	}
	stub, err := p.spawner.Spawn(child.Options{Namespaces: unix.CLONE_NEWUSER | unix.CLONE_NEWNET})
	if err != nil {
		err = p.end(stub, err)
		for i := range names {
			names[i].Err = err
		}
		return names
	}
	errs := inNetwork(fmt.Sprintf("/proc/%d/ns/net", stub.PID))
	err = p.end(stub, nil)
	for i := range names {
		names[i].Err = errors.Join(errs[i], err)
		if names[i].Err != nil {
			names[i].Err = fmt.Errorf("containers have no networks of their own; none and host work: %w", names[i].Err)
		}
	}
	return names
}

// inNetwork makes one of each in a network namespace, which goes with the process in it.
func inNetwork(path string) (errs [4]error) {
	all := func(err error) [4]error { return [4]error{err, err, err, err} }
	f, err := os.Open(path)
	if err != nil {
		return all(err)
	}
	defer f.Close()
	links, err := netlink.NewHandleAt(netns.NsHandle(f.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return all(err)
	}
	defer links.Close()
	errs[0] = links.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "hull-br"}})
	errs[1] = links.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "hull-a"}, PeerName: "hull-b"})
	errs[2] = rules(int(f.Fd()), &nftables.Table{Name: "hull", Family: nftables.TableFamilyINet}, &nftables.Chain{
		Name: "nat", Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	}, &expr.Masq{})
	errs[3] = rules(int(f.Fd()), &nftables.Table{Name: "hull", Family: nftables.TableFamilyBridge}, &nftables.Chain{
		Name: "ports", Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter,
	}, &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop})
	return errs
}

// rules puts one rule into a chain of a table.
func rules(ns int, table *nftables.Table, chain *nftables.Chain, rule ...expr.Any) error {
	c, err := nftables.New(nftables.WithNetNSFd(ns))
	if err != nil {
		return err
	}
	chain.Table = c.AddTable(table)
	c.AddRule(&nftables.Rule{Table: chain.Table, Chain: c.AddChain(chain), Exprs: rule})
	return c.Flush()
}
