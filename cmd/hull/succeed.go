package main

import (
	"errors"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"

	"hull/engine/monitor"
)

// succession sees to it that there is a monitor as long as this daemon lives: when it is killed, another one is started
// with all that the daemon keeps for it. This daemon is none of its children, nor are the containers that it would make:
// so it ends, as if it were killed too, and the new monitor starts another.
type succession struct {
	failed chan struct{} // closed when there is no monitor and cannot be one
	stop   chan struct{}
	done   chan struct{}
}

func (d *daemon) watchMonitor() *succession {
	s := &succession{failed: make(chan struct{}), stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		select {
		case <-s.stop:
			return
		case <-d.monitor.Lost():
		}
		d.log.Warn("hull's monitor is gone; another one goes on from what this daemon keeps")
		if err := d.newMonitor(); err != nil {
			d.log.Error("no other monitor can be started: the containers go on, and what they write waits for the next hull mount", "err", err)
			close(s.failed)
			return
		}
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	}()
	return s
}

func (d *daemon) newMonitor() error {
	o := d.options
	o.Life = d.life // for containers it is no new mount
	cmd := self(roleInterim, o)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return d.monitor.Succeed(cmd)
}

// runInterim starts the next monitor, and holds what that goes on from until a daemon has it.
func runInterim(args []string) int {
	o, handover, ok := given(args, 2, 2, "an interim is started by hull's daemon")
	if !ok {
		return 1
	}
	err := monitor.Interim(handover, func() *exec.Cmd {
		cmd := self(roleMonitor, o)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		return cmd
	})
	if err != nil {
		o.logger(os.Stderr).With("role", roleInterim).Error("no other monitor can be started: the containers go on, and what they write waits for the next hull mount", "err", err)
		return 1
	}
	return 0
}

// end is for a monitor that is about to be, or may be, gone in good order.
func (s *succession) end() {
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
	<-s.done
}

// isLost does not return if the monitor is gone and another one is started.
func (s *succession) isLost(c *monitor.Client) {
	select {
	case <-c.Lost():
		<-s.done
	default:
	}
}

// errAlone is why a daemon without a monitor ends.
var errAlone = errors.New("hull's monitor is gone")

// lost tells whether an error is that the connection to a monitor broke.
func lost(err error) bool {
	var e *monitor.Error
	return errors.As(err, &e) && e.Kind == monitor.Lost
}
