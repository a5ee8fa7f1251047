package engine

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseMount(t *testing.T) {
	for item, want := range map[string]mount{
		"/data":                  {Kind: volumeMount, Target: "/data", Anonymous: true},
		"/data/":                 {Kind: volumeMount, Target: "/data", Anonymous: true},
		"db:/data":               {Kind: volumeMount, Source: "db", Target: "/data"},
		"db:/a//b/../c:ro":       {Kind: volumeMount, Source: "db", Target: "/a/c", ReadOnly: true},
		"db:/data:rw,nocopy,z":   {Kind: volumeMount, Source: "db", Target: "/data", NoCopy: true},
		"/srv:/srv":              {Kind: bindMount, Source: "/srv", Target: "/srv"},
		"/srv/../etc/:/etc:ro,Z": {Kind: bindMount, Source: "/etc", Target: "/etc", ReadOnly: true},
		"/a=b:/x":                {Kind: bindMount, Source: "/a=b", Target: "/x"},
		"/srv:/x:bind":           {Kind: bindMount, Source: "/srv", Target: "/x", Alone: true},
		"/dev/shm:/dev/shm":      {Kind: bindMount, Source: "/dev/shm", Target: "/dev/shm"},

		"type=bind,source=/srv,target=/data,readonly": {Kind: bindMount, Source: "/srv", Target: "/data", ReadOnly: true},
		"target=/data":                                            {Kind: volumeMount, Target: "/data", Anonymous: true},
		"src=db,dst=/data,volume-nocopy=true":                     {Kind: volumeMount, Source: "db", Target: "/data", NoCopy: true},
		"type=volume,source=db,destination=/data,ro=false":        {Kind: volumeMount, Source: "db", Target: "/data"},
		`type=bind,"source=/a,b",target=/c:d`:                     {Kind: bindMount, Source: "/a,b", Target: "/c:d"},
		"type=bind,src=/a,dst=/b,bind-recursive=disabled":         {Kind: bindMount, Source: "/a", Target: "/b", Alone: true},
		"type=bind,src=/a,dst=/b,bind-propagation=rprivate":       {Kind: bindMount, Source: "/a", Target: "/b"},
		"type=tmpfs,dst=/t,tmpfs-size=64m,tmpfs-mode=0700":        {Kind: tmpfsMount, Target: "/t", Options: []string{"size=64m", "mode=0700"}},
		"dst=/t,tmpfs-size=1g,type=tmpfs,consistency=cached,ro=1": {Kind: tmpfsMount, Target: "/t", ReadOnly: true, Options: []string{"size=1g"}},
	} {
		got, err := parseMount(item)
		if err != nil {
			t.Errorf("%s: %v", item, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", item, diff)
		}
	}
	for _, item := range []string{
		"x", "a/b:/x", "./a:/x", "~/a:/x", "x:y", "x:/", "x:/..", "x:/proc", "x:/proc/x", "x:/sys", "x:/dev", "x:/x:huh", "a:b:c:d", ":/x", "x:", ".x:/x",
		"-a:/x", "db:/x:rslave", "/x:/y:shared", "x:/" + strings.Repeat("x", 5000), "../x:/y",
		"type=bind,target=/x", "type=bind,source=x,target=/x", "type=what,target=/x", "type=tmpfs,source=x,target=/x", "type=volume,source=/x,target=/y",
		"type=tmpfs,target=/x,tmpfs-size=x", "type=tmpfs,target=/x,tmpfs-mode=8", "type=bind,source=/x,target=/y,tmpfs-size=1", "type=bind,source=/x,target=/y,volume-nocopy",
		"target=/x,nosuch=1", "target=/x,readonly=maybe", "source=db", "type=bind,source=/x,target=/y,bind-recursive=some", `target="/x`, "readonly",
	} {
		if m, err := parseMount(item); err == nil {
			t.Errorf("%s is taken: %+v", item, m)
		}
	}
}

func TestParseTmpfs(t *testing.T) {
	for item, want := range map[string]mount{
		"/run":                         {Kind: tmpfsMount, Target: "/run"},
		"/run:rw,size=64m,mode=1777":   {Kind: tmpfsMount, Target: "/run", Options: []string{"size=64m", "mode=1777"}},
		"/run:ro,exec,uid=5,size=50%":  {Kind: tmpfsMount, Target: "/run", ReadOnly: true, Options: []string{"exec", "uid=5", "size=50%"}},
		"/dev/shm:size=1g,nr_inodes=9": {Kind: tmpfsMount, Target: "/dev/shm", Options: []string{"size=1g", "nr_inodes=9"}},
	} {
		got, err := parseOneTmpfs(item)
		if err != nil {
			t.Errorf("%s: %v", item, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", item, diff)
		}
	}
	for _, item := range []string{
		"run", "", "/", "/proc/x", "/x:size", "/x:size=-1", "/x:size=1mm", "/x:size=m", "/x:mode=99", "/x:mode=10000", "/x:uid=65536", "/x:uid=x",
		"/x:huge=always", "/x:size=1,source=/etc", "/x:nr_inodes=5%", "/x:remount",
	} {
		if m, err := parseOneTmpfs(item); err == nil {
			t.Errorf("%s is taken: %+v", item, m)
		}
	}
}

func TestMountsTogether(t *testing.T) {
	set, err := parseSettings(map[string]string{"mounts": "outer:/a\ndb:/var/lib/db\n/x/y/z\n", "tmpfs": "/a/b/c\n/a/b:size=1m\n"})
	if err != nil {
		t.Fatal(err)
	}
	image := &Image{Volumes: []string{"/var/lib/db/", "/a/b", "/seed", "/seed/"}}
	list, err := set.mounts(image)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range list {
		got = append(got, string(m.Kind)+" "+m.Source+" "+m.Target)
	}
	want := []string{"volume outer /a", "volume  /seed", "tmpfs  /a/b", "tmpfs  /a/b/c", "volume db /var/lib/db", "volume  /x/y/z"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []map[string]string{
		{"mounts": "a:/x\nb:/x/\n"},
		{"mounts": "a:/x\n", "tmpfs": "/x\n"},
		{"mounts": strings.Repeat("/x\n", 1) + many(maxMounts)},
	} {
		set, err := parseSettings(bad)
		if err != nil {
			t.Fatal(err)
		}
		if err := set.checkMounts(); KindOf(err) != Invalid || err == nil {
			t.Errorf("%v: %v", bad, err)
		}
	}
	for _, target := range []string{"", "relative", "/", "/proc/x", "/../"} {
		if list, err := (values{}).mounts(&Image{Volumes: []string{target}}); err == nil {
			t.Errorf("an image's volume at %q is taken: %+v", target, list)
		}
	}
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("/m" + strings.Repeat("x", i) + "\n")
	}
	return b.String()
}
