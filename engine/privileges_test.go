package engine

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hull/engine/plan"
)

// TestPrivileges: what settings make of what a container's processes may do.
func TestPrivileges(t *testing.T) {
	every := everyCapability()
	slices.Sort(every)
	defaults := plan.DefaultCapabilities()
	less := func(from []string, names ...string) []string {
		return slices.DeleteFunc(slices.Clone(from), func(n string) bool { return slices.Contains(names, n) })
	}
	more := func(from []string, names ...string) []string {
		all := append(slices.Clone(from), names...)
		slices.Sort(all)
		return slices.Compact(all)
	}
	for _, tt := range []struct {
		name     string
		settings map[string]string
		want     privileges
	}{
		{"nothing", nil, privileges{}},
		{"false", map[string]string{"privileged": "false", "no_new_privileges": "true"}, privileges{}},
		{"gains", map[string]string{"no_new_privileges": "false"}, privileges{Gains: true}},
		{"add", map[string]string{"cap_add": "net_raw\nchown"}, privileges{Capabilities: more(defaults, "CAP_NET_RAW")}},
		{"drop", map[string]string{"cap_drop": "CHOWN\nNET_RAW"}, privileges{Capabilities: more(less(defaults, "CAP_CHOWN"))}},
		{"all", map[string]string{"cap_add": "ALL"}, privileges{Capabilities: every}},
		{"all but one", map[string]string{"cap_add": "ALL", "cap_drop": "SYS_TIME"}, privileges{Capabilities: less(every, "CAP_SYS_TIME")}},
		{"none", map[string]string{"cap_drop": "ALL"}, privileges{Capabilities: []string{}, None: true}},
		{"only one", map[string]string{"cap_drop": "ALL", "cap_add": "KILL"}, privileges{Capabilities: []string{"CAP_KILL"}}},
		{"all and none", map[string]string{"cap_drop": "ALL", "cap_add": "ALL"}, privileges{Capabilities: []string{}, None: true}},
		{"users", map[string]string{"userns": "host"}, privileges{HostUsers: true}},
		{"unconfined", map[string]string{"seccomp": "unconfined"}, privileges{Profile: "unconfined"}},
		{"privileged", map[string]string{"privileged": "yes"}, privileges{Privileged: true, HostUsers: true, Gains: true, Profile: "unconfined", Capabilities: every}},
		{"less privileged", map[string]string{"privileged": "yes", "cap_drop": "SYS_TIME", "no_new_privileges": "true", "seccomp": `{"defaultAction":"SCMP_ACT_ALLOW"}`}, privileges{
			Privileged: true, HostUsers: true, Profile: `{"defaultAction":"SCMP_ACT_ALLOW"}`, Capabilities: less(every, "CAP_SYS_TIME"),
		}},
	} {
		set, err := parseSettings(tt.settings)
		if err != nil {
			t.Fatal(err)
		}
		got := set.privileges()
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
		if names := got.names(); (names == nil) != (got.Capabilities == nil) {
			t.Errorf("%s: the launcher is given %v", tt.name, names)
		}
		if f, err := got.filter(); err != nil || (f == nil) != (got.Profile == unconfined) {
			t.Errorf("%s: the profile is %v, %v", tt.name, f, err)
		}
	}
}

// TestRootsOnly: what a container that somebody else than root owns may not have.
func TestRootsOnly(t *testing.T) {
	for _, tt := range []struct {
		setting, value string
		kept           bool // it is root's alone
	}{
		{"cap_add", "CHOWN\nNET_BIND_SERVICE", false},
		{"cap_add", "CHOWN\nNET_RAW", true},
		{"cap_add", "ALL", true},
		{"cap_drop", "ALL", false},
		{"no_new_privileges", "false", false},
		{"privileged", "false", false},
		{"privileged", "true", true},
		{"userns", "host", true},
		{"userns", "\n", false},
		{"devices", "/dev/fuse", true},
		{"devices", "# none\n", false},
		{"seccomp", "unconfined", true},
		{"seccomp", `{"defaultAction":"SCMP_ACT_ALLOW"}`, true},
		{"sysctls", "net.ipv4.ip_forward=1", false},
		{"sysctls", "net.ipv4.ip_forward=1\nkernel.shmmax=1", true},
		{"sysctls", "fs.mqueue.msg_max=1", true},
		{"init", "true", false},
	} {
		set, err := parseSettings(map[string]string{tt.setting: tt.value})
		if err != nil {
			t.Fatal(err)
		}
		if err := mayHave(Owner{}, set); err != nil {
			t.Errorf("root, %s %q: %v", tt.setting, tt.value, err)
		}
		err = mayHave(Owner{UID: 1000}, set)
		if (KindOf(err) == NeedsRoot) != tt.kept || err != nil && !strings.Contains(err.Error(), tt.setting) {
			t.Errorf("another, %s %q: %v", tt.setting, tt.value, err)
		}
	}
}

// TestHostDevices looks at devices that every machine has.
func TestHostDevices(t *testing.T) {
	set := func(settings map[string]string) values {
		v, err := parseSettings(settings)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	got, err := set(map[string]string{"devices": "/dev/zero:r\n/dev/null:/dev/hole/one:rw"}).devices()
	if err != nil || len(got.nodes) != 2 || len(got.rules) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	if n, r := got.nodes[1], got.rules[1]; n.Path != "hole/one" || n.Major != 1 || n.Minor != 3 || r.Type != 'c' || r.Major != 1 || r.Minor != 3 || r.Access != "rw" {
		t.Errorf("%+v %+v", n, r)
	}
	if r := got.rules[0]; r.Access != "r" {
		t.Errorf("%+v", r)
	}
	for _, bad := range []string{"/dev/no-such-device", "/dev/fd", "/dev/stdin/x"} {
		if _, err := set(map[string]string{"devices": bad}).devices(); KindOf(err) != Invalid || err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	all, err := set(map[string]string{"privileged": "true"}).devices()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, n := range all.nodes {
		if seen[n.Path] || strings.HasPrefix(n.Path, "pts/") || n.Path == "null" || n.Path == "ptmx" {
			t.Errorf("a privileged container is given %s", n.Path)
		}
		seen[n.Path] = true
	}
}
