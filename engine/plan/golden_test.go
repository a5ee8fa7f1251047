package plan_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"hull/engine/plan"
	"hull/engine/seccomp"
)

var update = flag.Bool("update", false, "write the golden files")

// container is what a start has by default.
func container() plan.Container {
	return plan.Container{
		Recipe: plan.Recipe{
			Users: true, ShmSize: 64 << 20, Masked: plan.DefaultMasked(), ReadOnlyPaths: plan.DefaultReadOnly(), PingGroups: "0 65535",
		},
		Cgroups:      2,
		CgroupMounts: []plan.CgroupMount{{Dir: "cpu,cpuacct", Data: "cpu,cpuacct"}, {Dir: "systemd", Data: "none,name=systemd"}},
	}
}

// process is root's by default.
func process(t *testing.T) plan.Process {
	t.Helper()
	caps, err := plan.CapabilityMask(plan.DefaultCapabilities())
	if err != nil {
		t.Fatal(err)
	}
	return plan.Process{
		Path: "/bin/sh", Args: []string{"sh", "-c", "exit 3"}, Env: []string{"PATH=/bin", "HOME=/root"}, Dir: "/",
		Groups: []uint32{0}, Caps: caps, LastCap: 40, NoNewPrivs: true, Filter: make([]byte, 800),
		Limits: []plan.Limit{{Name: "nofile", Resource: 7, Soft: 1024, Hard: 4096}, {Name: "core", Resource: 4, Hard: plan.Unlimited}},
	}
}

func TestGolden(t *testing.T) {
	plain := process(t)
	user := process(t)
	user.UID, user.GID, user.Groups = 1000, 1000, []uint32{1000, 29}
	user.Dir, user.MakeDir, user.TTY = "/srv/app", true, true
	user.NoNewPrivs = false
	unified := container()
	unified.CgroupMounts, unified.Cgroups = []plan.CgroupMount{{V2: true}}, 1
	host := container()
	host.Users, host.Cgroups, host.CgroupMounts = false, 0, nil
	given := container()
	given.Kernel = plan.Kernel{
		Devices: []plan.Node{
			{Path: "fuse", Mode: unix.S_IFCHR | 0o666, Major: 10, Minor: 229},
			{Path: "dri/card0", Mode: unix.S_IFCHR | 0o660, Major: 226, GID: 44},
			{Path: "dri/card1", Mode: unix.S_IFCHR | 0o660, Major: 226, Minor: 1, GID: 44},
		},
		Sysctls: []plan.Parameter{{Name: "net.core.somaxconn", Value: "4096"}},
	}
	shared := container()
	shared.Network, shared.Devices = plan.HostNetwork, given.Devices
	joined := host
	joined.Network = plan.Another
	privileged := host
	privileged.Kernel = plan.Kernel{Devices: given.Devices, Writable: true}
	privileged.Masked, privileged.ReadOnlyPaths = nil, nil
	under := process(t)
	under.Init, under.Filter = true, nil
	files := plan.Root{Hostname: "web", ReadOnly: true, Files: []plan.File{
		{Path: "/etc/hosts", Content: []byte("127.0.0.1 localhost\n")},
		{Path: "/etc/hostname", Content: []byte("web\n"), Target: plan.Missing},
		{Path: "/etc/resolv.conf", Content: []byte("nameserver 10.0.0.1\n"), Target: plan.Link},
	}}
	for name, ops := range map[string][]plan.Op{
		"stage":            plan.Stage(container()),
		"stage-v2":         plan.Stage(unified),
		"stage-host":       plan.Stage(host),
		"stage-given":      plan.Stage(given),
		"stage-network":    plan.Stage(shared),
		"stage-joined":     plan.Stage(joined),
		"stage-privileged": plan.Stage(privileged),
		"start-init":       plan.Start(plan.Root{Hostname: "0123456789ab", Devices: true}, under),
		"start":            plan.Start(plan.Root{Hostname: "0123456789ab"}, plain),
		"fill": plan.Fill(false, []plan.RootMount{
			{Target: "/data", Dir: true},
			{Target: "/run", Dir: true, Tmpfs: &plan.Tmpfs{Flags: unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, Data: "size=64m,mode=755"}},
			{Target: "/etc/app/config", Dir: false},
		}),
		"start-filled":  plan.Start(plan.Root{Filled: true, Files: files.Files}, user),
		"open-host":     plan.OpenHost("/srv/files", 1000, 1000, []uint32{1000, 29}),
		"start-user":    plan.Start(files, user),
		"exec-enter":    plan.Enter(true, 2),
		"exec-run":      plan.Run(plain),
		"exec-run-user": plan.Run(user),
	} {
		t.Run(name, func(t *testing.T) { golden(t, name, listing(ops)) })
	}
}

// listing shows operations with the calls they are made of.
func listing(ops []plan.Op) string {
	return plan.Compile(ops).Describe(func(nr uint64) string {
		if n := seccomp.Name(uint32(nr)); n != "" {
			return n
		}
		return fmt.Sprint(nr)
	})
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s has changed; if it should have, run go test -update\n%s", file, diff)
	}
}

func TestCapabilityMask(t *testing.T) {
	caps, err := plan.CapabilityMask(plan.DefaultCapabilities())
	if err != nil || caps != 0x800405fb {
		t.Errorf("the default capabilities are %#x, %v", caps, err)
	}
	for _, names := range [][]string{{"cap_chown"}, {"CHOWN"}, {"Cap_Chown", "chown"}} {
		if m, err := plan.CapabilityMask(names); err != nil || m != 1 {
			t.Errorf("%v: %#x, %v", names, m, err)
		}
	}
	for _, name := range []string{"", "ALL", "CAP_", "CAP_CAP_CHOWN", "chown "} {
		if _, err := plan.CapabilityMask([]string{name}); err == nil {
			t.Errorf("%q is taken for a capability", name)
		}
	}
	all, err := plan.CapabilityMask(plan.CapabilityNames(1<<41 - 1))
	if err != nil || all != 1<<41-1 {
		t.Errorf("all capabilities are %#x, %v", all, err)
	}
}
