package engine

import (
	"slices"
	"testing"
)

var inputs = []input{inAwait, inStarted, inGaveUp, inGaveIn, inPause, inUnpause, inStop, inExit, inRetry, inCallOff, inBreak, inRemove, inAbandon}

func TestTransitions(t *testing.T) {
	for s, row := range transitions {
		for in, to := range row {
			if !slices.Contains(inputs, in) {
				t.Errorf("%s: unknown input %q", s, in)
			}
			if to != gone && !to.known() {
				t.Errorf("%s on %s: unknown state %q", s, in, to)
			}
			if s.Alive() && to == gone && in != inAbandon {
				t.Errorf("%s on %s: a container with a process cannot be gone", s, in)
			}
			if s.Alive() && !to.Alive() && in != inExit && in != inAbandon {
				t.Errorf("%s on %s: only an exit ends a run", s, in)
			}
			if !s.Alive() && to.Alive() && in != inStarted {
				t.Errorf("%s on %s: only a start begins a run", s, in)
			}
		}
		if s.Alive() {
			if to, ok := next(s, inExit); !ok || to != Exited {
				t.Errorf("%s must take an exit", s)
			}
			if _, ok := next(s, inRemove); ok {
				t.Errorf("%s must not be removable", s)
			}
		}
	}
	for _, s := range []State{Waiting, Restarting} {
		if _, ok := next(s, inRemove); ok {
			t.Errorf("%s must not be removable: somebody waits for its start", s)
		}
	}
	for _, s := range []State{Created, Exited, Dead} {
		if to, ok := next(s, inRemove); !ok || to != gone {
			t.Errorf("%s must be removable", s)
		}
	}
	if _, ok := next(Dead, inStarted); ok {
		t.Error("a dead container must not start")
	}
	if _, ok := next("nonsense", inExit); ok {
		t.Error("an unknown state has no way on")
	}
}

// Every state can be reached from created.
func TestReachable(t *testing.T) {
	seen := map[State]bool{Created: true}
	for todo := []State{Created}; len(todo) > 0; {
		s := todo[0]
		todo = todo[1:]
		for _, to := range transitions[s] {
			if to != gone && !seen[to] {
				seen[to] = true
				todo = append(todo, to)
			}
		}
	}
	if len(seen) != len(transitions) {
		t.Errorf("reached %v of %d states", seen, len(transitions))
	}
}

func TestKinds(t *testing.T) {
	for _, k := range Kinds() {
		if k.String() == "" {
			t.Errorf("kind %d has no name", int(k))
		}
	}
	if NotExecutable.ExitCode() != 126 || NotCommand.ExitCode() != 127 || System.ExitCode() != 125 {
		t.Error("the exit codes are not Docker's")
	}
}
