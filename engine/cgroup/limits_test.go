package cgroup

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"testing"
	"time"
)

// content is a group's control file, by version 1's name or version 2's; false if this host has not got it.
func content(t *testing.T, g *Group, controller, v1, v2 string) (string, bool) {
	t.Helper()
	d := g.of(controller)
	if d == nil {
		return "", false
	}
	name := v1
	if d.V2 {
		name = v2
	}
	s, err := readFile(path.Join(d.path, name))
	if errors.Is(err, os.ErrNotExist) {
		return "", false
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(s), true
}

func TestLimits(t *testing.T) {
	each(t, func(t *testing.T, tree *Tree) {
		g := create(t, tree, "web", Limits{})
		unlimited, _ := content(t, g, "memory", "memory.memsw.limit_in_bytes", "memory.swap.max")
		now := Limits{}
		for _, c := range []struct {
			controller, v1, v2 string
			l                  Limits
			wantV1, wantV2     string
		}{
			{"memory", "memory.limit_in_bytes", "memory.max", Limits{Memory: 64 << 20}, "67108864", "67108864"},
			{"memory", "memory.memsw.limit_in_bytes", "memory.swap.max", Limits{Memory: 64 << 20}, "134217728", "67108864"},
			{"memory", "memory.memsw.limit_in_bytes", "memory.swap.max", Limits{Memory: 512 << 20, MemorySwap: 512 << 20}, "536870912", "0"},
			{"memory", "memory.limit_in_bytes", "memory.max", Limits{Memory: 32 << 20, MemorySwap: 48 << 20}, "33554432", "33554432"},
			{"memory", "memory.memsw.limit_in_bytes", "memory.swap.max", Limits{Memory: 32 << 20, MemorySwap: 48 << 20}, "50331648", "16777216"},
			{"memory", "memory.memsw.limit_in_bytes", "memory.swap.max", Limits{Memory: 32 << 20, MemorySwap: NoLimit}, unlimited, unlimited},
			{"memory", "memory.memsw.limit_in_bytes", "memory.swap.max", Limits{}, unlimited, unlimited},
			{"pids", "pids.max", "pids.max", Limits{Pids: 7}, "7", "7"},
			{"pids", "pids.max", "pids.max", Limits{}, "max", "max"},
			{"cpu", "cpu.cfs_quota_us", "cpu.max", Limits{CPUs: 0.5}, "50000", "50000 100000"},
			{"cpu", "cpu.cfs_quota_us", "cpu.max", Limits{CPUs: 0.001}, "1000", "1000 100000"},
			{"cpu", "cpu.cfs_quota_us", "cpu.max", Limits{}, "-1", "max 100000"},
			{"cpu", "cpu.shares", "cpu.weight", Limits{CPUShares: 512}, "512", "59"},
			{"cpu", "cpu.shares", "cpu.weight", Limits{}, "1024", "100"},
		} {
			err := g.Change(now, c.l)
			got, there := content(t, g, c.controller, c.v1, c.v2)
			want := c.wantV1
			if d := g.of(c.controller); d != nil && d.V2 {
				want = c.wantV2
			}
			wanted := c.l.Memory+c.l.CPUShares+c.l.Pids > 0 || c.l.CPUs > 0
			switch {
			case there && (err != nil || got != want):
				t.Errorf("%+v: %s is %s, wanted %s (%v)", c.l, c.v1, got, want, err)
			case wanted && g.of(c.controller) == nil && !IsKind(err, Unsupported):
				t.Errorf("%+v on a host without it: %v", c.l, err)
			}
			if err == nil {
				now = c.l
			}
		}
		for _, l := range []Limits{{Memory: -1}, {Pids: -1}, {CPUs: -1}, {CPUShares: -1}, {Memory: 1, MemorySwap: -2}} {
			if err := g.Set(l); !IsKind(err, Invalid) {
				t.Errorf("a negative limit, %+v: %v", l, err)
			}
		}
	})
}

func TestWeight(t *testing.T) {
	for shares, want := range map[int64]int64{1: 1, 2: 1, 512: 59, 1024: 100, 2048: 174, 262144: 10000, 1 << 40: 10000} {
		if got := weight(shares); got != want {
			t.Errorf("%d shares are a weight of %d, not %d", shares, got, want)
		}
	}
}

// Memory that is in use is not taken away: whoever lowers a limit must not kill by it.
func TestLimitBelowUse(t *testing.T) {
	each(t, func(t *testing.T, tree *Tree) {
		g := create(t, tree, "web", Limits{AllDevices: true})
		if g.of("memory") == nil {
			t.Skip("this hierarchy has no memory controller")
		}
		// It holds 64 MB while nobody reads the rest of what it writes.
		cmd := command(t, g, "exec dd if=/dev/zero bs=64M count=1 2>/dev/null")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
			t.Fatal("the process did not join: ", err)
		}
		if err := g.Change(Limits{}, Limits{Memory: 16 << 20, MemorySwap: 16 << 20}); !IsKind(err, Busy) {
			t.Errorf("a limit below what is in use: %v", err)
		}
		if err := g.Set(Limits{Memory: 512 << 20}); err != nil {
			t.Error(err)
		}
		n, err := io.Copy(io.Discard, out)
		if err := errors.Join(err, cmd.Wait()); err != nil || n != 64<<20-1 {
			t.Errorf("it ended with %v after %d bytes", err, n)
		}
	})
}

// The kernel counts whom it kills for want of memory, where monitor looks for it, and tells at once.
func TestOOM(t *testing.T) {
	each(t, func(t *testing.T, tree *Tree) {
		g := create(t, tree, "web", Limits{AllDevices: true})
		if g.of("memory") == nil {
			if _, err := g.WatchOOM(); !IsKind(err, Unsupported) {
				t.Errorf("watching where nothing is counted: %v", err)
			}
			t.Skip("this hierarchy has no memory controller")
		}
		if err := g.Set(Limits{Memory: 32 << 20}); err != nil {
			t.Fatal(err)
		}
		f := g.OOM()
		if f == nil {
			t.Fatal("there is no file that counts")
		}
		defer func() { _ = f.Close() }()
		w, err := g.WatchOOM()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = w.Close() }()
		cmd := command(t, g, "ulimit -v 4000000; exec tail /dev/zero") // the second bound is for a machine where the first fails
		cmd.Stderr = nil
		err = cmd.Run()
		s, err2 := g.Stat()
		if err == nil || err2 != nil || s.OOMKills < 1 || g.OOMKills() != s.OOMKills {
			t.Errorf("it ended with %v; %+v, %v", err, s, err2)
		}
		b := make([]byte, 512)
		n, _ := f.ReadAt(b, 0)
		if !strings.Contains(string(b[:n]), fmt.Sprintf("oom_kill %d\n", s.OOMKills)) {
			t.Errorf("the file says %q", b[:n])
		}
		if err := w.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if n, err := w.Read(b); n == 0 || err != nil {
			t.Errorf("nobody was told: %v", err)
		}
		// A group that goes away leaves nobody waiting.
		if err := g.Remove(t.Context()); err != nil {
			t.Error(err)
		}
		if got := g.OOMKills(); got != 0 {
			t.Errorf("a group that is gone has %d", got)
		}
	})
}

func TestStat(t *testing.T) {
	each(t, func(t *testing.T, tree *Tree) {
		g := create(t, tree, "web", Limits{AllDevices: true, Memory: memoryOf(tree, 64<<20), Pids: 9, PidsIfPossible: true})
		file := path.Join(t.TempDir(), "f")
		cmd := command(t, g, "dd if=/dev/zero of="+file+" bs=1M count=4 conv=fsync 2>/dev/null; echo in; read y; exit 0")
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
			t.Fatal(err)
		}
		s, err := g.Stat()
		if err != nil {
			t.Fatal(err)
		}
		if g.of("memory") != nil && (s.Memory <= 0 || s.MemoryMax != 64<<20 || s.File <= 0 || s.InactiveFile < 0 || s.Anonymous < 0 || s.OOMKills != 0) {
			t.Errorf("memory of %+v", s)
		}
		if (g.of("cpuacct") != nil || g.of("cpu") != nil && g.of("cpu").V2) && (s.CPUNanos <= 0 || s.UserNanos < 0 || s.SysNanos < 0) {
			t.Errorf("time of %+v", s)
		}
		if g.of("pids") != nil && (s.Pids != 1 || s.PidsMax != 9) {
			t.Errorf("processes of %+v", s)
		}
		if (g.of("blkio") != nil || g.of("io") != nil) && (s.WrittenBytes < 0 || s.ReadBytes < 0 || s.Reads < 0 || s.Writes < 0) {
			t.Errorf("io of %+v", s)
		}
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// memoryOf is a limit of memory where there can be one.
func memoryOf(tree *Tree, n int64) int64 {
	for _, h := range tree.host.Hierarchies {
		if h.has("memory") {
			return n
		}
	}
	return 0
}
