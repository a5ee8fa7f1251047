package engine

import (
	"sync/atomic"
	"time"

	"hull/engine/cgroup"
	"hull/engine/logs"
	"hull/engine/network"
)

// Owner is whose rights a container acts with.
type Owner struct {
	UID uint32 `json:"uid"`
	GID uint32 `json:"gid"`
}

// Root tells whether the owner is root.
func (o Owner) Root() bool { return o.UID == 0 }

// Exit is how a run of a container ended.
type Exit struct {
	Code   int       `json:"code"`             // the exit status, 128+n for a signal; 126, 127 for a command that did not start
	Signal int       `json:"signal,omitempty"` // the signal that ended it, or 0
	OOM    bool      `json:"oom,omitempty"`    // the kernel killed something in it for want of memory
	At     time.Time `json:"at"`
	// Unknown is set when nobody saw the end: the machine went down, or the monitor died on an old kernel.
	// Code is then 255, as Docker's is.
	Unknown bool `json:"unknown,omitempty"`
}

// Container is one moment of one container. It never changes: ask again for a later moment.
type Container struct {
	ID   string // 64 hex digits
	Name string
	Owner
	Image   string // as the setting names it, empty if it is not set
	ImageID string // sha256:… of what it is made from, empty until that is known
	// Platform is that of the image, as "linux/amd64"; empty until that is known.
	Platform string

	State     State
	Restarts  int       // how often its restart policy has started it, or is about to, since somebody did
	NextStart time.Time // when that will be; zero if it will not
	Created   time.Time
	Started   time.Time // zero until the first start
	Finished  time.Time // zero until the first end
	PID       int       // of the first process in the host's numbers, 0 unless it lives
	Exit      *Exit     // of the last run or failed start, nil before
	OOM       bool      // in the last run the kernel has ended something for want of memory
	Error     string    // one sentence about the last failure, empty after a success
	ErrorAt   time.Time // when it came to that

	Command  []string          // entrypoint and command in force, image's included where known
	Labels   map[string]string // image's and own
	TTY      bool              // of the run under way, else of the settings
	Stdin    bool
	Settings map[string]string // raw values by setting name, only those that are set
	Reaches  bool              // it has, or runs with, what only its owner's rights allow: who acts in it has these
	Pending  []string          // settings that differ from those of the run under way
	Sessions []Session         // under way and the last that ended, oldest first

	Endpoints []network.Endpoint // its places on networks, which stay its own while it lives
	Ports     []network.Bound    // published by the run under way
	Exposed   []string           // ports that it and its image name, as "80/tcp"

	limits cgroup.Limits
	stop   stopDocument
	logs   logs.Bounds
	// Health is NoHealth unless it runs and is examined.
	Health Health
	Looks  []Look // the latest ones, oldest first

	network networking
	process *process // of the last run
	run     *runNote // the one under way
	group   string   // the cgroup of the run under way
	path    []string // directories of PATH, of the run under way or the next one

	memo atomic.Pointer[any]
}

// Memo is what somebody has made of this moment of the container, and is kept as long as that is. There is one of each
// moment; of several who make it at once, one's is kept.
func (c *Container) Memo(makeIt func() any) any {
	if m := c.memo.Load(); m != nil {
		return *m
	}
	m := makeIt()
	if !c.memo.CompareAndSwap(nil, &m) {
		return *c.memo.Load()
	}
	return m
}

// ShortID is the first twelve digits of the ID, as Docker shows it.
func (c *Container) ShortID() string { return Short(c.ID) }

// Session is one exec in a container, or somebody who is attached to it.
type Session struct {
	ID       string // 64 hex digits
	Number   int    // the N of sessions/N
	Look     bool   // a look at the container's health: it is not listed
	Attached bool   // nobody's process: somebody looks at the container's own output, and may type
	PID      int    // in the host's numbers, 0 of who is attached
	Command  []string
	TTY      bool
	Terminal string // path of a terminal of the host that leads to it; empty if none does
	Started  time.Time
	Ended    time.Time // zero while it goes on
	Exit     *int      // its exit code, 128+n for a signal; nil while it goes on
}
