// Package netns gives a program a network of its own: what it makes there of bridges, addresses and rules is nowhere else,
// what the machine has of its own is not in its way, and whatever it leaves, killed, goes with its last process. So all
// of a test binary is in a network namespace, and every program it starts; only what has to reach the world is run outside.
package netns

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// worldVar has the descriptor of the machine's own network, on the way into the program's.
const worldVar = "HULL_TESTS_WORLD"

// world is the network that the program was started in; nil if it has none of its own.
var world *os.File

// Enter makes the network and executes this binary again in it: a thread cannot take the others of its process along. It
// belongs at the beginning of main. Without root there is none, and what would need it has to be left out.
func Enter() error {
	if fd, err := strconv.Atoi(os.Getenv(worldVar)); err == nil {
		unix.CloseOnExec(fd)
		world = os.NewFile(uintptr(fd), "world")
		return errors.Join(os.Unsetenv(worldVar), raiseLoopback())
	}
	if os.Geteuid() != 0 {
		return nil
	}
	runtime.LockOSThread()
	fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY, 0) // for the next program
	if err != nil {
		return fmt.Errorf("open the network namespace: %w", err)
	}
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make a network namespace: %w", err)
	}
	env := append(os.Environ(), worldVar+"="+strconv.Itoa(fd))
	return fmt.Errorf("execute the program again: %w", unix.Exec("/proc/self/exe", os.Args, env))
}

// raiseLoopback gives the network its 127.0.0.1 and ::1.
func raiseLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("raise lo: %w", err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("raise lo: %w", err)
	}
	return nil
}

// Outside runs a command in the machine's own network, and answers what it says.
func Outside(cmd *exec.Cmd) ([]byte, error) {
	if world == nil {
		return cmd.CombinedOutput()
	}
	type result struct {
		out []byte
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with this, and nobody else gets it
		if err := unix.Setns(int(world.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- result{err: fmt.Errorf("enter the machine's network: %w", err)}
			return
		}
		out, err := cmd.CombinedOutput()
		done <- result{out, err}
	}()
	r := <-done
	return r.out, r.err
}

// Left tells what is there in the network that was not there at first: links, and rules of hull's. The kernel takes its time
// with links whose namespace has ended.
func Left() error {
	if world == nil {
		return nil
	}
	links, err := net.Interfaces()
	if err != nil {
		return err
	}
	var left []string
	for _, l := range links {
		if !inEvery(l.Name) {
			left = append(left, l.Name)
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("links are left: %s", strings.Join(left, ", "))
	}
	rules, err := nftables.New()
	if err != nil {
		return err
	}
	tables, err := rules.ListTables()
	if err != nil {
		return err
	}
	for _, t := range tables {
		if strings.HasPrefix(t.Name, "hull") { // others' programs leave theirs
			return fmt.Errorf("rules are left: the table %s", t.Name)
		}
	}
	return nil
}

// inEvery tells the links that the kernel makes in each new network namespace, by the modules it has.
func inEvery(link string) bool {
	switch link {
	case "lo", "tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "sit0", "ip6tnl0", "ip6gre0":
		return true
	}
	return false
}
