package fs_test

import (
	"strings"
	"syscall"
	"testing"

	"hull/fs/fstest"
)

func TestRegistries(t *testing.T) {
	m := mount(t)
	m.want("ls registries; ls registries/docker.io", "docker.io\nerror\ninsecure\nlogin\nmirror\nsearch\nstatus\ntags\nuser\n")
	errno(t, "rmdir docker.io", syscall.Rmdir(m.path("registries/docker.io")), syscall.EPERM)
	errno(t, "mkdir of no registry", syscall.Mkdir(m.path("registries/nothing"), 0o755), syscall.EINVAL)
	errno(t, "rmdir of what is not there", syscall.Rmdir(m.path("registries/x.io")), syscall.ENOENT)
	m.ok("mkdir registries/my:5000")
	m.want("ls registries", "docker.io\nmy:5000\n")
	m.ok("mkdir images/my:5000") // a registry now, and so no image
	m.want("stat -c %F images/my:5000; ls images", "directory\nmy:5000\n")
	m.ok("echo true > registries/my:5000/insecure")
	m.want("cat registries/my:5000/insecure", "true\n")
	if out, code := m.run("echo perhaps > registries/my:5000/insecure"); code == 0 || !strings.Contains(out, "nvalid") && !strings.Contains(out, "I/O") {
		t.Error(code, out)
	}
	m.want("cat registries/my:5000/insecure", "true\n")
	m.ok("rm -r registries/my:5000")
	m.want("ls registries", "docker.io\n")
}

func TestLogin(t *testing.T) {
	m := mount(t)
	m.want("cat registries/docker.io/user registries/docker.io/status", "anonymous\n")
	if out, code := m.run("echo alice wrong > registries/docker.io/login"); code == 0 {
		t.Error(out)
	}
	m.want("cat registries/docker.io/user; cat registries/docker.io/error", "The registry docker.io does not accept the password.\n")
	if out, code := m.run("echo alice > registries/docker.io/login"); code == 0 {
		t.Error(out)
	}
	m.ok("echo 'alice " + fstest.Password + "' > registries/docker.io/login")
	m.want("cat registries/docker.io/user registries/docker.io/status registries/docker.io/error", "alice\nlogged-in\n")
	if got := m.read("registries/docker.io/login") + m.read("events"); strings.Contains(got, "sesame") || strings.Contains(got, "wrong") {
		t.Errorf("a secret can be read: %s", got)
	}
	m.ok("rm registries/docker.io/login")
	m.want("cat registries/docker.io/user; ls registries/docker.io/login", "registries/docker.io/login\n")
	if out, code := m.run("rm registries/docker.io/mirror"); code == 0 || !strings.Contains(out, "not permitted") {
		t.Error(out)
	}
}
