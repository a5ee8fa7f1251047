package engine

// State is what a container is doing, in the word its status file shows.
type State string

// The states. Removal has none: a container that is gone is not listed.
const (
	Created  State = "created"  // made, never started (or no start has succeeded)
	Waiting  State = "waiting"  // a start was accepted and waits for the image, or for its files to be copied into volumes
	Up       State = "running"  // its first process lives
	Paused   State = "paused"   // frozen
	Stopping State = "stopping" // the stop signal is sent, the grace is running out
	// Restarting is what has ended and is started again by its restart policy, after a pause.
	Restarting State = "restarting"
	Exited     State = "exited" // it ran and has ended
	Dead       State = "dead"   // its record or its removal is broken; only remove helps
)

// input is what may happen to a container; with a state it names a row of the transition table.
type input string

const (
	inAwait   input = "await"   // start asked for, the image is being pulled
	inStarted input = "started" // the first process runs the command
	inGaveUp  input = "gave up" // the wait for the image ended without a start, the container never ran
	inGaveIn  input = "gave in" // the same for a container that ran before
	inPause   input = "pause"
	inUnpause input = "unpause"
	inStop    input = "stop"     // the stop signal was sent
	inExit    input = "exit"     // the first process ended
	inRetry   input = "retry"    // its restart policy is to start it
	inCallOff input = "call off" // it is not, after all
	inBreak   input = "break"    // the record cannot be read, or a removal stuck half-way
	inRemove  input = "remove"
	inAbandon input = "abandon" // removed with a process that does not end
)

// gone is the end of every container; no container has it.
const gone State = ""

// transitions is the whole life of a container. What is not in it cannot happen: the supervisor asks here
// before it acts, and refuses or ignores what has no row.
var transitions = map[State]map[input]State{
	Created:    {inAwait: Waiting, inStarted: Up, inBreak: Dead, inRemove: gone},
	Waiting:    {inStarted: Up, inGaveUp: Created, inGaveIn: Exited},
	Up:         {inPause: Paused, inStop: Stopping, inExit: Exited},
	Paused:     {inUnpause: Up, inStop: Stopping, inExit: Exited},
	Stopping:   {inExit: Exited, inAbandon: gone},
	Restarting: {inAwait: Waiting, inStarted: Up, inRetry: Restarting, inCallOff: Exited},
	Exited:     {inAwait: Waiting, inStarted: Up, inRetry: Restarting, inBreak: Dead, inRemove: gone},
	Dead:       {inBreak: Dead, inRemove: gone},
}

// next answers the state after an input, and whether that input can happen in that state at all.
func next(s State, in input) (State, bool) {
	to, ok := transitions[s][in]
	return to, ok
}

// Alive tells whether a container in this state has a first process.
func (s State) Alive() bool { return s == Up || s == Paused || s == Stopping }

// known tells whether the state is one of the enumeration.
func (s State) known() bool {
	_, ok := transitions[s]
	return ok
}

func (s State) String() string { return string(s) }
