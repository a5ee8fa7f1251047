package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"hull/engine/internal/naming"
	"hull/engine/internal/sys"
)

// record is <name>.json.
type record struct {
	Version int          `json:"version"`
	Name    string       `json:"name"`
	ID      string       `json:"id"`
	Bridge  string       `json:"bridge"`
	Subnet  netip.Prefix `json:"subnet"`
	Subnet6 netip.Prefix `json:"subnet6,omitzero"`
	UID     uint32       `json:"uid"`
	GID     uint32       `json:"gid"`
	Created time.Time    `json:"created"`
}

const (
	recordSuffix  = ".json"
	recordVersion = 1
	maxRecord     = 1 << 16 // bytes
	maxName       = 64
)

// CheckName tells why a network cannot have a name.
func CheckName(name string) error {
	switch {
	case name == "" || len(name) > maxName:
		return fail("create", name, Invalid, "the name of a network has 1 to %d characters", maxName)
	case !naming.Plain(name):
		return fail("create", name, Invalid, "a network cannot be called %q: a name begins with a letter or digit and goes on with those, _, . and -", name)
	case name == "host" || name == "none" || name == "container":
		return fail("create", name, Invalid, "a network cannot be called %s: as a container's network, that word means something else", name)
	}
	return nil
}

// readAll reads the records. One that cannot be read is kept out of the way of everything, and told of.
func (n *Networks) readAll() error {
	if err := os.MkdirAll(n.o.Dir, 0o700); err != nil {
		return failed("open", "", err, "the directory for networks cannot be made")
	}
	entries, err := os.ReadDir(n.o.Dir)
	if err != nil {
		return failed("open", "", err, "the networks cannot be listed")
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), recordSuffix)
		if !ok || CheckName(name) != nil {
			continue // a write that a crash cut short, or nothing of ours
		}
		v, err := n.read(name)
		if err != nil {
			n.o.Logger.Error("a network's record cannot be read; containers on it cannot start", "network", name, "op", "open", "err", err)
			continue
		}
		n.networks[name] = newHeld(v)
	}
	return nil
}

func (n *Networks) read(name string) (Network, error) {
	data, err := sys.ReadRegular(filepath.Join(n.o.Dir, name+recordSuffix), maxRecord)
	if err != nil {
		return Network{}, err
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return Network{}, fmt.Errorf("it is not the JSON it should be: %w", err)
	}
	switch {
	case r.Version > recordVersion:
		return Network{}, fmt.Errorf("it was written by a later release of hull (version %d)", r.Version)
	case r.Name != name:
		return Network{}, errors.New("it is the record of another network")
	case len(r.ID) != 64 || checkBridge(r.Bridge) != nil:
		return Network{}, errors.New("it lacks what hull wrote")
	}
	if err := errors.Join(checkSubnet(name, r.Subnet), checkSubnet6(name, r.Subnet6)); err != nil {
		return Network{}, err
	}
	return made(Network{
		Name: name, ID: r.ID, Bridge: r.Bridge, Subnet: r.Subnet, Subnet6: r.Subnet6, UID: r.UID, GID: r.GID, Created: r.Created,
	}), nil
}

// made is a network with what follows from its subnets.
func made(v Network) Network {
	v.Gateway = v.Subnet.Addr().Next()
	v.Gateway6 = netip.Addr{}
	if v.Subnet6.IsValid() {
		v.Gateway6 = v.Subnet6.Addr().Next()
	}
	return v
}

// checkBridge tells why an interface cannot have a name: it becomes part of paths.
func checkBridge(name string) error {
	if name == "" || len(name) > 15 || strings.ContainsAny(name, "/. \t\n:") {
		return fmt.Errorf("%q is no name for a bridge", name)
	}
	return nil
}

// save writes a network's record, whole or not at all.
func (n *Networks) save(v Network) error {
	data, err := json.Marshal(record{
		Version: recordVersion, Name: v.Name, ID: v.ID, Bridge: v.Bridge, Subnet: v.Subnet, Subnet6: v.Subnet6,
		UID: v.UID, GID: v.GID, Created: v.Created,
	})
	if err != nil {
		return err
	}
	return sys.WriteFile(n.o.Dir, v.Name+recordSuffix, append(data, '\n'), true)
}

// erase removes a network's record.
func (n *Networks) erase(name string) error {
	if err := os.Remove(filepath.Join(n.o.Dir, name+recordSuffix)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return sys.SyncDir(n.o.Dir)
}
