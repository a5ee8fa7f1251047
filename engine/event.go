package engine

import (
	"context"
	"strconv"
	"syscall"
	"time"
)

// Event tells that something happened to a container, a volume or a network.
type Event struct {
	Time       time.Time
	Action     Action
	Cause      Cause
	UID        *uint32 // who asked for it; nil if nobody did, or if it is not known any more
	Owner      uint32  // whose the container, volume or network is
	ID, Name   string
	Image      string            // as the user named it
	Volume     string            // what it is about, if it is about a volume: there is no container then
	Network    string            // as Volume
	Attributes map[string]string // exitCode, signal, oldName, execID …; never environment or arguments
}

// Action is what happened, in Docker's word where Docker has one.
type Action string

// The actions. Create, Destroy and Update are volumes' and networks' too.
const (
	actCreate   Action = "create"
	actStart    Action = "start"
	actKill     Action = "kill" // a signal was sent
	actOOM      Action = "oom"
	actDie      Action = "die"
	actStop     Action = "stop"
	actRestart  Action = "restart"
	actPause    Action = "pause"
	actUnpause  Action = "unpause"
	actRename   Action = "rename"
	actUpdate   Action = "update" // a setting, or the owner
	actRecreate Action = "recreate"
	actDestroy  Action = "destroy"
	actExec     Action = "exec_start"
	actExecKill Action = "exec_kill" // a signal was sent to a session
	actHangUp   Action = "exec_hang_up"
	actExecDie  Action = "exec_die"
	actAttach   Action = "attach"
	actDetach   Action = "detach"
	actHealthy  Action = "health_status: healthy"
	actUnwell   Action = "health_status: unhealthy"
	actTakeOver Action = "take_over" // hull's processes were killed while it ran, and it is found again
	actError    Action = "error"     // something that nobody waits for has failed

	actConnect Action = "connect" // a container has a place on a network
	actLeave   Action = "disconnect"
)

// Cause is why it happened.
type Cause string

// The causes.
const (
	Asked      Cause = "request"     // somebody asked for it
	Ended      Cause = "exit"        // a process has ended by itself
	Memory     Cause = "memory"      // the kernel has ended a process for want of memory
	Examined   Cause = "health"      // a health check
	AutoRemove Cause = "auto_remove" // the setting
	Policy     Cause = "restart"     // the setting: it was to be started again
	Unmounting Cause = "umount"      // hull umount --stop
	Logging    Cause = "log"         // what a container writes could not be kept
	Recovery   Cause = "recovery"    // a daemon has found it so, or has finished what the last one had begun
)

// Actions are all there are of containers.
func Actions() []Action {
	return []Action{
		actCreate, actStart, actKill, actOOM, actDie, actStop, actRestart, actPause, actUnpause, actRename, actUpdate, actRecreate,
		actDestroy, actExec, actExecKill, actHangUp, actExecDie, actAttach, actDetach, actHealthy, actUnwell, actTakeOver, actError,
	}
}

// NetworkActions are all there are of networks.
func NetworkActions() []Action {
	return []Action{actCreate, actConnect, actLeave, actUpdate, actDestroy}
}

// Causes are all there are.
func Causes() []Cause {
	return []Cause{Asked, Ended, Memory, Examined, AutoRemove, Policy, Unmounting, Logging, Recovery}
}

// origin is why something is done: who has asked for it, or what else has led to it.
type origin struct {
	uid   *uint32
	cause Cause
}

type originKey struct{}

// origin is who asks with a context.
func (e *Engine) origin(ctx context.Context) origin {
	if why, ok := ctx.Value(originKey{}).(origin); ok {
		return why
	}
	why := origin{cause: Asked}
	if e.o.Caller != nil {
		if uid, ok := e.o.Caller(ctx); ok {
			why.uid = &uid
		}
	}
	return why
}

// withOrigin gives a context the origin of what is asked with it.
func withOrigin(ctx context.Context, why origin) context.Context {
	return context.WithValue(ctx, originKey{}, why)
}

// Unmounts gives a context for what is done because hull is unmounted.
func Unmounts(ctx context.Context) context.Context { return withOrigin(ctx, origin{cause: Unmounting}) }

// because does something for a reason: the events of it tell that.
func (s *supervisor) because(why origin, do func()) {
	before := s.why
	s.why = why
	do()
	s.why = before
}

// later has the supervisor do something for a reason; false if it never will.
func (s *supervisor) later(why origin, do func()) bool {
	return s.queue.put(func() { s.because(why, do) })
}

// say tells of an event.
func (s *supervisor) say(action Action, attributes ...string) {
	ev := Event{
		Action: action, Cause: s.why.cause, UID: s.why.uid, Owner: s.rec.Owner.UID,
		ID: s.id, Name: s.rec.Name, Image: s.imageName(),
	}
	for i := 0; i+1 < len(attributes); i += 2 {
		if ev.Attributes == nil {
			ev.Attributes = map[string]string{}
		}
		ev.Attributes[attributes[i]] = attributes[i+1]
	}
	s.e.notify(ev)
}

// sayVolume tells of an event of a volume.
func (e *Engine) sayVolume(why origin, action Action, name string, owner uint32) {
	ev := Event{Action: action, Cause: why.cause, UID: why.uid, Owner: owner, Volume: name, Name: name}
	if action == actUpdate {
		ev.Attributes = map[string]string{"owner": strconv.FormatUint(uint64(owner), 10)}
	}
	e.notify(ev)
}

// sayNetwork tells of an event of a network. container is the ID of the one that came or went.
func (e *Engine) sayNetwork(why origin, action Action, name string, owner uint32, container string) {
	ev := Event{Action: action, Cause: why.cause, UID: why.uid, Owner: owner, Network: name, Name: name}
	switch {
	case container != "":
		ev.Attributes = map[string]string{"container": container}
	case action == actUpdate:
		ev.Attributes = map[string]string{"owner": strconv.FormatUint(uint64(owner), 10)}
	}
	e.notify(ev)
}

// notify tells of an event.
func (e *Engine) notify(ev Event) {
	if e.o.Notify != nil {
		ev.Time = time.Now()
		e.o.Notify(ev)
	}
}

// endOf is why the run has ended.
func (s *supervisor) endOf(x Exit, p *stopping) origin {
	switch why, ok := s.sent[x.Signal]; {
	case x.Unknown:
		return origin{cause: Recovery}
	case p != nil:
		return p.why
	case ok && x.Signal != 0:
		return why
	case x.OOM && x.Signal == int(syscall.SIGKILL):
		return origin{cause: Memory}
	}
	return origin{cause: Ended}
}
