package main

import (
	"strings"
	"testing"
)

func TestFstabOptions(t *testing.T) {
	for _, c := range []struct {
		list   string
		sloppy bool
		set    string // flag=value …
		fails  string // part of the sentence
	}{
		{list: ""},
		{list: "defaults"},
		{list: "rw,dev,suid,noauto,nofail,_netdev,x-systemd.automount,X-mount.mkdir,noatime,comment=hello"},
		{list: "store=/data/hull,run=/run/other,warm=0,stall=2m", set: "store=/data/hull run=/run/other warm=0 stall=2m0s"},
		{list: `rw,store="/data/a,b",group=0`, set: "store=/data/a,b group=0"},
		{list: "stall=", fails: "stall"},
		{list: "stall=soon", fails: `the option stall cannot be "soon"`},
		{list: "store", fails: "the option store needs a value"},
		{list: "group=staff,group", set: "group=staff"}, // without a value it is mount(8)'s
		{list: "ro", fails: "the option ro cannot be had"},
		{list: "noexec", fails: "the option noexec cannot be had"},
		{list: "remount,rw", fails: "the option remount cannot be had"},
		{list: "background", fails: "the option background cannot be had"},
		{list: "user_id=1000", fails: "the option user_id cannot be had"},
		{list: "sotre=/data", fails: "there is no option sotre; hull's are group= log-format="},
		{list: "sotre=/data", sloppy: true},
	} {
		f := mountCommand().Flags()
		err := fstabOptions(c.list, f, c.sloppy)
		switch {
		case c.fails == "" && err != nil, c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)):
			t.Errorf("%s: %v", c.list, err)
		}
		for _, pair := range strings.Fields(c.set) {
			name, want, _ := strings.Cut(pair, "=")
			if got := f.Lookup(name).Value.String(); got != want {
				t.Errorf("%s: %s is %q", c.list, name, got)
			}
		}
	}
}

// TestHelperCall: mount(8) is told from people, and from files of the tree that are executed.
func TestHelperCall(t *testing.T) {
	for line, want := range map[string]bool{
		"/sbin/mount.fuse.hull hull /hull":            true,
		"hull hull /hull -o rw,dev,suid":              true,
		"/usr/bin/hull /run/hull /hull -o rw":         true,
		"hull mount /hull -o rw":                      false,
		"hull umount /hull -o rw":                     false,
		"hull hull hull -o rw":                        false,
		"hull":                                        false,
		"hull mount --background /hull":               false,
		"hull hull /hull -o rw --background":          false,
		"/usr/local/bin/hull doctor /sbin/mount.fuse": false,
	} {
		args := strings.Fields(line)
		if calledByMount(args) != want {
			t.Errorf("%s: %v", line, !want)
		}
	}
	if status := play(roleVerb, []string{"hull", roleVerb, "/nothing/here", "-o", "f"}); status == 0 || status == mountFailed {
		t.Errorf("an executed file with -o is taken for mount(8)'s call: status %d", status)
	}
}
