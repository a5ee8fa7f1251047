package fs_test

import (
	"strings"
	"testing"
)

// An image that was pulled with a login is for who pulled it, root and the group.
func TestPrivateImage(t *testing.T) {
	m := mount(t, "redis:7", "acme/app:1")
	open(t, m)
	m.ok("mkdir -p images/redis:7 images/acme/app:1")
	m.Private("acme/app:1", 4242)
	reads := []string{
		"ls images/acme/app:1/", "cat images/acme/app:1/id", "cat images/acme/app:1/progress", "cat images/acme/app:1/config.json",
		"ls images/acme/app:1/layers/ images/acme/app:1/containers/", "cat images/acme/app:1/layers/1/size",
		"grep app images.txt | grep -v private", "grep layers images.json | wc -l | grep 2", "cat images/acme/app:1/layers/1/images | grep app",
	}
	for _, script := range reads {
		if out, code := m.as(4242, 4242, script); code != 0 {
			t.Errorf("its puller, %s: %s", script, out)
		}
		if out, code := m.as(4343, 4343, script); code == 0 {
			t.Errorf("a stranger, %s: %s", script, out)
		}
		m.ok(script)
	}
	if out, code := m.as(4343, 4343, "ls images/acme; grep acme images.json images.txt; stat images/acme/app:1 && cat images/redis:7/id"); code != 0 || strings.Count(out, "app") < 4 {
		t.Errorf("a stranger sees its name: %d, %s", code, out)
	}
	// To read is all that a puller may.
	for _, script := range []string{
		"echo untag > images/acme/app:1/ctl", "rmdir images/acme/app:1", "mkdir images/acme/app:1/containers/x", "rm images/acme/app:1/id",
		"exec 3<> images/acme/app:1/run", "chmod 777 images/acme/app:1", "ls rootfs/images/*",
	} {
		if out, code := m.as(4242, 4242, script); code == 0 {
			t.Errorf("its puller, %s: %s", script, out)
		}
	}
	m.Private("acme/app:1", 0)
	if out, code := m.as(4242, 4242, "cat images/acme/app:1/id"); code == 0 {
		t.Errorf("root pulled it, and a stranger reads %s", out)
	}
}
