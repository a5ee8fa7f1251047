package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"hull/engine/monitor"
)

// service is `hull mount` in the foreground as the main process of a systemd unit. It tells the manager that the tree
// is there and that it goes, and looks at the tree as often as the manager's watchdog wants: a tree that answers is
// what hull is for. If it is silent for half that time the daemon is killed, which the monitor replaces, and only if
// that does not help either the manager takes it up.
type service struct {
	manager *manager
	o       options
	stop    context.CancelFunc
	running sync.WaitGroup
}

// beginService is called when the tree is there.
func beginService(ctx context.Context, o options) *service {
	s := &service{manager: findManager(os.Getenv, os.Getpid()), o: o}
	ctx, s.stop = context.WithCancel(ctx)
	if s.manager == nil {
		return s
	}
	s.manager.tell("READY=1", "STATUS=mounted on "+oneLine(o.Dir))
	if s.manager.watchdog > 0 {
		s.running.Go(func() { s.watch(ctx) })
	}
	return s
}

// stopping is said when a signal has asked for the end.
func (s *service) stopping() { s.manager.tell("STOPPING=1", "STATUS=stopping the containers") }

// end is called when the tree is gone, so that nothing can wait for it any more.
func (s *service) end(err error) {
	s.stop()
	s.running.Wait()
	if err != nil {
		s.manager.tell("STOPPING=1", "STATUS="+oneLine(err.Error()))
		return
	}
	s.manager.tell("STOPPING=1", "STATUS=unmounted")
}

func oneLine(s string) string { return strings.ReplaceAll(s, "\n", " ") }

// watch looks at the tree four times in the manager's time, one look after the other.
func (s *service) watch(ctx context.Context) {
	every := s.manager.watchdog / 4
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		answer := make(chan error, 1)
		s.running.Go(func() { answer <- look(s.o.Dir) })
		if !s.await(ctx, answer, 2*every) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// await waits for one look's answer. One that does not come in time is a daemon that hangs.
func (s *service) await(ctx context.Context, answer <-chan error, patience time.Duration) bool {
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case err := <-answer:
			if err == nil {
				s.manager.tell("WATCHDOG=1")
			}
			return true
		case <-late.C:
			fmt.Fprintf(os.Stderr, "hull: the tree has not answered for %s; its daemon is replaced\n", patience)
			if err := renew(ctx, s.o.Run); err != nil && ctx.Err() == nil {
				fmt.Fprintln(os.Stderr, "hull: the daemon cannot be replaced:", err)
			}
		}
	}
}

// look asks the tree for something that the daemon must look up: which containers run.
func look(dir string) error {
	_, err := os.ReadFile(filepath.Join(dir, "running.txt"))
	return err
}

func renew(ctx context.Context, run string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	control, err := monitor.Dial(ctx, run)
	if err != nil {
		return err
	}
	defer control.Close()
	return control.Renew(ctx)
}
