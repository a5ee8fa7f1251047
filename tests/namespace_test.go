package tests

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The tests have a network of their own: what they make of bridges, addresses and rules is nowhere else, what the
// machine has of its own is not in their way, and whatever a killed run leaves goes with its last process. So all of
// the test binary is in a network namespace, and every program it starts; only what has to reach the world is run
// outside.

// worldVar has the descriptor of the machine's own network, on the way into the tests'.
const worldVar = "HULL_TESTS_WORLD"

// world is the network that the tests were started in; nil if they have none of their own.
var world *os.File

// enterNetwork makes the network of the tests and executes this binary again in it: a thread cannot take the others of
// its process along. Without root there is none, and what would need it skips.
func enterNetwork() error {
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
	return fmt.Errorf("execute the tests again: %w", unix.Exec("/proc/self/exe", os.Args, env))
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

// outside runs a command in the machine's own network.
func outside(cmd *exec.Cmd) ([]byte, error) {
	if world == nil {
		return cmd.CombinedOutput()
	}
	type result struct {
		out []byte
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with this, and no test gets it
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

// networkLeft tells what somebody has left in the tests' network.
func networkLeft() error {
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
