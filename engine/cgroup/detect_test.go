package cgroup

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	hybridMounts = `27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
36 31 0:33 / /sys/fs/cgroup/devices rw,relatime - cgroup cgroup rw,devices
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
42 31 0:36 / /run/again rw,relatime - cgroup cgroup rw,pids
`
	hybridOwn = `9:name=systemd:/
8:pids:/user.slice
5:devices:/user.slice
4:memory:/sand/box
1:cpu,cpuacct:/
0::/user.slice
`
)

func TestDetect(t *testing.T) {
	v2 := "40 30 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	for _, c := range []struct {
		name, mounts, own string
		files             map[string]string
		mode              Mode
		want              []Hierarchy
		missing           int
	}{
		{
			name: "hybrid", mounts: hybridMounts, own: hybridOwn, mode: Hybrid, missing: 2, // freezer, blkio
			want: []Hierarchy{
				{Controllers: []string{"cpu", "cpuacct"}, Mount: "/sys/fs/cgroup/cpu,cpuacct", Base: "/sys/fs/cgroup/cpu,cpuacct"},
				{Controllers: []string{"memory"}, Mount: "/sys/fs/cgroup/memory", Base: "/sys/fs/cgroup/memory/sand/box"},
				{Controllers: []string{"devices"}, Mount: "/sys/fs/cgroup/devices", Base: "/sys/fs/cgroup/devices/user.slice"},
				{Controllers: []string{"pids"}, Mount: "/sys/fs/cgroup/pids", Base: "/sys/fs/cgroup/pids/user.slice"},
			},
		},
		{
			name: "v2, in a session's scope", mounts: v2, own: "0::/user.slice/session.scope\n", mode: V2,
			files: map[string]string{
				"/sys/fs/cgroup/user.slice/session.scope/cgroup.procs": "12\n13\n", "/sys/fs/cgroup/user.slice/session.scope/cgroup.type": "domain\n",
				"/sys/fs/cgroup/user.slice/cgroup.procs": "", "/sys/fs/cgroup/user.slice/cgroup.type": "domain\n",
				"/sys/fs/cgroup/user.slice/cgroup.controllers": "cpu io memory pids\n",
			},
			want: []Hierarchy{{Controllers: []string{"pids", "memory", "cpu", "io"}, Mount: "/sys/fs/cgroup", Base: "/sys/fs/cgroup/user.slice", V2: true}},
		},
		{
			name: "v2, in a session that is given few controllers", mounts: v2, own: "0::/user.slice/user-0.slice/session.scope\n", mode: V2,
			files: map[string]string{
				"/sys/fs/cgroup/user.slice/user-0.slice/session.scope/cgroup.procs": "12\n", "/sys/fs/cgroup/user.slice/user-0.slice/session.scope/cgroup.type": "domain\n",
				"/sys/fs/cgroup/user.slice/user-0.slice/cgroup.procs": "", "/sys/fs/cgroup/user.slice/user-0.slice/cgroup.type": "domain\n",
				"/sys/fs/cgroup/user.slice/user-0.slice/cgroup.controllers": "memory pids\n",
				"/sys/fs/cgroup/user.slice/cgroup.procs":                    "", "/sys/fs/cgroup/user.slice/cgroup.type": "domain\n",
				"/sys/fs/cgroup/user.slice/cgroup.controllers": "cpuset cpu io memory pids\n",
				"/sys/fs/cgroup/cgroup.procs":                  "1\n", "/sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory hugetlb pids rdma misc\n",
			},
			want: []Hierarchy{{Controllers: []string{"pids", "memory", "cpu", "io"}, Mount: "/sys/fs/cgroup", Base: "/sys/fs/cgroup/user.slice/user-0.slice", V2: true}},
		},
		{
			name: "v2, in a session that hull has given the others", mounts: v2, own: "0::/user.slice/user-0.slice/session.scope\n", mode: V2,
			files: map[string]string{
				"/sys/fs/cgroup/user.slice/user-0.slice/session.scope/cgroup.procs": "12\n", "/sys/fs/cgroup/user.slice/user-0.slice/session.scope/cgroup.type": "domain\n",
				"/sys/fs/cgroup/user.slice/user-0.slice/cgroup.procs": "", "/sys/fs/cgroup/user.slice/user-0.slice/cgroup.type": "domain\n",
				"/sys/fs/cgroup/user.slice/user-0.slice/cgroup.controllers": "cpu io memory pids\n",
				"/sys/fs/cgroup/user.slice/cgroup.procs":                    "", "/sys/fs/cgroup/user.slice/cgroup.type": "domain\n",
				"/sys/fs/cgroup/user.slice/cgroup.controllers": "cpuset cpu io memory pids\n",
				"/sys/fs/cgroup/cgroup.procs":                  "1\n", "/sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory hugetlb pids rdma misc\n",
			},
			want: []Hierarchy{{Controllers: []string{"pids", "memory", "cpu", "io"}, Mount: "/sys/fs/cgroup", Base: "/sys/fs/cgroup/user.slice/user-0.slice", V2: true}},
		},
		{
			name: "v2, in a session below somebody else's processes", mounts: v2, own: "0::/a/b/c\n", mode: V2, missing: 2, // cpu, blkio
			files: map[string]string{
				"/sys/fs/cgroup/a/b/c/cgroup.procs": "12\n", "/sys/fs/cgroup/a/b/c/cgroup.type": "domain\n",
				"/sys/fs/cgroup/a/b/cgroup.procs": "", "/sys/fs/cgroup/a/b/cgroup.type": "domain\n", "/sys/fs/cgroup/a/b/cgroup.controllers": "memory pids\n",
				"/sys/fs/cgroup/a/cgroup.procs": "7\n", "/sys/fs/cgroup/a/cgroup.type": "domain\n",
				"/sys/fs/cgroup/cgroup.procs": "1\n", "/sys/fs/cgroup/cgroup.controllers": "cpu io memory pids\n",
			},
			want: []Hierarchy{{Controllers: []string{"pids", "memory"}, Mount: "/sys/fs/cgroup", Base: "/sys/fs/cgroup/a/b", V2: true}},
		},
		{
			name: "hybrid, with nothing to limit by in version 2", mounts: hybridMounts, own: hybridOwn, mode: Hybrid, missing: 2,
			files: map[string]string{
				"/sys/fs/cgroup/unified/cgroup.procs": "1\n", "/sys/fs/cgroup/unified/cgroup.controllers": "io hugetlb\n",
			},
			want: []Hierarchy{
				{Controllers: []string{"cpu", "cpuacct"}, Mount: "/sys/fs/cgroup/cpu,cpuacct", Base: "/sys/fs/cgroup/cpu,cpuacct"},
				{Controllers: []string{"memory"}, Mount: "/sys/fs/cgroup/memory", Base: "/sys/fs/cgroup/memory/sand/box"},
				{Controllers: []string{"devices"}, Mount: "/sys/fs/cgroup/devices", Base: "/sys/fs/cgroup/devices/user.slice"},
				{Controllers: []string{"pids"}, Mount: "/sys/fs/cgroup/pids", Base: "/sys/fs/cgroup/pids/user.slice"},
			},
		},
		{
			name: "hybrid, with a limit's controller in version 2 alone", mode: Hybrid, missing: 2, // pids, cpu; the freezer comes with version 2
			mounts: "36 31 0:33 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices\n41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n",
			own:    "5:devices:/\n0::/\n",
			files: map[string]string{
				"/sys/fs/cgroup/unified/cgroup.procs": "1\n", "/sys/fs/cgroup/unified/cgroup.controllers": "memory io\n",
			},
			want: []Hierarchy{
				{Controllers: []string{"devices"}, Mount: "/sys/fs/cgroup/devices", Base: "/sys/fs/cgroup/devices"},
				{Controllers: []string{"memory", "io"}, Mount: "/sys/fs/cgroup/unified", Base: "/sys/fs/cgroup/unified", V2: true},
			},
		},
		{
			name: "v2, at the root", mounts: v2, own: "0::/\n", mode: V2, missing: 2, // cpu, blkio
			files: map[string]string{"/sys/fs/cgroup/cgroup.procs": "1\n", "/sys/fs/cgroup/cgroup.controllers": "memory pids\n"},
			want:  []Hierarchy{{Controllers: []string{"pids", "memory"}, Mount: "/sys/fs/cgroup", Base: "/sys/fs/cgroup", V2: true}},
		},
		{
			name: "v2, in a container without delegation", mounts: v2, own: "0::/\n", mode: V2, missing: 4,
			files: map[string]string{
				"/sys/fs/cgroup/cgroup.procs": "1\n", "/sys/fs/cgroup/cgroup.controllers": "memory pids\n", "/sys/fs/cgroup/cgroup.type": "domain\n",
			},
			want: []Hierarchy{{Mount: "/sys/fs/cgroup", Base: "/sys/fs/cgroup", V2: true}},
		},
		{
			name: "v1, in another's container", mode: V1, missing: 5,
			mounts: `9 1 0:36 /docker/a\040b /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids` + "\n",
			own:    "8:pids:/docker/a b/c\n",
			want:   []Hierarchy{{Controllers: []string{"pids"}, Mount: "/sys/fs/cgroup/pids", Base: "/sys/fs/cgroup/pids/c"}},
		},
		{
			name: "v1, outside of what is mounted", mode: V1, missing: 5,
			mounts: "9 1 0:36 /docker/a /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n",
			own:    "8:pids:/else\n",
			want:   []Hierarchy{{Controllers: []string{"pids"}, Mount: "/sys/fs/cgroup/pids", Base: "/sys/fs/cgroup/pids"}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, err := detect(strings.NewReader(c.mounts), strings.NewReader(c.own), func(name string) (string, error) {
				if s, ok := c.files[name]; ok {
					return s, nil
				}
				return "", os.ErrNotExist
			})
			if err != nil {
				t.Fatal(err)
			}
			if h.Mode != c.mode {
				t.Errorf("mode %v, want %v", h.Mode, c.mode)
			}
			if d := cmp.Diff(c.want, h.Hierarchies); d != "" {
				t.Error(d)
			}
			if len(h.Missing) != c.missing {
				t.Errorf("missing %q, want %d", h.Missing, c.missing)
			}
		})
	}
	_, err := detect(strings.NewReader(""), strings.NewReader(""), nil)
	var e *Error
	if !errors.As(err, &e) || e.Kind != Unsupported {
		t.Errorf("without any: %v", err)
	}
}

func FuzzDetect(f *testing.F) {
	f.Add(hybridMounts, hybridOwn)
	f.Add("a - cgroup2", "::")
	f.Add("1 2 3 ../.. / r - cgroup2 x rw", "0::/../../..")
	f.Fuzz(func(_ *testing.T, mounts, own string) {
		h, err := detect(strings.NewReader(mounts), strings.NewReader(own), func(string) (string, error) { return "", nil })
		if err == nil {
			_ = h.Mode.String()
		}
	})
}

func TestValid(t *testing.T) {
	for name, want := range map[string]bool{
		"web": true, "a.b-c_9": true, "": false, ".": false, "..": false, ".x": false, "a/b": false, "a\nb": false,
		strings.Repeat("a", 129): false, "é": false,
	} {
		if valid(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}
