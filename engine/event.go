package engine

import "time"

// Event tells that something happened to a container. Actions are Docker's: create, start, die, kill, stop,
// restart, pause, unpause, rename, destroy, oom, update, exec_create, exec_start, exec_die, attach.
type Event struct {
	Time       time.Time
	Action     string
	ID, Name   string
	Image      string            // as the user named it
	Attributes map[string]string // exitCode, signal, oldName, execID …; never environment or arguments
}
