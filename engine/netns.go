package engine

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"hull/engine/launch"
	"hull/engine/network"
	"hull/engine/plan"
)

// The network namespace that a start is to have: one of its own, the host's, or that of another container.

// kind is what a mode means to a launch.
func (m networkMode) kind() launch.Network {
	switch m {
	case hosted:
		return plan.HostNetwork
	case joined:
		return plan.Another
	case bridged, unplugged:
	}
	return plan.OwnNetwork
}

// findNetwork finds what the container is to have of a network, before anything is made.
func (l *launching) findNetwork() error {
	s := l.s
	l.network = s.set.networking()
	l.spec.Network = l.network.Mode.kind()
	switch l.network.Mode {
	case joined:
		return l.join(l.network.Target)
	case bridged:
		for _, a := range l.network.Attach {
			if _, ok := s.e.links.Find(a.Network); !ok {
				return fail("start", s.id, NotFound,
					"there is no network %s, which the setting network of the container %s names; mkdir networks/%s makes it", a.Network, s.rec.Name, a.Network)
			}
		}
	case hosted, unplugged:
	}
	return nil
}

// join opens the network of another container. Its processes' number is its own as long as it is in the container's cgroup
// and the first of a pid namespace.
func (l *launching) join(name string) error {
	s := l.s
	other := s.e.index.find(name)
	if other == nil {
		return fail("start", s.id, NotFound, "there is no container %s, whose network the container %s is to have", clip(name), s.rec.Name)
	}
	c := other.snapshot.Load()
	switch {
	case other == s:
		return fail("start", s.id, Invalid, "the container %s cannot be in its own network as another's; write another container's name into config/network", s.rec.Name)
	case !c.State.Alive():
		return fail("start", s.id, NotRunning, "the container %s, whose network the container %s is to have, is not running; start it first", c.Name, s.rec.Name)
	}
	netns, err := s.e.networkOf(c)
	if err != nil {
		return fail("start", s.id, kindOfErrno(err), "the network of the container %s cannot be had: %w", c.Name, err)
	}
	l.spec.Of = netns
	l.note.Etc = c.run.etc(s.e)
	if p := c.run.Process; p != nil {
		l.hostname = p.Hostname
	}
	return nil
}

// warmFor tells which processes that were made beforehand can become the container, best first: one that is on the default
// network has an address of its own.
func (s *supervisor) warmFor(n networking) []warmNetworking {
	switch n.Mode {
	case unplugged:
		return []warmNetworking{onNone}
	case bridged:
		a := n.Attach[0]
		if len(n.Attach) == 1 && len(s.rec.Endpoints) == 0 && a.Network == network.Default && !a.Addr.IsValid() && !a.Addr6.IsValid() && a.MAC == "" {
			return []warmNetworking{onDefault, onNone}
		}
		return []warmNetworking{onNone}
	case hosted, joined:
	}
	return nil
}

// networkOf opens the network namespace of a container that runs.
func (e *Engine) networkOf(c *Container) (*os.File, error) {
	fd, err := unix.PidfdOpen(c.PID, 0)
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	defer unix.Close(fd)
	netns, err := os.Open("/proc/" + strconv.Itoa(c.PID) + "/ns/net")
	if err == nil && (e.parts.groups.Of(c.PID) != c.group || !e.parts.first(c.PID)) {
		err = errors.New("it has just ended")
	}
	if err == nil { // the number has been the process's all the time, if that lives
		err = os.NewSyscallError("pidfd_send_signal", unix.PidfdSendSignal(fd, 0, nil, 0))
	}
	if err != nil {
		closeAll(netns)
		return nil, err
	}
	return netns, nil
}
