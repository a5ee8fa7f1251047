// Package engine keeps containers: what they should be (settings), what they are (records and states), and the
// way from one to the other (create, start, stop, exec, remove).
//
// # Who does what
//
// The daemon runs one Engine. Below it, package launch makes processes in namespaces from a plan, and the monitor,
// another process that outlives the daemon, is those processes' parent: it moves their output into log files and
// writes how they ended. So a daemon may die at any time: containers, logs and exit codes do not notice, and the next
// Open reads the records, asks the monitor what lives, and finishes or undoes whatever was half done.
//
// # On disk
//
//	containers/<id>/record.json   identity and settings: written by temporary file, fsync, rename, fsync of the directory
//	containers/<id>/state.json    what the last run was; may be lost with the machine's power, not with the daemon
//	containers/<id>/disk/         upper and work of the overlay
//	containers/<id>/exit.json …   the monitor's: exits and logs
//	containers/.new-<id>          a creation that has not been committed
//	containers/.gone-<id>         a removal whose files are still being deleted
//	volumes/                      package volume's
//	networks/                     package network's
//
// What a start, a removal or the monitor's record of an exit writes is whole whichever process is killed, and durable a
// second later, all of it at once: none of them waits for the disk. A power failure within that second may take it.
//
// Two renames commit everything: from .new-<id> to <id> a container exists, from <id> to .gone-<id> it does not.
//
// # States and their one writer
//
// Each container has one goroutine, its supervisor, and nothing else changes the container. It takes requests from a
// queue, one at a time, and asks the transition table (state.go) what may happen next. After each change it publishes
// a *Container, an immutable snapshot; readers take that and never wait for anybody. Requests that last (stop, wait)
// do not block the supervisor: they are noted, and answered when the event they wait for arrives, so a kill during
// a stop is handled at once.
//
// Two contexts: a caller's, which only bounds how long the caller waits, and the engine's, in which accepted work goes
// on until it is done.
//
// # What can wait
//
// Who starts containers one after the other needs the whole machine for that. So what runs leave to the kernel (remains.go), the
// files of what was removed (remove.go), and the making of what later starts find ready (warm.go) wait until nothing has
// begun or ended for a moment, or for half a second if that does not come (quiet.go).
//
// # Limits
//
// Limits act on the run under way: first the kernel is asked, which may refuse, then the record is written; what was half
// done when a daemon died is made what the record says by the next. Memory that runs out is heard of while the run goes
// on only where the container has a limit of its own (oom.go); the monitor's record of the end tells of the rest.
//
// # Networks
//
// Package network has the bridges, addresses, links and ports, package resolver the names; what a container has of them is
// told to both from here (places.go, names.go). A place on a network is taken before anything is made for a run, and kept
// over runs: the record has it. What a run has, links and ports, is in its note. Those who are made beforehand
// have places of their own, which become a container's with them, unless it has one already.
//
// # Sessions
//
// What is executed in a container, and who is attached to it, is a Session, numbered from 1. The monitor has the process
// and the status socket of each, so that sessions outlive daemons, and gives the next one their labels. One whose
// waiter goes is hung up by the monitor. Ended ones stay listed for a while. Sessions are made beside the supervisor,
// which only counts them: a pause waits for those on their way in, for a process frozen there could tell nobody.
//
// # Locks
//
// Engine.mu guards closing, index.mu the names and IDs, mailbox.mu one queue, ranges.mu the id ranges, pool.mu the
// processes made beforehand, lease.mu the users of one of them, rootView.mu a container's mount for views,
// commandCache.mu what is on its PATH; package volume has one of its own. None is held while
// another is taken, nor while anything outside this package but a system call is called.
package engine
