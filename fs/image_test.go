package fs_test

import (
	"context"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"hull/fs"
)

func TestPullAndItsFailures(t *testing.T) {
	m := mount(t, "redis:7", "ghcr.io/acme/app:1.2", "localhost:5000/team/app:1")
	errno(t, "no such tag", os.Mkdir(m.path("images/redis:8"), 0o755), syscall.ENOENT)
	m.want("ls images; cat error", "The registry docker.io has no image redis:8; check the name and tag.\n")
	for _, bad := range []string{"Redis:7", "a b:1", "x:", "x@sha1"} {
		if err := os.Mkdir(m.path("images/"+bad), 0o755); err == nil {
			t.Errorf("mkdir images/%s is accepted", bad)
		} else if bad != "x@sha1" {
			errno(t, bad, err, syscall.EINVAL)
		}
	}
	m.Fill(true)
	errno(t, "a full disk", os.Mkdir(m.path("images/redis:7"), 0o755), syscall.ENOSPC)
	m.Fill(false)
	m.Hold("redis:7")
	m.ok("mkdir images/redis:7")
	m.want("cat images/redis:7/status images/redis:7/bytes; ls images; ls images/redis:7 | grep -c rootfs || true", "pulling\n0 100\nredis:7\n0\n")
}

func TestPullFailsLater(t *testing.T) {
	m := mount(t, "redis:7")
	m.Hold("redis:7")
	m.ok("mkdir images/redis:7")
	m.LetGo("redis:7", &fs.Error{Kind: fs.Unreachable, Sentence: "The registry docker.io cannot be reached; try again with echo pull > ctl."})
	m.want("cat images/redis:7/status images/redis:7/error; tail -1 images/redis:7/progress", "failed\nThe registry docker.io cannot be reached; try again with echo pull > ctl.\nThe registry docker.io cannot be reached; try again with echo pull > ctl.\n")
	m.tree.Failed(fs.Credential{}, "pull", "images/redis:7", &fs.Error{Kind: fs.Timeout, Sentence: "It took too long."})
	m.want("cat images/redis:7/error images/error", "It took too long.\nIt took too long.\n")
	if err := m.Images().Pull(t.Context(), "redis:7", "", 0); err != nil { // by ./pull, which is not a call of the tree
		t.Error(err)
	}
	m.want("cat images/redis:7/status images/redis:7/error", "ready\n")
}

func TestNamesBecomeDirectories(t *testing.T) {
	m := mount(t, "redis:7", "ghcr.io/acme/app:1.2", "localhost:5000/team/app:1", "oscarwin/hello-world:3.0")
	m.ok("mkdir -p images/ghcr.io/acme/app:1.2 images/localhost:5000/team/app:1 images/oscarwin/hello-world:3.0 images/redis:7")
	m.want("ls images images/ghcr.io images/localhost:5000/team images/oscarwin", "images:\nghcr.io\nlocalhost:5000\noscarwin\nredis:7\n\nimages/ghcr.io:\nacme\n\nimages/localhost:5000/team:\napp:1\n\nimages/oscarwin:\nhello-world:3.0\n")
	m.want("cat images/ghcr.io/acme/app:1.2/status; cd images/ghcr.io/acme/app:1.2/rootfs && pwd -P | sed 's,.*rootfs/,,' | wc -c | tr -d ' '", "ready\n72\n")
	errno(t, "rmdir of a directory with images", os.Remove(m.path("images/ghcr.io")), syscall.ENOTEMPTY)
	m.ok("rmdir images/oscarwin/hello-world:3.0")
	m.want("ls images", "ghcr.io\nlocalhost:5000\noscarwin\nredis:7\n")
	m.ok("rmdir images/oscarwin")
	m.ok("mkdir images/quay.io && rmdir images/quay.io")
	m.want("ls images", "ghcr.io\nlocalhost:5000\nredis:7\n")
}

func TestBareNames(t *testing.T) {
	m := mount(t, "ubuntu:latest", "me/app:1")
	m.ok("mkdir images/ubuntu && cat images/ubuntu/status")
	m.want("ls images; cat images/ubuntu:latest/status images/ubuntu/id | head -1; ls images/ubuntu | head -2", "ubuntu:latest\nready\nbytes\nconfig.json\n")
	m.ok("rmdir images/ubuntu")
	m.want("ls images", "")
	m.ok("mkdir images/ubuntu")
	m.until("ls images", "ubuntu:latest\n")
	m.ok("rmdir images/ubuntu:latest")

	m.ok("mkdir -p images/me/app:1")
	m.want("ls images images/me", "images:\nme\n\nimages/me:\napp:1\n")
	m.ok("mkdir images/nosuch")
	m.until("cat images/nosuch/status images/nosuch:latest/error", "failed\nThe registry docker.io has no image nosuch:latest; check the name and tag.\n")
	m.ok("mkdir images/gone && rmdir images/gone")
	errno(t, "rmdir again", os.Remove(m.path("images/gone")), syscall.ENOENT)
	m.want("ls images", "me\nnosuch:latest\n")
}

// rm -r and rmdir -p remove the directories themselves whose last image they have removed, and end well.
func TestDirectoriesOutlastTheirImages(t *testing.T) {
	m := mount(t, "me/app:1", "me/app:2", "ghcr.io/acme/deep/app:1", "ubuntu:latest", "me/ubuntu:latest")
	load := func(refs ...string) { // no mkdir makes their directories
		t.Helper()
		for _, ref := range refs {
			if err := m.Images().Pull(t.Context(), ref, "", 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	load("me/app:1", "me/app:2", "ghcr.io/acme/deep/app:1")
	m.ok("rm -r images/me")
	m.want("ls images", "ghcr.io\n")
	m.ok("cd images && rmdir -p ghcr.io/acme/deep/app:1")
	m.want("ls images", "")
	load("me/app:1")
	m.ok("rm -r images/docker.io/me")
	m.want("ls images", "")
	load("me/app:1")
	m.ok("mv images/me/app:1 images/you:1 && rmdir images/me && rmdir images/you:1")
	m.want("ls images", "")
	load("ubuntu:latest", "me/ubuntu:latest")
	m.ok("rm -r images/ubuntu && rm -r images/me/ubuntu && rmdir images/me")
	m.want("ls images", "")
	load("ubuntu:latest")
	m.ok("mkdir images/ubuntu/containers/web")
	if out, code := m.run("rm -r images/ubuntu"); code == 0 || !strings.Contains(out, "busy") {
		t.Errorf("rm -r: %d %s", code, out)
	}
	m.want("cat images/ubuntu/status", "ready\n")
	// What goes by another way leaves no directory behind.
	load("me/app:1")
	m.ok("echo untag > images/me/app:1/ctl")
	m.want("ls images", "ubuntu:latest\n")
}

// slowImages accepts pulls of :latest late.
type slowImages struct {
	fs.Images
	asked, accept chan struct{}
}

func (s slowImages) Pull(ctx context.Context, ref, platform string, budget time.Duration) error {
	if strings.HasSuffix(ref, ":latest") {
		close(s.asked)
		<-s.accept
	}
	return s.Images.Pull(ctx, ref, platform, budget)
}

// TestSlowMkdirP is a mkdir -p that makes something inside at the very moment when the pull of the bare name begins.
func TestSlowMkdirP(t *testing.T) {
	slow := slowImages{asked: make(chan struct{}), accept: make(chan struct{})}
	m := mountWith(t, func(o *fs.Options) {
		slow.Images = o.Images
		o.Images = slow
	}, "me/app:1", "me:latest")
	m.Hold("me:latest")
	runtime.LockOSThread() // the kernel says which thread asks
	defer runtime.UnlockOSThread()
	if err := os.Mkdir(m.path("images/me"), 0o755); err != nil {
		t.Fatal(err)
	}
	<-slow.asked
	go close(slow.accept)
	if err := os.Mkdir(m.path("images/me/app:1"), 0o755); err != nil {
		t.Error(err)
	}
	m.want("ls images images/me; cat images/me/app:1/status", "images:\nme\n\nimages/me:\napp:1\nready\n")
}

func TestBareNameWithImagesInside(t *testing.T) {
	m := mount(t, "app:latest", "app/one:1", "app/one:latest")
	m.ok("mkdir images/app:latest images/app/one:1 images/app/one:latest")
	m.want("ls images; ls images/app | grep one; cat images/app/status images/app/one/status", "app\napp:latest\none:1\none:latest\nready\nready\n")
	errno(t, "rmdir of both", os.Remove(m.path("images/app")), syscall.ENOTEMPTY)
	m.ok("rmdir images/app/one images/app/one:1 && rmdir images/app && ls images")
}

func TestAliases(t *testing.T) {
	m := mount(t, "ubuntu:18.04", "oscarwin/hello-world:3.0")
	m.ok("mkdir images/ubuntu:18.04; mkdir -p images/docker.io/oscarwin/hello-world:3.0")
	id := strings.TrimSpace(m.read("images/ubuntu:18.04/id"))
	hex := strings.TrimPrefix(id, "sha256:")
	for _, alias := range []string{
		"docker.io/library/ubuntu:18.04", "library/ubuntu:18.04", "docker.io/ubuntu:18.04", "index.docker.io/library/ubuntu:18.04",
		hex, hex[:12], hex[:6], id, "sha256:" + hex[:12],
	} {
		m.want("cat images/"+alias+"/id && readlink images/"+alias+"/rootfs | grep -c images/"+hex+" && cd images/"+alias+"/rootfs", id+"\n1\n")
	}
	m.want("cat images/docker.io/oscarwin/hello-world:3.0/status; ls images images/docker.io images/library images/docker.io/oscarwin", "ready\nimages:\noscarwin\nubuntu:18.04\n\nimages/docker.io:\nlibrary\noscarwin\n\nimages/docker.io/oscarwin:\nhello-world:3.0\n\nimages/library:\nubuntu:18.04\n")
	for _, none := range []string{"ubuntu", hex[:5], "x" + hex[1:8], strings.Repeat("0", 64), "ubuntu:nope", "sha256:" + hex[:5]} {
		if _, err := os.Stat(m.path("images/" + none)); !os.IsNotExist(err) {
			t.Errorf("images/%s: %v", none, err)
		}
	}
	m.ok("ln -s images/ubuntu:18.04 images/mine:1")
	errno(t, "rmdir by ID of an image with two names", os.Remove(m.path("images/"+hex)), syscall.EBUSY)
	m.ok("rmdir images/docker.io/library/ubuntu:18.04; rmdir images/" + hex[:8])
	m.want("ls images", "oscarwin\n")
}

func TestTags(t *testing.T) {
	m := mount(t, "redis:7", "debian:12")
	m.ok("mkdir images/redis:7 images/debian:12")
	m.ok("ln -s redis:7 images/mine:1")
	m.want("stat -c %F images/mine:1; cat images/mine:1/tags", "directory\nmine:1\nredis:7\n")
	m.ok("ln -s ../../images/redis:7 images/cache; cd images && ln -s redis:7/ ./other:2")
	m.want("ls images; cat images/cache/status", "cache:latest\ndebian:12\nmine:1\nother:2\nredis:7\nready\n")
	m.ok("mkdir -p images/ghcr.io/acme && ln -s redis:7 images/ghcr.io/acme/cache:1 && ln -s cache:1 images/ghcr.io/acme/cache:2")
	m.ok("mkdir -p images/ghcr.io/team && cd images/ghcr.io/team && ln -s ../acme/cache:2 own:1 && rm -r ../../ghcr.io/acme && cat own:1/tags")
	m.want("cat images/redis:7/tags", "cache:latest\nghcr.io/team/own:1\nmine:1\nother:2\nredis:7\n")
	m.ok("rm -r images/ghcr.io")
	errno(t, "ln onto a name", os.Symlink("redis:7", m.path("images/mine:1")), syscall.EEXIST)
	for _, there := range []string{"images/mine:1", "images/cache", "images/cache:latest"} {
		if out, code := m.run("ln -s images/redis:7 " + there); code == 0 || !strings.Contains(out, "File exists") {
			t.Errorf("ln -s onto %s: %d %s", there, code, out)
		}
		name := strings.TrimPrefix(strings.TrimSuffix(there, ":latest"), "images/")
		if name == "cache" {
			name += ":latest"
		}
		m.want("cat error", name+" is an image already, and ln would make a link inside it. To have that name mean another image, write \"tag "+name+"\" to images/redis:7/ctl.\n")
	}
	errno(t, "ln from nowhere", os.Symlink("nosuch:1", m.path("images/x:1")), syscall.ENOENT)
	errno(t, "ln to a bad name", os.Symlink("redis:7", m.path("images/X:1")), syscall.EINVAL)
	errno(t, "ln of a bad name", os.Symlink("/etc/pass wd", m.path("images/x:1")), syscall.EINVAL)
	m.ok("rmdir images/other:2 images/cache:latest")
	m.ok("mv images/mine:1 images/mine:2")
	m.want("ls images; cat images/mine:2/id | cut -c1-7", "debian:12\nmine:2\nredis:7\nsha256:\n")
	errno(t, "mv into an image", os.Rename(m.path("images/mine:2"), m.path("images/redis:7/mine:2")), syscall.EPERM)
	errno(t, "mv to a bad name", os.Rename(m.path("images/mine:2"), m.path("images/Mine:2")), syscall.EPERM)
	errno(t, "mv out", os.Rename(m.path("images/mine:2"), m.path("containers/mine")), syscall.EPERM)
	errno(t, "mv of nothing", os.Rename(m.path("images/nosuch:2"), m.path("images/x:2")), syscall.ENOENT)
	m.ok("mv -T images/mine:2 images/debian:12")
	m.want("ls images; cat images/debian:12/tags", "debian:12\nredis:7\ndebian:12\nredis:7\n")
	m.ok("echo 'tag store:9' > images/redis:7/ctl && echo untag > images/redis:7/ctl")
	m.want("ls images", "debian:12\nstore:9\n")
	m.ok("mkdir -p images/ghcr.io/acme && mv images/store:9 images/ghcr.io/acme/store:9 && cat images/ghcr.io/acme/store:9/tags")
	m.want("cat images/images.txt 2>/dev/null; head -1 images.txt; grep -c ghcr.io/acme/store images.txt", "REPOSITORY           TAG       IMAGE ID       CREATED       SIZE\n1\n")
}

func TestImageInUse(t *testing.T) {
	m := mount(t, "redis:7")
	m.ok("mkdir images/redis:7 images/redis:7/containers/web")
	errno(t, "rmdir", os.Remove(m.path("images/redis:7")), syscall.EBUSY)
	m.want("cat images/redis:7/error", "The image redis:7 is used by the container web.\n")
	if out, code := m.run("rm -r images/redis:7"); code == 0 || !strings.Contains(out, "busy") {
		t.Errorf("rm -r: %d %s", code, out)
	}
	errno(t, "unlink of a link to a container", syscall.Unlink(m.path("images/redis:7/containers/web")), syscall.EPERM)
	errno(t, "a container that cannot start", os.Mkdir(m.path("images/redis:7/containers/.x"), 0o755), syscall.EPERM)
	errno(t, "a name taken elsewhere", os.Mkdir(m.path("images/redis:7/containers/web"), 0o755), syscall.EEXIST)
	m.ok("d=$(mktemp -d -p images/redis:7/containers) && cat $d/status | grep -q running && rmdir containers/$(basename $d) 2>/dev/null || echo 'remove force' > $d/ctl")
	m.ok("echo 'remove force' > images/redis:7/ctl")
	m.want("ls images; ls containers", "web\n")
}

func TestContainersAreRenamed(t *testing.T) {
	m := web(t)
	m.ok("mv containers/web containers/www")
	m.want("ls containers; cat containers/www/status; readlink containers/www/rootfs", "www\nrunning\n../../rootfs/containers/www\n")
	m.ok("echo 'rename web' > containers/www/ctl; mkdir containers/db")
	errno(t, "onto another", os.Rename(m.path("containers/web"), m.path("containers/db")), syscall.EEXIST)
	errno(t, "to a bad name", os.Rename(m.path("containers/web"), m.path("containers/a b")), syscall.EPERM)
	errno(t, "into another", os.Rename(m.path("containers/web"), m.path("containers/db/web")), syscall.EPERM)
	errno(t, "out", os.Rename(m.path("containers/web"), m.path("web")), syscall.EPERM)
	errno(t, "a bad name", os.Mkdir(m.path("containers/a b"), 0o755), syscall.EINVAL)
	errno(t, "a dot name", os.Mkdir(m.path("containers/.x"), 0o755), syscall.EPERM)
	id := strings.TrimSpace(m.read("containers/web/id"))
	m.want("cat containers/"+id+"/status containers/"+id[:12]+"/status; ls containers", "running\nrunning\ndb\nweb\n")
	m.want("cat containers/"+id[:6]+"/status containers/"+id[:11]+"/id; test ! -e containers/"+id[:5], "running\n"+id+"\n")
	m.ok("echo rename " + id[:7] + " > containers/db/ctl") // a name goes before what is only the beginning of an ID
	m.want("cat containers/"+id[:7]+"/status; mv containers/"+id[:7]+" containers/db; cat containers/"+id[:7]+"/status", "created\nrunning\n")
	m.ok("echo kill > containers/" + id[:12] + "/ctl; rmdir containers/" + id[:9])
	m.want("ls containers", "db\n")
}

func TestNothingElseCanBeMade(t *testing.T) {
	m := web(t)
	for _, dir := range []string{"", "images/", "images/redis:7/", "images/redis:7/containers/", "containers/", "containers/web/", "containers/web/exec/", "rootfs/", "rootfs/containers/"} {
		errno(t, "create in "+dir, m.put(dir+"file", "x"), syscall.EPERM)
		errno(t, "mkfifo in "+dir, syscall.Mkfifo(m.path(dir+"fifo"), 0o644), syscall.EPERM)
		errno(t, "link in "+dir, os.Link(m.path("README"), m.path(dir+"hard")), syscall.EPERM)
		if !strings.HasPrefix(dir, "images/") || dir != "images/" {
			want := syscall.EPERM
			if dir == "images/redis:7/" { // ln -s X images/redis:7
				want = syscall.EEXIST
			}
			errno(t, "symlink in "+dir, os.Symlink("redis:7", m.path(dir+"soft:1")), want)
		}
		errno(t, "rename in "+dir, os.Rename(m.path("README"), m.path(dir+"other")), syscall.EPERM)
	}
	for _, dir := range []string{"", "images/redis:7/", "containers/web/", "containers/web/exec/", "containers/web/config/", "rootfs/"} {
		errno(t, "mkdir in "+dir, os.Mkdir(m.path(dir+"new"), 0o755), syscall.EPERM)
	}
	for _, f := range []string{"README", "run", "events", "rootfs/containers"} {
		if err := os.Remove(m.path(f)); err == nil {
			t.Errorf("%s can be removed", f)
		}
	}
	for _, f := range []string{"README", "containers/web/status", "containers/web/logs", "events"} {
		errno(t, "write to "+f, m.put(f, "x"), syscall.EPERM)
		errno(t, "truncate "+f, os.Truncate(m.path(f), 0), syscall.EPERM)
	}
}

func TestVerbs(t *testing.T) {
	m := web(t)
	for _, f := range []string{"run", "pull", "images/redis:7/wait", "images/redis:7/run", "containers/web/wait", "containers/web/exec/sh"} {
		if got := m.read(f); !strings.HasPrefix(got, "#!/usr/bin/hull verb\n# ") || strings.Count(got, "\n") < 3 {
			t.Errorf("%s reads as %q", f, got)
		}
		_, err := os.OpenFile(m.path(f), os.O_WRONLY, 0)
		errno(t, "write-only open of "+f, err, syscall.EINVAL)
		_, err = os.OpenFile(m.path(f), os.O_RDWR, 0)
		errno(t, "session without a server", err, syscall.EOPNOTSUPP)
	}
	if _, err := os.Stat(m.path("containers/web/exec/nosuch")); !os.IsNotExist(err) {
		t.Error(err)
	}
}

// TestPlatforms has a pull for another machine, which its ctl repeats.
func TestPlatforms(t *testing.T) {
	m := mount(t, "redis:7")
	m.ok("mkdir images/redis:7 && echo 'pull linux/arm64' > images/redis:7/ctl")
	m.want("cat images/redis:7/platform", "linux/arm64\n")
	m.ok("echo pull > images/redis:7/ctl")
	m.want("cat images/redis:7/platform", "linux/arm64\n")
	m.ok("echo 'pull linux/amd64' > images/redis:7/ctl")
	m.want("cat images/redis:7/platform", "linux/amd64\n")
	if out, code := m.run("echo 'pull linux/arm64 linux/amd64' > images/redis:7/ctl"); code == 0 {
		t.Errorf("two platforms are taken: %s", out)
	}
}

// TestMovedImageKeepsItsModes has chmod and chown of an image, which mv takes with it.
func TestMovedImageKeepsItsModes(t *testing.T) {
	path := t.TempDir() + "/access"
	m := mountWith(t, func(o *fs.Options) { o.Access = path }, "redis:7")
	m.ok("mkdir images/redis:7 && chmod 640 images/redis:7/config.json && chmod 750 images/redis:7 && chown 4242 images/redis:7/run")
	m.ok("mv images/redis:7 images/kept:1 && ln -s images/kept:1 images/redis:7")
	m.want("stat -c %a:%u images/kept:1 images/kept:1/config.json images/kept:1/run images/redis:7/config.json images/redis:7/run",
		"750:0\n640:0\n744:4242\n644:0\n744:0\n")
	m.ok("rmdir images/kept:1 && ln -s images/redis:7 images/kept:1")
	m.want("stat -c %a images/kept:1/config.json", "644\n")
}
