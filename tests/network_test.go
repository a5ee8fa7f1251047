package tests

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// linked is a mounted hull whose containers have networks, in the network of the tests.
type linked struct {
	*mounted
	t *testing.T
}

// networked mounts hull with flags of mount, for a test whose containers have the machine's programs. When it is over
// nothing may be left, of links and rules neither.
func networked(t *testing.T, flags ...string) *linked {
	t.Helper()
	needs(t)
	l := &linked{ground(t, "network"), t}
	l.mount(t, flags...)
	l.must(t, "mkdir -p $I/host:1 && $I/host:1/wait")
	return l
}

// run starts a container with the machine's programs. What it runs need not heed signals.
func (l *linked) run(name, flags, command string) {
	l.t.Helper()
	l.must(l.t, fmt.Sprintf("./run -d --name %s --stop-signal KILL -v /usr:/usr:ro %s $REG/host:1 %s", name, flags, command))
}

// serveFile runs a web server that has one word to say.
func (l *linked) serveFile(name, flags, word string) {
	l.t.Helper()
	l.run(name, flags, fmt.Sprintf("sh -c 'mkdir /www && echo %s > /www/index.html && exec busybox httpd -f -vv -p 80 -h /www'", word))
	l.await(fmt.Sprintf("test \"$(containers/%s/enter busybox wget -q -O - http://127.0.0.1/)\" = %s", name, word))
}

// out is what a line of shell says.
func (l *linked) out(line string) string {
	l.t.Helper()
	out, err := l.shell(line)
	if err != nil {
		l.t.Fatalf("%s: %v: %s", line, err, out)
	}
	return strings.TrimSpace(out)
}

// await repeats a line until it succeeds.
func (l *linked) await(line string) {
	l.t.Helper()
	if err := l.poll(func() error {
		if out, err := l.shell(line); err != nil {
			return fmt.Errorf("%s: %w: %s", line, err, out)
		}
		return nil
	}); err != nil {
		l.t.Fatal(err)
	}
}

// ip is a container's first address.
func (l *linked) ip(name string) string {
	l.t.Helper()
	return l.out("head -n 1 containers/" + name + "/ip")
}

// port is the host's port that a container's only published one is reached at.
func (l *linked) port(name string) string {
	l.t.Helper()
	words := l.out("head -n 1 containers/" + name + "/ports")
	port := words[strings.LastIndexByte(words, ':')+1:]
	if port == "" || strings.Trim(port, "0123456789") != "" {
		l.t.Fatalf("containers/%s/ports says %q", name, words)
	}
	return port
}

// another is another machine: a network namespace with a wire to that of the tests. Its address and the tests' are of a
// network that no other test has.
type another struct {
	ns         *os.File
	ours, its  string
	ourNetwork string // the wire's end here
}

// machine makes the n-th other machine of the tests.
func machine(t *testing.T, n int) *another {
	t.Helper()
	a := &another{
		ours: fmt.Sprintf("198.18.%d.1", n), its: fmt.Sprintf("198.18.%d.2", n), ourNetwork: fmt.Sprintf("wire%d", n),
	}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with this, and no test gets it
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			a.ns, err = os.Open("/proc/thread-self/ns/net")
		}
		made <- err
	}()
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.ns.Close() })
	attrs := netlink.NewLinkAttrs()
	attrs.Name = a.ourNetwork
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(a.ns.Fd()))}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if l, err := netlink.LinkByName(a.ourNetwork); err != nil || netlink.LinkDel(l) != nil {
			t.Errorf("%s is left: %v", a.ourNetwork, err)
		}
	})
	up := func(link, addr string) error {
		l, err := netlink.LinkByName(link)
		if err != nil {
			return err
		}
		ip, err := netlink.ParseAddr(addr + "/24")
		if err != nil {
			return err
		}
		return errors.Join(netlink.AddrAdd(l, ip), netlink.LinkSetUp(l))
	}
	if err := errors.Join(up(a.ourNetwork, a.ours), a.within(func() error { return up("eth0", a.its) })); err != nil {
		t.Fatal(err)
	}
	return a
}

// within does something on that machine.
func (a *another) within(do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good
		if err := unix.Setns(int(a.ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- do()
	}()
	return <-done
}

// route has that machine send what is for a network by way of this one.
func (a *another) route(to string) error {
	return a.within(func() error {
		dst, err := netlink.ParseIPNet(to)
		if err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{Dst: dst, Gw: net.ParseIP(a.ours)})
	})
}

// get asks a web server from that machine, for so long.
func (a *another) get(addr string, within time.Duration) (body string, err error) {
	err = a.within(func() error {
		conn, err := net.DialTimeout("tcp", addr, within)
		if err != nil {
			return err
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(within))
		if _, err := fmt.Fprintf(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
			return err
		}
		answer, err := io.ReadAll(conn)
		_, body, _ = strings.Cut(string(answer), "\r\n\r\n")
		return err
	})
	return strings.TrimSpace(body), err
}

// A web server is published and stands a load; it is reached from the host, from other machines and from other
// containers, and sees who comes.
func TestPublishedServer(t *testing.T) {
	l := networked(t)
	l.serveFile("web", "-p 0:80", "hello")
	l.serveFile("open", "-p 0.0.0.0:0:80", "world")
	l.serveFile("six", "-p '[::1]:0:80'", "six")

	url := "http://127.0.0.1:" + l.port("web") + "/"
	client := &http.Client{Timeout: patience}
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			for range 50 {
				r, err := client.Get(url)
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(r.Body)
				r.Body.Close()
				if err != nil || r.StatusCode != http.StatusOK || string(body) != "hello\n" {
					t.Errorf("%s says %s %q, %v", url, r.Status, body, err)
					return
				}
			}
		})
	}
	running.Wait()

	r, err := client.Get("http://[::1]:" + l.port("six") + "/")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	r.Body.Close()
	if err != nil || string(body) != "six\n" {
		t.Errorf("on ::1 it says %q, %v", body, err)
	}

	// From other containers: by name, by address, and the way round by the host's address.
	l.run("client", "", "sleep 1000")
	for _, at := range []string{"web", l.ip("web"), "open"} {
		want := map[bool]string{true: "world", false: "hello"}[at == "open"]
		if got := l.out("containers/client/enter busybox wget -q -O - http://" + at + "/"); got != want {
			t.Errorf("a container hears %q from %s, want %q", got, at, want)
		}
	}

	far := machine(t, 1)
	if got, err := far.get(far.ours+":"+l.port("open"), patience); got != "world" {
		t.Errorf("another machine hears %q, %v from a port published on all addresses", got, err)
	}
	// What is published on 127.0.0.1 it does not reach: at once, as there is nobody at the host's other addresses.
	if got, err := far.get(far.ours+":"+l.port("web"), patience); err == nil {
		t.Errorf("another machine hears %q from a port published on 127.0.0.1", got)
	}
	// The server saw who came: the other machine's own address.
	l.await("grep -F " + far.its + " containers/open/logs")
}

// A database is found by its name and its aliases by clients on its network, whatever network they have besides.
func TestDatabaseByName(t *testing.T) {
	tool(t, "redis-server")
	l := networked(t)
	l.must(t, "mkdir networks/back networks/front")
	l.run("db", "--network name=back,alias=store", "redis-server --protected-mode no --save '' --dir /tmp")
	l.run("app", "--network back --network front", "sleep 1000")
	l.run("stranger", "--network front", "sleep 1000")
	for _, name := range []string{"db", "store", "db.back", l.out("cut -c 1-12 containers/db/id"), l.ip("db")} {
		l.await(fmt.Sprintf("test \"$(containers/app/enter redis-cli -h %s set by %s)\" = OK", name, name))
		if got := l.out("containers/app/enter redis-cli -h " + name + " get by"); got != name {
			t.Errorf("by the name %s the database says %q", name, got)
		}
	}
	if out, err := l.shell("containers/stranger/enter getent hosts db"); err == nil {
		t.Errorf("a container of another network finds the database: %s", out)
	}
	if out, err := l.shell("timeout 2 containers/stranger/enter redis-cli -h " + l.ip("db") + " get by"); err == nil {
		t.Errorf("a container of another network reaches the database: %s", out)
	}

	// Renamed and restarted, it has its address still, and goes by its new name.
	before := l.ip("db")
	l.must(t, "mv containers/db containers/data && echo 'restart 0' > containers/data/ctl")
	if now := l.ip("data"); now != before {
		t.Errorf("its address was %s and is %s after a restart", before, now)
	}
	l.await("test \"$(containers/app/enter redis-cli -h data ping)\" = PONG")
	if out, err := l.shell("containers/app/enter getent hosts db"); err == nil {
		t.Errorf("it is still found by its old name: %s", out)
	}
	// After the daemon's death as before it, and after the monitor's; who looks a name up meanwhile waits, and is not told that there is none.
	l.run("looker", "--network back -e RES_OPTIONS='timeout:30 attempts:1'", "sh -c 'while getent hosts data > /dev/null; do echo found; sleep 0.02; done; echo lost'")
	l.await("grep -q found containers/looker/logs")
	for _, role := range []string{"daemon", "monitor"} {
		old := l.role("daemon")
		l.signal(t, role, unix.SIGKILL)
		l.replaced(t, "daemon", old)
		l.await("test \"$(containers/app/enter redis-cli -h data ping)\" = PONG")
		if now := l.ip("data"); now != before {
			t.Errorf("its address was %s and is %s after the death of the %s", before, now, role)
		}
	}
	if out, err := l.shell("grep lost containers/looker/logs"); err == nil {
		t.Errorf("between two daemons a name is %s", out)
	}
}

// What a mount has made of links, rules and settings is gone with it, and there is none of it without a container.
func TestNothingOfNetworksIsLeft(t *testing.T) {
	nft := tool(t, "nft")
	made := func() string {
		links, err := net.Interfaces()
		if err != nil {
			t.Fatal(err)
		}
		tables, err := exec.Command(nft, "list", "tables").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, tables)
		}
		var out []byte
		for l := range strings.Lines(string(tables)) {
			if strings.Contains(l, " hull") { // another test's docker has its own
				out = append(out, l...)
			}
		}
		for _, l := range links {
			if strings.HasPrefix(l.Name, "hull") || strings.HasPrefix(l.Name, "hv") {
				out = append(out, l.Name+"\n"...)
			}
		}
		for _, name := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
			value, err := os.ReadFile("/proc/sys/net/" + name)
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			out = append(out, name+" "+string(value)...)
		}
		return string(out)
	}
	// What earlier tests had is gone a moment after them: the kernel takes its time with namespaces.
	before := ""
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		before = made()
		if !strings.Contains(before, "hull") && !strings.Contains(before, "hv") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("before the test there is\n%s", before)
		}
	}
	l := networked(t)
	l.must(t, "mkdir networks/back")
	l.serveFile("web", "--network default --network back -p 0:80", "hello")
	during := made()
	if strings.Count(during, "\n") < strings.Count(before, "\n")+4 { // two bridges, two links to them, and the rules
		t.Errorf("with a container on two networks there is\n%s\nand without a mount\n%s", during, before)
	}
	l.must(t, "echo 'remove force' > containers/web/ctl")
	if out, err := exec.Command(hull, l.umountArgs(nil)...).CombinedOutput(); err != nil {
		t.Fatalf("umount: %v: %s", err, out)
	}
	if err := l.poll(func() error {
		if after := made(); after != before {
			return fmt.Errorf("left of networks is\n%s\nbefore it was\n%s", after, before)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
