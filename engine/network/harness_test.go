package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"hull/tests/need"
)

// The tests run in a network namespace of their own, which is the host to them: TestMain starts the test binary again in one.
const inside = "HULL_TEST_NETNS"

// The first thread is what /proc/self shows: it must be none of those that go into other namespaces.
func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) {
	if os.Getenv(inside) != "" || os.Geteuid() != 0 {
		os.Exit(m.Run())
	}
	again := exec.Command("/proc/self/exe", os.Args[1:]...)
	again.Args[0] = os.Args[0]
	again.Stdin, again.Stdout, again.Stderr = os.Stdin, os.Stdout, os.Stderr
	again.Env = append(os.Environ(), inside+"=1")
	again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := again.Run(); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() > 0 {
			os.Exit(exit.ExitCode())
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// kernel skips a test that needs a network namespace of its own.
func kernel(t *testing.T) {
	t.Helper()
	if os.Getenv(inside) == "" {
		need.Lacking(t, "root: it makes bridges and rules")
	}
	lo, err := netlink.LinkByName("lo")
	check(t, err)
	check(t, netlink.LinkSetUp(lo))
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a hull's networks on a host that is as it was before when the test has ended.
type world struct {
	*Networks
	t       *testing.T
	options Options
}

func newWorld(t *testing.T, key string) *world {
	kernel(t)
	before := left(t)
	w := &world{t: t}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(ruleset(t))
		}
		if w.Networks != nil {
			check(t, w.Clear(context.Background()))
			check(t, w.Close())
		}
		eventually(t, "everything is as it was", func() error {
			if now := left(t); now != before {
				return fmt.Errorf("left:\n%s\nbefore:\n%s", now, before)
			}
			return nil
		})
	})
	w.options = Options{
		Dir: t.TempDir(), Key: key, Title: func(id string) string { return "the container " + id },
		Logger: slog.New(slog.NewTextHandler(testLog{t}, nil)),
	}
	w.open()
	check(t, w.Reconcile(context.Background(), nil))
	return w
}

func (w *world) open() {
	n, err := Open(context.Background(), w.options)
	check(w.t, err)
	w.Networks = n
}

type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	if l.t.Context().Err() == nil {
		l.t.Log(strings.TrimSpace(string(b)))
	}
	return len(b), nil
}

// left is what of networks there is on the host.
func left(t *testing.T) string {
	var b strings.Builder
	links, err := allLinks()
	check(t, err)
	for _, l := range links {
		fmt.Fprintln(&b, l.Attrs().Name)
	}
	c, err := nftables.New()
	check(t, err)
	tables, err := c.ListTables()
	check(t, err)
	for _, table := range tables {
		fmt.Fprintln(&b, table.Name, table.Family)
	}
	for _, s := range []string{forward4, forward6} {
		v, err := os.ReadFile("/proc/sys/net/" + s)
		check(t, err)
		fmt.Fprint(&b, s, " ", string(v))
	}
	return b.String()
}

func ruleset(t *testing.T) string {
	out, err := exec.Command("nft", "list", "ruleset").CombinedOutput()
	if err != nil {
		t.Log(err)
	}
	return string(out)
}

func eventually(t *testing.T, what string, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// namespace makes a network namespace, which lasts until the test ends.
func namespace(t testing.TB) *os.File {
	t.Helper()
	type result struct {
		f   *os.File
		err error
	}
	got := make(chan result)
	go func() {
		runtime.LockOSThread() // for ever: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err != nil {
			got <- result{nil, err}
			return
		}
		f, err := os.Open("/proc/thread-self/ns/net")
		got <- result{f, err}
	}()
	r := <-got
	check(t, r.err)
	t.Cleanup(func() { r.f.Close() })
	return r.f
}

// within runs something in a namespace; nil is the host.
func within(ns *os.File, f func() error) error {
	if ns == nil {
		return f()
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

// box is a namespace that is plugged.
type box struct {
	ns *os.File
	at []Endpoint
}

func (w *world) box(name string, networks ...string) box {
	w.t.Helper()
	b := box{ns: namespace(w.t)}
	for _, network := range networks {
		e, err := w.Lease(w.t.Context(), name, Endpoint{Network: network})
		check(w.t, err)
		b.at = append(b.at, e)
	}
	check(w.t, w.Plug(w.t.Context(), b.ns, b.at))
	for _, e := range b.at {
		v, _ := w.Find(e.Network)
		w.mu.Lock()
		link := w.plugged[e.Link][0]
		w.mu.Unlock()
		carries(w.t, nil, link)
		carries(w.t, nil, v.Bridge)
		carries(w.t, b.ns, e.Name)
	}
	return b
}

// carries waits until an interface is known to have a carrier, which it is at once on newer kernels: see settle.
func carries(t *testing.T, ns *os.File, name string) {
	t.Helper()
	eventually(t, name+" has a carrier", func() error {
		return within(ns, func() error {
			link, err := netlink.LinkByName(name)
			if err == nil && link.Attrs().OperState != netlink.OperUp {
				err = fmt.Errorf("it is %s", link.Attrs().OperState)
			}
			return err
		})
	})
}

func (b box) addr(port uint16) netip.AddrPort  { return netip.AddrPortFrom(b.at[0].Addr, port) }
func (b box) addr6(port uint16) netip.AddrPort { return netip.AddrPortFrom(b.at[0].Addr6, port) }

// serve answers every connection in a namespace with the address of who made it, and a word.
func serve(t *testing.T, ns *os.File, where, word string) netip.AddrPort {
	t.Helper()
	var l net.Listener
	check(t, within(ns, func() (err error) {
		l, err = net.Listen("tcp", where)
		return err
	}))
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				from := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
				fmt.Fprintf(c, "%s %s", word, from)
				_, _ = io.Copy(io.Discard, c)
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// ask connects to a server, and answers its word, and who it saw.
func ask(ns *os.File, to netip.AddrPort) (word, seen string, err error) {
	return askFor(ns, to, 30*time.Second)
}

// askFor is ask for one who does not wait for longer: it is enough where no answer is to come.
func askFor(ns *os.File, to netip.AddrPort, patience time.Duration) (word, seen string, err error) {
	err = within(ns, func() error {
		c, err := net.DialTimeout("tcp", to.String(), patience)
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			return err
		}
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		b, err := io.ReadAll(c)
		word, seen, _ = strings.Cut(string(b), " ")
		return err
	})
	return word, seen, err
}

// reaches demands that a server answers, and answers who it saw.
func reaches(t *testing.T, ns *os.File, to netip.AddrPort, word string) string {
	t.Helper()
	got, seen, err := ask(ns, to)
	if err != nil || got != word {
		t.Fatalf("%s answers %q, %v; want %q", to, got, err, word)
	}
	return seen
}

// wire connects two namespaces, of which nil is the host.
func wire(t testing.TB, a *os.File, nameA, addrA string, b *os.File, nameB, addrB string) {
	t.Helper()
	check(t, within(a, func() error {
		la := netlink.NewLinkAttrs()
		la.Name = nameA
		veth := &netlink.Veth{LinkAttrs: la, PeerName: nameB}
		if b != nil {
			veth.PeerNamespace = netlink.NsFd(int(b.Fd()))
		}
		return netlink.LinkAdd(veth)
	}))
	t.Cleanup(func() {
		_ = within(a, func() error {
			l, err := netlink.LinkByName(nameA)
			if err != nil {
				return err
			}
			return netlink.LinkDel(l)
		})
	})
	for _, end := range []struct {
		ns         *os.File
		name, addr string
	}{{a, nameA, addrA}, {b, nameB, addrB}} {
		check(t, within(end.ns, func() error {
			l, err := netlink.LinkByName(end.name)
			if err != nil {
				return err
			}
			addr, err := netlink.ParseAddr(end.addr)
			if err != nil {
				return err
			}
			return errors.Join(netlink.AddrAdd(l, addr), netlink.LinkSetUp(l))
		}))
	}
}

// route gives a namespace a route.
func route(t *testing.T, ns *os.File, to, by string) {
	t.Helper()
	check(t, within(ns, func() error {
		dst, err := netlink.ParseIPNet(to)
		if err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{Dst: dst, Gw: net.ParseIP(by)})
	}))
}
