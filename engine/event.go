package engine

import "time"

// Event tells that something happened to a container, or to a volume: create, destroy. A container's actions are Docker's: create, start, die, kill, stop,
// restart, pause, unpause, rename, destroy, oom, update, exec_create, exec_start, exec_die, attach.
type Event struct {
	Time       time.Time
	Action     string
	ID, Name   string
	Image      string            // as the user named it
	Volume     string            // what it is about, if it is about a volume: there is no container then
	Attributes map[string]string // exitCode, signal, oldName, execID …; never environment or arguments
}
