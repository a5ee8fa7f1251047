// Package network keeps networks: bridges with subnets of their own, the addresses on them, the links that lead from them
// into network namespaces, and the host's ports that lead to addresses. It knows containers by their IDs only, as whoever
// holds an address, and namespaces as the files that an engine gives it.
//
// # In the kernel
//
//	BRIDGE                 one a network, made when the first address on it is wanted, with the gateways' addresses
//	hv…                    one a plugged namespace and network: the host's end of a pair, a port of the bridge
//	table inet hull-KEY    routes, isolation, published ports, masquerade
//	table bridge hull-KEY  that each port sends as itself only
//	table inet hull        that hull turned forwarding on, and what may be forwarded for that; all hulls of a machine share it
//
// KEY tells the hulls of a machine apart. The rules are written once; what comes and goes are elements of their sets and
// maps, which are written in batches: whoever wants some changed gives them to one goroutine, which sends all that wait as
// one transaction.
//
// Nothing here overrides another table: a packet that a firewall of the host's drops is dropped.
//
// # Speed
//
// A packet between containers passes two pairs of links and a bridge where a bare pair is one link: that and the rules take about
// a tenth more of the processors for each byte, and less between the host and a container (BenchmarkThroughput). Where
// br_netfilter is on, as with docker, the kernel asks the machine's firewall of what goes between two ports, too: a fifth in all.
// That is the host's choice, and not gone round.
//
// # On disk
//
//	networks/<name>.json   a network; written by temporary file, fsync, rename
//
// Who has which address is not on disk: the engine has it in the containers' records, and says it again to [Networks.Reconcile].
// Neither are ports. Until Reconcile nothing of what is in the kernel is taken down.
//
// # Lives
//
// Containers outlive the daemon, and so do links, bridges and tables: [Networks.Close] leaves them all. What is the daemon's own
// and goes with it are the sockets that hold published ports, and the proxy for ports published on [::1], for which
// the kernel has no way of its own: those connections break when the daemon ends. [Networks.Clear] takes everything down.
//
// # Locks
//
// Networks.mu guards the maps, and is held over no call into the kernel that waits. Networks.gate, taken before it, is held
// while networks come, go and change in the kernel; starts on networks that are up do not take it. tables.mu, the last, guards
// what waits to be written. Under Networks.mu only Options.Title is called, which takes no lock that is held over a call in here.
package network
