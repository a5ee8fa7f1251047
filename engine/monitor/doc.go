// Package monitor is the small process that keeps containers alive, and the connections to it.
//
// Three processes take part:
//
//	hull mount (the front) ──Control──► monitor ──Client──► daemon
//	                                       ├─ containers' first processes
//	                                       └─ sessions' processes
//
// The monitor is the parent of all the others: the daemon clones containers and sessions with CLONE_PARENT. It starts
// nothing but the daemon, which may die at any time; the monitor then ends what that daemon had cloned and not yet
// adopted, and starts another within two seconds. So a container lives from Adopt to its own end, whatever becomes of
// daemons, and has from the monitor:
//
//   - its output moved to its log (package logs), by splice, never through the monitor's memory;
//   - its exit reaped, what is left in its pipes drained, and the exit written to exit.json, before anyone is told; a
//     moment later it is durable;
//   - its exit told: to the daemon on Client.Exits, to the next daemon by List if none lives, and to status sockets;
//   - its descriptors kept for the next daemon, and with them sockets of the daemon's that are lent (lend.go);
//   - what attached clients type brought to its terminal, whose master nobody else gets;
//   - its sessions hung up when those who wait for them go, as a terminal does that goes away.
//
// The monitor may be killed too. Each daemon keeps duplicates of all that its monitor holds (type keep). When the
// connection is Lost, it starts another monitor from them (Client.Succeed), and is killed: the new monitor starts a daemon
// of its own. Between these two daemons a third process keeps the same (Interim), so that the new monitor may be killed at
// any time as well. By the same form of all its state (type handover) a monitor executes another program in its place, for an
// upgrade, with its number, its children and its descriptors. What a dead monitor was the parent of is an orphan
// (orphan.go): init waits for it, and its end is learned from its pidfd. If daemon and monitor die at once, the next
// daemon finds what still runs by its records and has it adopted Again (engine/takeover.go); containers hold their own
// output pipes open for reading, so that nobody is killed by SIGPIPE meanwhile. What is lost then is terminals, inputs and
// sessions.
//
// On disk the monitor writes exit.json, the segments of log and index in a container's directory, and nothing else; all else is the
// daemon's. It decides nothing: how a mount ends is the daemon's work too (StopRequest), as long as there is one.
//
// Inside, one loop (type loop) owns all state and never waits for anything but events. What might take long on a disk
// that is slow, the fsync of exit records, is done by a goroutine.
package monitor
