package tests

import (
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// reluctance is how long something is tried that must not succeed. However long that is, it passes where all is well.
const reluctance = time.Second

// service listens in the tests' network, and counts who comes.
func service(t *testing.T, at string) (port string, came *atomic.Int64) {
	t.Helper()
	s, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	came = new(atomic.Int64)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := s.Accept()
			if err != nil {
				return
			}
			came.Add(1)
			c.Close()
		}
	}()
	t.Cleanup(func() { s.Close(); <-ended })
	return strconv.Itoa(s.Addr().(*net.TCPAddr).Port), came
}

// fails demands that a line fails within the time of what must not succeed.
func (l *linked) fails(why, line string) {
	l.t.Helper()
	if out, err := l.shell(fmt.Sprintf("timeout %d %s", reluctance/time.Second, line)); err == nil {
		l.t.Errorf("%s: %s says %q", why, line, out)
	}
}

// A container reaches what it is meant to reach, and nothing else of the host's or of other networks.
func TestContainersKeepToTheirNetworks(t *testing.T) {
	l := networked(t)
	l.must(t, "mkdir networks/back networks/front")
	l.serveFile("web", "--network back", "back")
	l.run("near", "--network back", "sleep 1000")
	l.run("far", "--network front", "sleep 1000")
	private, came := service(t, "127.0.0.1:0")
	public, _ := service(t, "0.0.0.0:0")
	back := l.out("head -n 1 networks/back/gateway")
	front := l.out("head -n 1 networks/front/gateway")

	if got := l.out("containers/near/enter busybox wget -q -O - http://web/"); got != "back" {
		t.Errorf("a container of the same network hears %q", got)
	}
	l.fails("a container reaches one of another network", "containers/far/enter busybox wget -q -O - http://"+l.ip("web")+"/")
	l.await("containers/near/enter busybox nc -w 9 " + back + " " + public + " < /dev/null")
	l.fails("a container reaches the host by another network's gateway", "containers/far/enter busybox nc "+back+" "+public+" < /dev/null")
	l.fails("a container asks another network's resolver", "containers/far/enter busybox nslookup web "+back)
	l.fails("a container reaches a service on the host's loopback", "containers/far/enter busybox nc "+front+" "+private+" < /dev/null")
	l.fails("a container has the host's loopback", "containers/far/enter busybox nc 127.0.0.1 "+private+" < /dev/null")
	if n := came.Load(); n != 0 {
		t.Errorf("%d connections came to a service on the host's loopback", n)
	}

	// Another machine that sends to a container's own address by way of the host gets nowhere: nothing is published.
	outside := machine(t, 2)
	subnet := l.out("head -n 1 networks/back/subnet")
	if err := outside.route(subnet); err != nil {
		t.Fatal(err)
	}
	if got, err := outside.get(l.ip("web")+":80", reluctance); err == nil {
		t.Errorf("another machine hears %q from a container that publishes nothing", got)
	}
	if got, err := outside.get(back+":"+public, reluctance); err == nil {
		t.Errorf("another machine reaches the gateway: %q", got)
	}
}

// What is published on all addresses goes through the host's firewall as everything else.
func TestFirewallIsHeeded(t *testing.T) {
	nft := tool(t, "nft")
	l := networked(t)
	l.serveFile("web", "-p 0.0.0.0:0:80", "hello")
	outside := machine(t, 3)
	at := outside.ours + ":" + l.port("web")
	if got, err := outside.get(at, patience); got != "hello" {
		t.Fatalf("another machine hears %q, %v", got, err)
	}
	rules := fmt.Sprintf(`table inet firewall-of-a-test { chain forward { type filter hook forward priority 0; policy accept; ip daddr %s drop; }; }`, l.ip("web"))
	if out, err := exec.Command(nft, rules).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command(nft, "delete table inet firewall-of-a-test").CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	if got, err := outside.get(at, reluctance); err == nil {
		t.Errorf("though the firewall forbids it, another machine hears %q", got)
	}
}

// listener shows what comes to a container's interface, whomever it is for, until it is told the end.
const listener = `import socket, struct
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind(("eth0", 0))
s.setsockopt(263, 1, struct.pack("iHH8s", socket.if_nametoindex("eth0"), 1, 0, b""))
print("listening", flush=True)
heard = "nothing"
while True:
    frame = s.recv(65535)
    if b"confidential" in frame: heard = "everything"
    if b"that-is-all" in frame: break
print("heard", heard, flush=True)
`

// A container that may send and receive what it likes on its interface neither hears others nor passes for another.
func TestContainersAreNotEachOther(t *testing.T) {
	tool(t, "python3")
	l := networked(t)
	const mighty = "--cap-add NET_ADMIN --cap-add NET_RAW"
	l.serveFile("victim", "", "victim")
	l.run("friend", "", "sleep 1000")
	victim := l.ip("victim")
	ask := "containers/friend/enter busybox wget -q -O - http://" + victim + "/"

	l.run("ear", mighty, "python3 -c '"+listener+"'")
	l.await("grep -q listening containers/ear/logs")
	for range 3 {
		if _, err := l.shell(ask + "confidential"); err == nil {
			t.Fatal("there is a page that should not be there")
		}
	}
	l.await("grep -q confidential containers/victim/logs")
	l.await(fmt.Sprintf("containers/friend/enter python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b\"that-is-all\", (\"%s\", 9))' && grep heard containers/ear/logs", l.ip("ear")))
	if got := l.out("grep heard containers/ear/logs"); got != "heard nothing" {
		t.Errorf("the container that listens to what others say %s", got)
	}

	// It takes the other's address, tells everybody, and answers at it.
	l.serveFile("double", mighty, "double")
	mac := l.out("containers/victim/enter cat /sys/class/net/eth0/address")
	for _, as := range []string{"", "ip link set eth0 down && busybox ip link set eth0 address " + mac + " && busybox ip link set eth0 up && busybox "} {
		l.must(t, "containers/double/enter sh -c 'busybox "+as+"ip addr flush dev eth0; busybox ip addr add "+victim+"/16 dev eth0; timeout 2 busybox arping -c 2 -U -I eth0 "+victim+"; true'")
		for range 5 {
			if got := l.out(ask); got != "victim" {
				t.Errorf("who asks %s hears %q", victim, got)
			}
		}
		l.fails("with another's address a container is answered", "containers/double/enter busybox wget -q -O - http://"+l.ip("friend")+"/")
	}
	if got := l.out("containers/friend/enter busybox ip neigh show " + victim); !strings.Contains(got, mac) {
		t.Errorf("a container knows its neighbour as %q, its address is %s", got, mac)
	}
}
