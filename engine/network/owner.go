package network

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// socketOwner names the process that has a port of the host, as far as that can be found; empty if it cannot. It is slow,
// and for errors only.
func socketOwner(proto string, at uint16) string {
	inodes := map[string]bool{}
	for _, file := range []string{"/proc/thread-self/net/" + proto, "/proc/thread-self/net/" + proto + "6"} {
		for _, inode := range socketsAt(file, at) {
			inodes["socket:["+inode+"]"] = true
		}
	}
	if len(inodes) == 0 {
		return ""
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return ""
	}
	for _, dir := range processes {
		files, err := os.ReadDir(dir + "/fd")
		if err != nil {
			continue // it is gone
		}
		for _, f := range files {
			if link, err := os.Readlink(filepath.Join(dir, "fd", f.Name())); err == nil && inodes[link] {
				name, _ := os.ReadFile(dir + "/comm")
				return fmt.Sprintf("the process %s (%s)", filepath.Base(dir), bytes.TrimSpace(name))
			}
		}
	}
	return ""
}

// socketsAt are the inodes of the sockets that a table of the kernel's has at a port.
func socketsAt(file string, at uint16) []string {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	const (
		local  = 1 // ADDRESS:PORT, in hexadecimal
		state  = 3
		inode  = 9
		fields = 10
		listen = "0A"
	)
	var list []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		l := strings.Fields(lines.Text())
		if len(l) < fields {
			continue
		}
		_, hex, _ := strings.Cut(l[local], ":")
		if p, err := strconv.ParseUint(hex, 16, 16); err != nil || uint16(p) != at {
			continue
		}
		if l[state] == listen || strings.Contains(file, "udp") {
			list = append(list, l[inode])
		}
	}
	return list
}
