package network

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/nftables"
)

// routerTable says that a hull of this machine, not its administrator, turned forwarding on, and keeps the host from becoming a
// router for that. It is there as long as any hull has networks up. A comment of each family in it tells which was off.
const routerTable = "hull"

// The settings that let a host forward. That of IPv6 is for all interfaces, and changes what they think of routers.
const (
	forward4 = "ipv4/ip_forward"
	forward6 = "ipv6/conf/all/forwarding"
)

// forward has the host forward packets for a network. The caller has the gate.
func (n *Networks) forward(v Network) error {
	var turn []string
	if !isOn(forward4) {
		turn = append(turn, forward4)
	}
	if v.Subnet6.IsValid() && n.v6 && !isOn(forward6) {
		turn = append(turn, forward6)
	}
	had, err := routerSets()
	if err != nil {
		return err
	}
	if n.router = had; len(turn) == 0 {
		return nil
	}
	for _, t := range turn {
		had[setOf(t)] = true
	}
	// The rules are there before there is anything to forward.
	if err := writeRouter(had); err != nil {
		return err
	}
	for _, t := range turn {
		if t == forward6 {
			if err := keepRouters(); err != nil {
				return err
			}
		}
		if err := setting(t, "1"); err != nil {
			return err
		}
	}
	return nil
}

func isOn(name string) bool {
	b, err := os.ReadFile(filepath.Join("/proc/sys/net", name))
	return err == nil && strings.TrimSpace(string(b)) != "0"
}

// keepRouters lets interfaces that learn their routes from routers go on with it: a host that forwards does not by itself.
func keepRouters() error {
	files, err := filepath.Glob("/proc/sys/net/ipv6/conf/*/accept_ra")
	if err != nil {
		return err
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err != nil || strings.TrimSpace(string(b)) != "1" {
			continue // gone, or as its administrator wants it
		}
		if err := os.WriteFile(f, []byte("2"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// setOf is the name of the set whose presence says that a setting was off.
func setOf(setting string) string {
	if setting == forward6 {
		return "forwarding6"
	}
	return "forwarding4"
}

// routerSets answers what the table says was off; nothing if it is not there. Another hull may take it away meanwhile.
func routerSets() (sets map[string]bool, err error) {
	for range 3 {
		if sets, err = readRouter(); err == nil {
			break
		}
	}
	return sets, err
}

func readRouter() (map[string]bool, error) {
	sets := map[string]bool{}
	c, err := nftables.New()
	if err != nil {
		return nil, err
	}
	tables, err := c.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return nil, err
	}
	for _, t := range tables {
		if t.Name != routerTable {
			continue
		}
		found, err := c.GetSets(t)
		if err != nil {
			return nil, err
		}
		for _, s := range found {
			sets[s.Name] = true
		}
	}
	return sets, nil
}

// writeRouter writes the table anew, with what was off.
func writeRouter(off map[string]bool) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	t := &nftables.Table{Name: routerTable, Family: nftables.TableFamilyINet}
	c.AddTable(t)
	c.DelTable(t)
	c.AddTable(t)
	for i, name := range []string{setOf(forward4), setOf(forward6)} {
		if off[name] {
			if err := c.AddSet(&nftables.Set{Table: t, ID: uint32(i) + 1, Name: name, KeyType: typePort}, nil); err != nil {
				return err
			}
		}
	}
	addChains(c, t, router(off[setOf(forward4)], off[setOf(forward6)]))
	return c.Flush()
}

// stopForwarding turns off again what a hull turned on, if no other hull of the machine has networks up.
func (n *Networks) stopForwarding() error {
	off, err := routerSets()
	if err != nil || len(off) == 0 {
		return err
	}
	c, err := nftables.New()
	if err != nil {
		return err
	}
	tables, err := c.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return err
	}
	for _, t := range tables {
		if strings.HasPrefix(t.Name, "hull-") && t.Name != n.tables.name {
			return nil
		}
	}
	for _, s := range []string{forward4, forward6} {
		if off[setOf(s)] {
			err = errors.Join(err, setting(s, "0"))
		}
	}
	if err != nil { // better rules too many than a router
		return err
	}
	n.router = nil
	c.DelTable(&nftables.Table{Name: routerTable, Family: nftables.TableFamilyINet})
	return c.Flush()
}

// restoreRouter writes the table again if somebody removed it while hull's forwarding is on. Another hull may have changed it.
// The caller has the gate.
func (n *Networks) restoreRouter() error {
	if len(n.router) == 0 {
		return nil
	}
	now, err := routerSets()
	if err != nil {
		return err
	}
	if len(now) > 0 {
		n.router = now
		return nil
	}
	return writeRouter(n.router)
}
