package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"hull/engine/cgroup"
	"hull/engine/plan"
	"hull/engine/seccomp"
)

//go:embed loop/loop.c
var loopSource []byte

// cLoop is the kernel's share: a C program that makes the calls of a start, one
// container after the other.
type cLoop struct {
	network bool // each container has an address on a bridge, as hull's have
	program *exec.Cmd
	in      io.WriteCloser
	out     io.Reader
	said    bytes.Buffer
}

func (l *cLoop) name() string {
	if l.network {
		return "C loop"
	}
	return "C loop, no network"
}

func (l *cLoop) prepare(ctx context.Context, s *setting) error {
	if l.program != nil {
		return nil
	}
	groups, err := loopGroups()
	if err != nil {
		return err
	}
	dir, bridge := s.dir+"/loop", "-"
	if l.network {
		dir, bridge = s.dir+"/loop-network", "hull-bench"
	}
	if err := os.MkdirAll(dir+"/disk", 0o700); err != nil {
		return err
	}
	if err := s.rootfs(dir + "/rootfs"); err != nil {
		return err
	}
	if err := os.WriteFile(dir+"/loop.c", loopSource, 0o600); err != nil {
		return err
	}
	if _, err := output(exec.CommandContext(ctx, "cc", "-O2", "-o", dir+"/loop", dir+"/loop.c")); err != nil {
		return err
	}
	caps, err := plan.CapabilityMask(plan.DefaultCapabilities())
	if err != nil {
		return err
	}
	filter, err := seccomp.Default().Filter(caps)
	if err != nil {
		return err
	}
	if err := os.WriteFile(dir+"/filter", filter, 0o600); err != nil {
		return err
	}
	return l.start(exec.CommandContext(ctx, dir+"/loop", append([]string{dir + "/rootfs", dir + "/disk", dir + "/filter", bridge}, groups...)...))
}

// loopGroups are the hierarchies that hull makes cgroups in.
func loopGroups() ([]string, error) {
	host, err := cgroup.Detect()
	if err != nil {
		return nil, err
	}
	var groups []string
	for _, h := range host.Hierarchies {
		if h.V2 {
			return nil, errors.New("the C loop knows cgroups of version 1 only")
		}
		groups = append(groups, strings.Join(h.Controllers, ",")+"="+h.Base)
	}
	return groups, nil
}

func (l *cLoop) start(program *exec.Cmd) (err error) {
	program.Stderr = &l.said
	if l.in, err = program.StdinPipe(); err != nil {
		return err
	}
	if l.out, err = program.StdoutPipe(); err != nil {
		return err
	}
	if err := program.Start(); err != nil {
		return err
	}
	l.program = program
	return nil
}

func (l *cLoop) once(context.Context) error {
	var b [1]byte
	if _, err := l.in.Write(b[:]); err != nil {
		return err
	}
	if _, err := io.ReadFull(l.out, b[:]); err != nil {
		return fmt.Errorf("%w: %w", err, l.close())
	}
	return nil
}

func (l *cLoop) close() error {
	if l.program == nil {
		return nil
	}
	_ = l.in.Close() // its end
	err := l.program.Wait()
	l.program = nil
	if err != nil {
		return fmt.Errorf("the C loop: %w: %s", err, tail(l.said.Bytes()))
	}
	return nil
}
