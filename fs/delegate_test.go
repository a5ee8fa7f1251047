package fs_test

import (
	"strings"
	"syscall"
	"testing"

	"hull/fs"

	"golang.org/x/sys/unix"
)

// Who was given one container does all with that, and nothing by it with images.
func TestDelegatedContainer(t *testing.T) {
	m := mountWith(t, func(o *fs.Options) { o.Upkeep = keeper{} }, "redis:7", "acme/app:1")
	open(t, m)
	m.ok("mkdir -p images/redis:7 images/acme/app:1 && mkdir images/redis:7/containers/web containers/db && chown -R 4242 containers/web containers/db")
	m.Private("acme/app:1", 0)
	for script, want := range map[string]string{
		"echo stop > containers/web/ctl; cat containers/web/status":                                             "exited\n",
		"echo A=1 > containers/web/config/env; cat containers/web/config/env":                                   "A=1\n",
		"echo redis:7 > containers/db/config/image && echo start > containers/db/ctl; cat containers/db/status": "running\n",
	} {
		if out, code := m.as(4242, 4242, script); code != 0 || out != want {
			t.Errorf("%s: %d %s", script, code, out)
		}
	}
	m.ok("echo stop > containers/db/ctl && mkdir containers/new && chown -R 4242 containers/new")
	for _, script := range []string{
		"echo 'commit redis:7' > containers/web/ctl", "echo 'commit hers:1' > containers/web/ctl", "echo 'commit ghcr.io/a/b:1' > containers/web/ctl",
		"echo acme/app:1 > containers/new/config/image", "ln -s images/redis:7 images/x:1",
	} {
		if out, code := m.as(4242, 4242, script); code == 0 || !strings.Contains(out, "ermission denied") {
			t.Errorf("%s: %d %s", script, code, out)
		}
	}
	m.want("cat containers/new/config/image", "")
	// An image that was given does not bring the names of others with it.
	m.ok("chown -R 4242 images/redis:7")
	for _, script := range []string{"echo 'tag acme/app:1' > images/redis:7/ctl", "echo 'push other:1' > images/redis:7/ctl"} {
		if out, code := m.as(4242, 4242, script); code == 0 || !strings.Contains(out, "ermission denied") {
			t.Errorf("%s: %d %s", script, code, out)
		}
	}
	// What an image or the whole's own files do elsewhere takes the rights that doing it by hand does.
	m.ok("chmod 777 ctl load")
	for _, script := range []string{
		"mkdir images/redis:7/containers/more", "echo prune containers > ctl", "echo prune all > ctl", "echo prune -a volumes > ctl",
		"echo archive > load",
	} {
		if out, code := m.as(4242, 4242, script); code == 0 || !strings.Contains(out, "ermission denied") {
			t.Errorf("%s: %d %s", script, code, out)
		}
	}
	m.ok("chown 4242 containers")
	if out, code := m.as(4242, 4242, "mkdir images/redis:7/containers/more && echo prune containers > ctl"); code != 0 {
		t.Errorf("%d %s", code, out)
	}
	// With a directory of images to work in, there are such names.
	m.ok("mkdir -p images/localhost && chown 4242 images/localhost")
	if out, code := m.as(4242, 4242, "echo 'tag localhost/hers:1' > images/redis:7/ctl"); code != 0 {
		t.Errorf("%d %s", code, out)
	}
}

// The group has the names of images, and starts and stops what acts on the host with somebody's rights: it does not have it
// made from another image.
func TestGroupChoosesNoImage(t *testing.T) {
	m := mountWith(t, func(o *fs.Options) { o.Group, o.Upkeep = 5555, keeper{} }, "redis:7", "acme/app:1")
	open(t, m)
	m.ok("mkdir -p images/redis:7 images/acme/app:1 && mkdir images/redis:7/containers/web containers/db && echo evil:1 > containers/db/config/image")
	m.Reach("web")
	m.Reach("db")
	if out, code := m.as(4242, 5555, "ln -s images/acme/app:1 images/evil:1 && echo 'tag redis:7' > images/acme/app:1/ctl && echo stop > containers/web/ctl && echo start > containers/web/ctl"); code != 0 {
		t.Fatalf("%d %s", code, out)
	}
	for _, script := range []string{"echo recreate > containers/web/ctl", "echo start > containers/db/ctl", "echo restart > containers/db/ctl"} {
		if out, code := m.as(4242, 5555, script); code == 0 || !strings.Contains(out, "ermission denied") {
			t.Errorf("%s: %d %s", script, code, out)
		}
	}
	m.want("cat containers/web/status containers/db/status", "running\ncreated\n")
	m.ok("echo recreate > containers/web/ctl && echo start > containers/db/ctl") // that is root's to choose
	// Nor does anybody get to see, by his own container, what he may not look into.
	m.ok("mkdir containers/his && chown -R 4242 containers/his && echo acme/app:1 > containers/his/config/image && echo start > containers/his/ctl")
	m.Private("acme/app:1", 0)
	if out, code := m.as(4242, 4242, "echo recreate > containers/his/ctl"); code == 0 || !strings.Contains(out, "ermission denied") {
		t.Errorf("%d %s", code, out)
	}
}

// A setting that was opened before its container acts on the host is not written to afterwards.
func TestSettingOpenedBefore(t *testing.T) {
	m := mountWith(t, func(o *fs.Options) { o.Group = 5555 }, "redis:7")
	open(t, m)
	m.ok("mkdir containers/web")
	var fd int
	asThread(t, somebody["member"], func() {
		var err error
		if fd, err = unix.Open(m.path("containers/web/config/command"), unix.O_WRONLY|unix.O_CLOEXEC, 0); err != nil {
			t.Error(err)
		}
	})
	defer unix.Close(fd)
	if _, err := unix.Pwrite(fd, []byte("first\n"), 0); err != nil {
		t.Error(err)
	}
	m.Reach("web")
	_, err := unix.Pwrite(fd, []byte("second\n"), 0)
	errno(t, "write", err, syscall.EACCES)
	m.want("cat containers/web/config/command", "first\n")
}
