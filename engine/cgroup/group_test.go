package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hull/tests/need"
)

// hosts are this machine as Detect finds it and, where version 2 is mounted beside version 1, that alone.
func hosts(t *testing.T) map[string]*Host {
	t.Helper()
	need.Root(t, "it makes cgroups")
	h, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*Host{"detected": h}
	if h.Mode == Hybrid {
		b, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		var only strings.Builder
		for line := range strings.Lines(string(b)) {
			if strings.Contains(line, " - cgroup2 ") {
				only.WriteString(line)
			}
		}
		own, err := os.ReadFile("/proc/self/cgroup")
		if err != nil {
			t.Fatal(err)
		}
		v2, err := detect(strings.NewReader(only.String()), strings.NewReader(string(own)), readFile)
		if err != nil {
			t.Fatal(err)
		}
		all["version 2"] = v2
	}
	return all
}

func each(t *testing.T, test func(t *testing.T, tree *Tree)) {
	for name, h := range hosts(t) {
		t.Run(name, func(t *testing.T) {
			tree := h.Tree(fmt.Sprintf("test-%d-%s", os.Getpid(), strings.ToLower(strings.Split(t.Name(), "/")[0])))
			t.Cleanup(func() {
				if err := tree.Sweep(context.Background(), func(string) bool { return false }); err != nil {
					t.Error(err)
				}
				if err := tree.Remove(); err != nil {
					t.Error(err)
				}
			})
			test(t, tree)
		})
	}
}

func create(t *testing.T, tree *Tree, id string, l Limits) *Group {
	t.Helper()
	g, err := tree.Create(id, l)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// command is a shell that joins the group before it does what it is told.
func command(t *testing.T, g *Group, script string) *exec.Cmd {
	t.Helper()
	files, err := g.Join()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, f := range files {
			_ = f.Close()
		}
	})
	for i, f := range files {
		if st, err := f.Stat(); err == nil && st.IsDir() { // a shell is not born there, but may join
			if files[i], err = os.OpenFile(f.Name()+"/cgroup.procs", os.O_WRONLY, 0); err != nil {
				t.Fatal(err)
			}
			_ = f.Close()
		}
	}
	var join strings.Builder
	for i := range files {
		fmt.Fprintf(&join, "echo 0 >&%d && exec %d>&- || exit 99; ", 3+i, 3+i)
	}
	cmd := exec.Command("/bin/sh", "-c", join.String()+script)
	cmd.ExtraFiles = files
	cmd.Stderr = os.Stderr
	return cmd
}

// begin starts a shell that says when it is in the group and then waits for its input to end.
func begin(t *testing.T, g *Group) (*exec.Cmd, io.WriteCloser) {
	t.Helper()
	cmd := command(t, g, "echo in; read x; exit 0")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 3)); err != nil {
		t.Fatal("the process did not join: ", err)
	}
	return cmd, in
}

func TestGroup(t *testing.T) {
	each(t, func(t *testing.T, tree *Tree) {
		g := create(t, tree, "web", Limits{Pids: 100, PidsIfPossible: true, Devices: DefaultDevices()})
		if _, err := tree.Create("web", Limits{}); !IsKind(err, Exists) {
			t.Errorf("creating it again: %v", err)
		}
		if _, err := tree.Open("other"); !IsKind(err, NotFound) {
			t.Errorf("opening what is not there: %v", err)
		}
		if _, err := tree.Create("../web", Limits{}); !IsKind(err, Invalid) {
			t.Errorf("a name with a slash: %v", err)
		}
		cmd, in := begin(t, g)
		pids, err := g.Processes()
		if err != nil || !slices.Equal(pids, []int{cmd.Process.Pid}) {
			t.Errorf("processes %v, %v; want %d", pids, err, cmd.Process.Pid)
		}
		s, err := g.Stat()
		if err != nil {
			t.Fatal(err)
		}
		if g.of("pids") != nil && (s.Pids != 1 || s.PidsMax != 100) {
			t.Errorf("stat %+v", s)
		}
		if f := g.OOM(); f != nil {
			b, err := io.ReadAll(f)
			if err != nil || !strings.Contains(string(b), "oom_kill ") {
				t.Errorf("the file of OOM kills says %q, %v", b, err)
			}
			_ = f.Close()
		}
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		if err := g.Remove(t.Context()); err != nil {
			t.Error(err)
		}
		if err := g.Remove(t.Context()); err != nil {
			t.Errorf("removing it again: %v", err)
		}
		if _, err := g.Stat(); !IsKind(err, NotFound) {
			t.Errorf("stat of what is gone: %v", err)
		}
	})
}

func TestPids(t *testing.T) {
	each(t, func(t *testing.T, tree *Tree) {
		g := create(t, tree, "bomb", Limits{Pids: 3, PidsIfPossible: true, AllDevices: true})
		if g.of("pids") == nil {
			t.Skip("this hierarchy has no pids controller")
		}
		cmd := command(t, g, "for i in 1 2 3 4 5; do (exec sleep 1000) & done 2>/dev/null; exit 0")
		cmd.Stderr = nil
		_ = cmd.Run() // a shell that cannot fork says so
		pids, err := g.Processes()
		if err != nil || len(pids) == 0 || len(pids) > 3 {
			t.Errorf("%d processes, %v", len(pids), err)
		}
		if err := errors.Join(g.Kill(t.Context()), g.Remove(t.Context())); err != nil {
			t.Error(err)
		}
	})
}

func TestDevices(t *testing.T) {
	each(t, func(t *testing.T, tree *Tree) {
		for _, c := range []struct {
			name   string
			l      Limits
			script string
		}{
			{"default", Limits{Devices: DefaultDevices()}, "cat </dev/null && head -c1 /dev/zero >/dev/null && ! (mknod $D/kmsg c 1 11)"},
			{"one", Limits{Devices: []Device{{'c', 1, 3, "rw"}}}, "cat </dev/null && echo >/dev/null && ! (cat </dev/zero) && ! (mknod $D/n c 1 3)"},
			{"read", Limits{Devices: []Device{{'c', 1, 3, "r"}}}, "cat </dev/null && ! (echo >/dev/null)"},
			{"any minor", Limits{Devices: []Device{{'c', 1, -1, "rwm"}}}, "cat </dev/null && mknod $D/m c 1 11 && ! (mknod $D/t c 5 0) && ! (mknod $D/b b 1 3)"},
			{"none", Limits{}, "! (cat </dev/null)"},
			{"all", Limits{AllDevices: true}, "cat </dev/null && mknod $D/kmsg c 1 11"},
		} {
			t.Run(c.name, func(t *testing.T) {
				g := create(t, tree, strings.ReplaceAll(c.name, " ", "-"), c.l)
				null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = null.Close() }()
				cmd := command(t, g, c.script)
				cmd.Stdin, cmd.Stdout, cmd.Stderr = null, null, null
				cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "D=" + t.TempDir()}
				if err := cmd.Run(); err != nil {
					t.Errorf("%s: %v", c.script, err)
				}
			})
		}
	})
}

func TestPause(t *testing.T) {
	each(t, func(t *testing.T, tree *Tree) {
		g := create(t, tree, "web", Limits{AllDevices: true})
		if g.of("freezer") == nil && g.v2() == nil {
			t.Skip("no freezer")
		}
		cmd, in := begin(t, g)
		if err := g.Pause(t.Context()); err != nil {
			t.Fatal(err)
		}
		_ = in.Close() // a frozen process does not see it
		if err := g.Unpause(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// A frozen group dies too.
func TestKill(t *testing.T) {
	each(t, func(t *testing.T, tree *Tree) {
		g := create(t, tree, "web", Limits{AllDevices: true})
		cmd, in := begin(t, g)
		defer func() { _ = in.Close() }()
		if g.of("freezer") != nil || g.v2() != nil {
			if err := g.Pause(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := g.Kill(t.Context()); err != nil {
			t.Fatal(err)
		}
		var e *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &e) || e.ProcessState.Sys().(interface{ Signal() unix.Signal }).Signal() != unix.SIGKILL {
			t.Errorf("it ended with %v", err)
		}
		if err := g.Remove(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestTreeRemoved takes away what is empty between two groups, in one hierarchy or in all of them.
func TestTreeRemoved(t *testing.T) {
	each(t, func(t *testing.T, tree *Tree) {
		for _, some := range []int{1, len(tree.host.Hierarchies)} {
			if err := create(t, tree, "first", Limits{}).Remove(t.Context()); err != nil {
				t.Fatal(err)
			}
			for i := range tree.host.Hierarchies[:some] {
				if err := os.Remove(tree.path(&tree.host.Hierarchies[i])); err != nil {
					t.Fatal(err)
				}
			}
			g := create(t, tree, "second", Limits{Pids: 7, PidsIfPossible: true, Devices: DefaultDevices()})
			if s, err := g.Stat(); err != nil || g.of("pids") != nil && s.PidsMax != 7 {
				t.Errorf("stat %+v, %v", s, err)
			}
			if err := g.Remove(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestSweep(t *testing.T) {
	each(t, func(t *testing.T, tree *Tree) {
		other := tree.host.Tree(tree.id + "-other")
		defer func() { _ = other.Remove() }()
		theirs := create(t, other, "web", Limits{})
		create(t, tree, "keep", Limits{})
		gone := create(t, tree, "gone", Limits{AllDevices: true})
		cmd, in := begin(t, gone)
		defer func() { _ = in.Close() }()
		dead := make(chan error, 1)
		go func() { dead <- cmd.Wait() }()
		// Part of a group, as a crash between two mkdirs leaves it.
		d := path.Join(tree.path(&tree.host.Hierarchies[0]), "part")
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := tree.Sweep(t.Context(), func(id string) bool { return id == "keep" }); err != nil {
			t.Error(err)
		}
		<-dead
		if ids, err := tree.List(); err != nil || !slices.Equal(ids, []string{"keep"}) {
			t.Errorf("left are %v, %v", ids, err)
		}
		if err := tree.Remove(); !IsKind(err, Busy) {
			t.Errorf("removing a tree with a group in it: %v", err)
		}
		if err := theirs.Remove(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
