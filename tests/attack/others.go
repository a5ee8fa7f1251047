package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// others tries to get at processes outside, by the numbers that they have there.
func others(pids []string) {
	for _, p := range pids {
		pid, err := strconv.Atoi(p)
		if err != nil {
			fmt.Printf("others DONE %v\n", err)
			continue
		}
		if _, err := os.Stat("/proc/" + p); err == nil { // the number is one of ours as well
			fmt.Printf("others refused %d is a process of the container\n", pid)
			continue
		}
		tell("kill", unix.Kill(pid, 0))
		tell("ptrace", unix.PtraceSeize(pid))
		fd, err := unix.PidfdOpen(pid, 0)
		tell("pidfd", closing(fd, err))
		tell("process-vm", func() error {
			b := make([]byte, 8)
			_, err := unix.ProcessVMReadv(pid, []unix.Iovec{{Base: &b[0], Len: 8}}, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}, 0)
			return err
		}())
		_, err = unix.Getpgid(pid)
		tell("getpgid", err)
		tell("prlimit", unix.Prlimit(pid, unix.RLIMIT_CORE, nil, &unix.Rlimit{}))
		tell("affinity", unix.SchedSetaffinity(pid, &unix.CPUSet{1}))
		tell("process-list", func() error {
			if entries, err := filepath.Glob("/proc/" + p + "/*"); err != nil || len(entries) > 0 {
				return err
			}
			return unix.ENOENT
		}())
	}
}

// inherited are what the one who started the container may have left.
func inherited() map[string]attempt {
	return map[string]attempt{
		"descriptors": func() error {
			entries, err := os.ReadDir("/proc/self/fd")
			if err != nil {
				return err
			}
			for _, e := range entries {
				fd, err := strconv.Atoi(e.Name())
				if err != nil || fd <= 2 {
					continue
				}
				target, err := os.Readlink("/proc/self/fd/" + e.Name())
				// Go's own are the poller's, the directory's, and the limit of processors.
				if err == nil && !strings.HasPrefix(target, "anon_inode:") && !strings.HasPrefix(target, "/proc/") && !strings.HasPrefix(target, "/sys/fs/cgroup/") {
					fmt.Printf("descriptor %d is %s\n", fd, target)
					return nil
				}
			}
			return errors.New("there are none but 0, 1 and 2")
		},
		"directory": func() error {
			dir, err := os.Getwd()
			if err == nil && strings.HasPrefix(dir, "(unreachable)") {
				return nil
			}
			return fmt.Errorf("it is %s", dir)
		},
		"daemon-environment": func() error {
			for _, v := range os.Environ() {
				if strings.HasPrefix(v, "HULL") || strings.HasPrefix(v, "GO") {
					return nil
				}
			}
			return errors.New("nothing of hull's is in it")
		},
		"parent": func() error {
			if unix.Getppid() != 0 && unix.Getppid() != 1 {
				if _, err := os.Stat("/proc/" + strconv.Itoa(unix.Getppid())); err != nil {
					return nil
				}
			}
			return errors.New("it is nobody outside")
		},
	}
}

// watch looks at whatever process appears, for as long as it is told, and tries
// to get hold of its program, its files, its directory and its memory: what
// enters a container brings something of the host's with it (CVE-2016-9962,
// CVE-2019-5736, CVE-2024-21626).
func watch(seconds string) {
	n, err := strconv.Atoi(seconds)
	if err != nil {
		fmt.Printf("watch DONE %v\n", err)
		return
	}
	root, err := inode("/")
	if err != nil {
		fmt.Printf("watch DONE %v\n", err)
		return
	}
	fmt.Println("watch begins")
	seen, met := map[string]bool{}, 0
	for end := time.Now().Add(time.Duration(n) * time.Second); time.Now().Before(end); {
		if _, err := os.Stat("/tmp/enough"); err == nil {
			break
		}
		entries, err := os.ReadDir("/proc")
		if err != nil {
			continue
		}
		for _, e := range entries {
			pid, err := strconv.Atoi(e.Name())
			if err != nil || pid == os.Getpid() {
				continue
			}
			if !seen[e.Name()] {
				seen[e.Name()] = true
				met++
			}
			grab(e.Name(), pid, root)
		}
	}
	fmt.Printf("watch refused of %d processes none gave anything\n", met)
}

// grab tries everything on one process.
func grab(name string, pid int, root [2]uint64) {
	dir := "/proc/" + name + "/"
	exe, err := os.Readlink(dir + "exe")
	if err == nil {
		if strings.Contains(exe, "hull") {
			fmt.Printf("watch DONE sees the program %s\n", exe)
		}
		// Those of the image can be written to; that is the image's.
		if f, err := os.OpenFile(dir+"exe", os.O_WRONLY, 0); err == nil {
			if strings.Contains(exe, "memfd") {
				if _, err := f.WriteString("x"); err == nil {
					fmt.Printf("watch DONE wrote to %s\n", exe)
				}
			}
			_ = f.Close()
		}
	}
	for _, link := range []string{"root", "cwd"} {
		var st unix.Stat_t
		if err := unix.Stat(dir+link, &st); err == nil && link == "root" && [2]uint64{st.Dev, st.Ino} != root {
			fmt.Printf("watch DONE another root, of %s\n", name)
		}
	}
	fds, err := os.ReadDir(dir + "fd")
	if err != nil {
		return
	}
	for _, e := range fds {
		target, err := os.Readlink(dir + "fd/" + e.Name())
		if err == nil && (strings.Contains(target, "hull") || strings.HasPrefix(target, "/proc/")) {
			fmt.Printf("watch DONE %s has %s\n", name, target)
		}
	}
}

// outputOf runs this program again, from another file.
func outputOf(path string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, args...).Output()
	return string(out), err
}
