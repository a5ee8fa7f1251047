package fs_test

import (
	"net/netip"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"hull/fs"
)

func TestNetworks(t *testing.T) {
	m := mountWith(t, func(o *fs.Options) { o.Group = 4321 })
	m.want("ls networks", "default\nhost\nnone\n")
	m.want("mkdir networks/backend && ls networks/backend", "containers\ncreated\nerror\ngateway\nsubnet\n")
	m.want("cd networks/backend && cat subnet gateway containers error", "10.89.1.0/24\n10.89.1.1\n")
	m.want("stat -c %a:%u:%g networks networks/backend networks/backend/subnet networks/backend/containers",
		"775:0:4321\n775:0:4321\n644:0:4321\n644:0:4321\n")
	m.want("cat networks/none/subnet networks/host/gateway networks/none/created; cat networks/default/subnet", "10.89.0.0/24\n")

	// A subnet is a setting while nobody has an address of it.
	m.want("echo 10.77.0.0/16 > networks/backend/subnet && cat networks/backend/subnet networks/backend/gateway", "10.77.0.0/16\n10.77.0.1\n")
	m.want("echo fd00:77::/64 >> networks/backend/subnet && cat networks/backend/subnet", "10.77.0.0/16\nfd00:77::/64\n")
	for value, want := range map[string]syscall.Errno{
		"10.77.0.1/16\n": syscall.EINVAL, "nonsense\n": syscall.EINVAL, "10.89.0.0/16\n": syscall.EADDRINUSE,
	} {
		errno(t, "subnet "+value, os.WriteFile(m.path("networks/backend/subnet"), []byte(value), 0), want)
	}
	m.want("cat networks/backend/subnet; cat networks/backend/error | wc -l", "10.77.0.0/16\nfd00:77::/64\n1\n")
	errno(t, "subnet of host", os.WriteFile(m.path("networks/host/subnet"), []byte("10.78.0.0/16\n"), 0), syscall.EPERM)

	m.Plug("backend", fs.Member{Name: "db", Addresses: []string{"10.77.0.2", "fd00:77::2"}}, fs.Member{Name: "web"})
	m.want("cat networks/backend/containers", "db 10.77.0.2 fd00:77::2\nweb\n")
	errno(t, "subnet in use", os.WriteFile(m.path("networks/backend/subnet"), []byte("10.78.0.0/16\n"), 0), syscall.EBUSY)
	errno(t, "rmdir in use", unix.Rmdir(m.path("networks/backend")), syscall.EBUSY)
	m.want("cat networks/error", "The network backend is used by db.\n")
	errno(t, "unlink in use", unix.Unlink(m.path("networks/backend/subnet")), syscall.EBUSY)
	m.Plug("backend")

	for _, name := range []string{"default", "host", "none"} {
		errno(t, "rmdir "+name, unix.Rmdir(m.path("networks/"+name)), syscall.EPERM)
		errno(t, "unlink in "+name, unix.Unlink(m.path("networks/"+name+"/subnet")), syscall.EPERM)
		errno(t, "mkdir "+name, unix.Mkdir(m.path("networks/"+name), 0o755), syscall.EEXIST)
		errno(t, "chown "+name, os.Chown(m.path("networks/"+name), 1000, -1), syscall.EPERM)
	}
	errno(t, "mkdir again", unix.Mkdir(m.path("networks/backend"), 0o755), syscall.EEXIST)
	errno(t, "mkdir .Trash", unix.Mkdir(m.path("networks/.Trash-0"), 0o755), syscall.EPERM)
	errno(t, "mkdir -x", unix.Mkdir(m.path("networks/-x"), 0o755), syscall.EINVAL)
	errno(t, "rename", unix.Rename(m.path("networks/backend"), m.path("networks/other")), syscall.EPERM)
	errno(t, "symlink", unix.Symlink("backend", m.path("networks/other")), syscall.EPERM)
	errno(t, "mkdir inside", unix.Mkdir(m.path("networks/backend/x"), 0o755), syscall.EPERM)
	errno(t, "rmdir of nothing", unix.Rmdir(m.path("networks/nosuch")), syscall.ENOENT)

	m.want("chown 1000 networks/backend && stat -c %u networks/backend networks/backend/subnet", "1000\n1000\n")
	m.want("rm -r networks/backend && ls networks && test ! -e networks/backend", "default\nhost\nnone\n")
	// Another one of that name is another one: nobody is its owner by what the first was.
	m.want("mkdir networks/backend && stat -c %u networks/backend && rmdir networks/backend", "0\n")
}

func TestPorts(t *testing.T) {
	m := mountWith(t, func(*fs.Options) {}, "redis:7")
	m.want("mkdir -p images/redis:7 containers/web && echo redis:7 > containers/web/config/image && echo start > containers/web/ctl", "")
	m.want("cat containers/web/ip containers/web/ip6 containers/web/ports", "")
	m.Address("web", []fs.Address{{Network: "default", IP: "10.89.0.2", IP6: "fd00::2"}, {Network: "backend", IP: "10.89.1.2"}},
		port(t, "127.0.0.1:8080", 80, "tcp"), port(t, "[::1]:53", 53, "udp"), port(t, "", 443, "tcp"))
	m.want("cat containers/web/ip", "10.89.0.2\n10.89.1.2\n")
	m.want("cat containers/web/ip6", "fd00::2\n")
	m.want("cat containers/web/ports", "53/udp -> [::1]:53\n80/tcp -> 127.0.0.1:8080\n")
	m.want("grep -o '\\[::1.*tcp' running.txt", "[::1]:53->53/udp, 443/tcp, 127.0.0.1:8080->80/tcp\n")
	m.want(`grep -c '"host": "127.0.0.1:8080"' containers.json`, "1\n")
	m.want("echo 'stop 0' > containers/web/ctl; grep -c 443 containers.txt || true", "0\n")
}

func port(t *testing.T, host string, port uint16, proto string) fs.Port {
	t.Helper()
	p := fs.Port{Port: port, Proto: proto}
	if host != "" {
		var err error
		if p.Host, err = netip.ParseAddrPort(host); err != nil {
			t.Fatal(err)
		}
	}
	return p
}
