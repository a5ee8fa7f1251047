// Package resolver answers the questions of containers for names: of each other on the networks they share, and of the
// rest of the world by asking the host's servers.
//
// One [Resolver] serves all networks. It listens on the addresses that the host has on each of them ([Resolver.Listen]),
// UDP and TCP, on a port of its own: port 53 may be taken by a server of the host's, so whoever makes the network's rules
// leads port 53 of the gateway there. It knows nothing of containers but what [Resolver.Put] says: their names, addresses
// and networks, and whose they are.
//
// # Who is answered what
//
// A question comes from an address, on a network. If no container has that address on that network, it is refused: the
// host, other machines and a container of another network get nothing, and no answer is larger than such a question.
//
//   - A container's name, the first 12 digits of its ID and its aliases are found by those which share a network with it,
//     with the addresses on the networks they share. Each is also found as name.network, which is what the reverse of an
//     address gives. For other types than A and AAAA they have no data.
//   - Where several containers have a name, the asker's own owner's count, if there are any; then root's; then others'.
//     So nobody takes over the name of somebody else's database by being on a network with it. Names with a dot are found
//     only if they are of the asker's owner or of root: otherwise a container called example.com would be that for all.
//   - Names of one label, addresses of hull's networks and the names that are never anybody's (localhost, invalid, onion)
//     do not leave the machine. (The types by which signatures are checked do: the top-level domains have one label.)
//   - The rest is forwarded to the host's servers, or to the container's own.
//
// Answers about containers have a time to live of 0: another container may have that name in a moment.
//
// # Forwarding
//
// The host's servers are those of its resolv.conf, which is looked at whenever they are needed, as the C library does:
// it costs a stat, needs no watching, and misses no way of replacing the file. They are asked from the host, so that
// 127.0.0.53 means what it says. A container's own servers are also asked from the host, but never on loopback, where
// services trust the host, nor on a network which the container is not on.
//
// The next server is asked when one has not answered for a second, and the first answer counts; a server that was slow
// or dead is asked last for a while. Clients wait five seconds, as a rule, so that a dead server must not use them up. One
// question that many ask at once is asked once. Answers are kept as long as they allow, within bounds; those of a server
// on loopback only seconds, since it keeps them itself, and can change its mind (a VPN came up) without our knowing.
//
// # The daemon's death
//
// The sockets may outlive this process (Lender): what is asked while no daemon lives waits in them for the next one.
//
// # Hostile traffic
//
// Containers are not trusted: each may ask so many questions a second, have so many under way and hold so many connections
// open; what goes beyond is dropped, and costs nobody else anything. Servers are not trusted either: an answer counts if it comes
// from the server asked, with the number and the question of that moment; sizes are bounded.
//
// # Locks
//
// Directory.mu, cache.mu, forwarder.mu, hostConf.mu and allowance.mu are leaves: nothing is called, and no system call
// made, while one is held, but for the reading of resolv.conf under hostConf.mu.
package resolver
