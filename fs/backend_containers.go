package fs

import (
	"context"
	"time"
)

// Containers is what the tree needs of an engine. What is said of [Images] about contexts and snapshots holds here.
// Methods that take an id take a container's full ID: it stays while names change.
type Containers interface {
	// List returns every container, sorted by Name. Neither slice nor containers ever change.
	List() []*Container
	// Find returns the container of a name or of an ID of 12 or 64 hex digits, by map look-up.
	Find(name string) (*Container, bool)
	// Create makes a container. With Start it is started too, and if that fails nothing is left.
	Create(ctx context.Context, n NewContainer) (*Container, error)

	Start(ctx context.Context, id string) error
	// Stop ends a container: its stop signal, a grace, SIGKILL. A negative grace means the container's own.
	Stop(ctx context.Context, id string, grace time.Duration) error
	Restart(ctx context.Context, id string, grace time.Duration) error
	// Kill sends a signal by name ("TERM", "SIGTERM") or number; empty means KILL. It acts during a Stop.
	Kill(ctx context.Context, id, signal string) error
	// Pause freezes a container that runs, Unpause lets it go on.
	Pause(ctx context.Context, id string) error
	Unpause(ctx context.Context, id string) error
	// Recreate gives a container a new writable layer from the image its name points to now; one that runs is restarted.
	Recreate(ctx context.Context, id string) error
	Rename(ctx context.Context, id, name string) error
	// Chown gives a container to another user, with whose rights it acts from then on. It is Forbidden if the container
	// has what that user may not have.
	Chown(ctx context.Context, id string, uid uint32) error
	// Commit makes an image of what the container has changed, and of its settings, and ref a name of it.
	Commit(ctx context.Context, id, ref string) error
	// Remove removes a container that is not running; with force it is killed first.
	Remove(ctx context.Context, id string, force bool) error
	// Wait returns when the container is not running any more.
	Wait(ctx context.Context, id string) error

	// Settings is the table of a container's settings, the same for all. It never changes.
	Settings() []Setting
	// Get returns a setting exactly as it was written, empty if it never was; of "json", all that are set, as one JSON
	// object.
	Get(id, setting string) (string, error)
	// Set checks and keeps a setting. A value that does not parse is Invalid and changes nothing. "json" sets all of them, or
	// none if one is bad.
	Set(ctx context.Context, id, setting, value string) error
	// Reset drops what was written to a setting.
	Reset(ctx context.Context, id, setting string) error
	// Pending names the settings that await the next start, one a line.
	Pending(id string) (string, error)

	// Commands returns the sorted names of the commands on the container's PATH.
	Commands(id string) ([]string, error)
	// Command tells whether one command is on the container's PATH.
	Command(id, name string) (bool, error)
	// Logs opens what a container has written: stream is "logs" (both, in order), "stdout" or "stderr". It may be Dropping.
	Logs(id, stream string) (Growing, error)
	// Sessions are those under way in a container and the last that ended, in any order.
	Sessions(id string) ([]*ContainerSession, error)
	// KillSession sends a signal, empty is SIGKILL, to the process of a session.
	KillSession(ctx context.Context, id string, number int, signal string) error
	// HangUp ends a session as the end of its terminal does.
	HangUp(ctx context.Context, id string, number int) error
	// Changes are A/C/D lines against the image, as docker diff prints them.
	Changes(id string) ([]byte, error)
	// Inspect is everything about a container as JSON.
	Inspect(id string) ([]byte, error)
	// Stats are the container's counters, "key value" lines; empty if it does not run.
	Stats(id string) ([]byte, error)
	// Processes are the lines of docker top; empty if it does not run.
	Processes(id string) ([]byte, error)
}

// NewContainer says what container to make.
type NewContainer struct {
	Name  string
	Image string // a name of an image; empty leaves it to the setting
	Start bool
	Owner Credential
}

// Container is an immutable snapshot of a container.
type Container struct {
	ID       string // 64 hex digits
	Name     string
	Image    string // the reference it was given
	ImageID  string // what that was when it was created or last started; empty before
	Command  string // the command line in force, as docker container ls shows it, not quoted nor cut
	Status   string // created waiting running paused stopping restarting exited dead
	Error    string // the sentence of the last failure
	ErrorAt  time.Time
	Process  string // host's id of its first process; empty if it does not run
	Exit     int    // of a container that has run and ended: the code, 128+n for a signal
	Restarts int    // how often its restart policy has started it, or is about to, since somebody did
	Health   string // one word; "none" or "" of one that does not run or that nobody examines
	OOM      bool   // in its last run the kernel has ended something for want of memory
	// Addresses are its own on its networks, in their order.
	Addresses []Address
	Ports     []Port // what is published, and what its image names beside
	Owner     uint32
	Reaches   bool // it acts on the host with rights of its owner's: its files, its devices, its kernel
	Created   time.Time
	Started   time.Time // zero if it never was
	Ended     time.Time // zero if it never did
}

// Address is what a container has on one network.
type Address struct {
	Network string
	IP      string
	IP6     string // empty where the network has no IPv6
}

// ContainerSession is an immutable snapshot of something executed in a container, or of somebody attached to it.
type ContainerSession struct {
	ID       string // tells it from another of the same number
	Number   int    // from 1 on
	Command  string // as of containers
	Process  string // host's id; empty of who is attached
	Terminal string // path of a terminal of the host that leads to it; empty if none does
	Started  time.Time
	Exit     int  // of one that has ended
	Ended    bool // it goes on no more
}

// Running tells whether the container has processes.
func (c *Container) Running() bool {
	switch c.Status {
	case "running", "paused", "stopping":
		return true
	}
	return false
}

// Lives tells whether it runs or is to be started again without anybody asking.
func (c *Container) Lives() bool { return c.Running() || c.Status == "restarting" }

// Setting is one row of the table of settings.
type Setting struct {
	Name    string
	Mode    uint32 // permission bits of its file
	Summary string // one line
	Live    bool   // acts at once, not at the next start
}
