package network

import (
	"net/netip"
	"time"
)

// Default is the network of a container that names none. It is there from the first [Open] on, and cannot be removed.
const Default = "default"

// Network is one moment of a network. It never changes.
type Network struct {
	Name     string
	ID       string // 64 hexadecimal digits
	Bridge   string // the interface on the host
	Subnet   netip.Prefix
	Gateway  netip.Addr   // the bridge's address
	Subnet6  netip.Prefix // not valid where the host has no IPv6
	Gateway6 netip.Addr
	Created  time.Time
	UID, GID uint32 // whose it is
}

// New is what a network is to be. Subnets that are not given are chosen such that the host routes nothing there.
type New struct {
	Name     string
	Subnet   netip.Prefix
	Subnet6  netip.Prefix
	UID, GID uint32
}

// Lease is who has an address.
type Lease struct {
	Holder   string // whatever was given to [Networks.Lease]: a container's ID
	Endpoint Endpoint
}

// Endpoint is a place on a network. All its fields together are what a container's record keeps.
type Endpoint struct {
	Network string     `json:"network"`
	Link    string     `json:"link"` // the host's end
	Name    string     `json:"name"` // in the namespace: eth0 …
	MAC     string     `json:"mac"`  // 02:…
	Addr    netip.Addr `json:"addr"`
	Addr6   netip.Addr `json:"addr6,omitzero"` // not valid where the network has no IPv6
}

// Port is what somebody wants published.
type Port struct {
	HostIP      netip.Addr // 127.0.0.1, ::1, 0.0.0.0, :: or one of the host's
	HostPort    uint16     // 0 is any free one
	HostPortEnd uint16     // if not 0, any free one from HostPort to it
	Port        uint16     // the container's
	Proto       string     // tcp or udp
}

// Bound is a port that is published.
type Bound struct {
	HostIP   netip.Addr `json:"host_ip"`
	HostPort uint16     `json:"host_port"`
	Port     uint16     `json:"port"`
	Proto    string     `json:"proto"`
}

// Live is what a holder has, by its record.
type Live struct {
	Endpoints []Endpoint
	Running   bool    // its links are plugged, and its ports to be published
	Ports     []Bound // to the first of the endpoints
}
