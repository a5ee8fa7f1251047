package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// sockets are attempts at families and types that have had holes, or that see
// other traffic.
func sockets() map[string]attempt {
	m := map[string]attempt{}
	for name, s := range map[string][3]int{
		"raw": {unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP}, "raw6": {unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6},
		"packet": {unix.AF_PACKET, unix.SOCK_RAW, 0}, "alg": {unix.AF_ALG, unix.SOCK_SEQPACKET, 0},
		"vsock": {unix.AF_VSOCK, unix.SOCK_STREAM, 0},
	} {
		m["socket-"+name] = func() error { return closing(unix.Socket(s[0], s[1], s[2])) }
	}
	// By their numbers in the 32-bit table, where socketcall hides them all.
	m["interfaces"] = func() error {
		entries, err := os.ReadDir("/sys/class/net")
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), "lo") && !strings.HasPrefix(e.Name(), "eth") && !ordinary(e.Name()) {
				return nil
			}
		}
		return errors.New("there are only its own")
	}
	return m
}

// ordinary are interfaces that the kernel makes in every network namespace.
func ordinary(name string) bool {
	for _, p := range []string{"tunl", "gre", "gretap", "erspan", "ip_vti", "ip6_vti", "sit", "ip6tnl", "ip6gre", "bonding_masters", "ifb", "dummy", "teql"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// abstract connects to sockets that listen on the host, by their names.
func abstract(names []string) {
	for _, n := range names {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			err = unix.Connect(fd, &unix.SockaddrUnix{Name: "@" + n})
			_ = unix.Close(fd)
		}
		tell("abstract-socket", err)
	}
	b, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		fmt.Printf("abstract-list DONE %v\n", err)
		return
	}
	for _, n := range names {
		if strings.Contains(string(b), n) {
			fmt.Printf("abstract-list DONE it shows %s\n", n)
			return
		}
	}
	tell("abstract-list", errors.New("it shows its own only"))
}
