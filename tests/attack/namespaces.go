package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// namespaces are attempts to get rights in a namespace of one's own, or into
// others.
func namespaces() map[string]attempt {
	m := map[string]attempt{}
	for name, flag := range map[string]int{
		"user": unix.CLONE_NEWUSER, "mnt": unix.CLONE_NEWNS, "net": unix.CLONE_NEWNET, "pid": unix.CLONE_NEWPID,
		"ipc": unix.CLONE_NEWIPC, "uts": unix.CLONE_NEWUTS, "cgroup": unix.CLONE_NEWCGROUP, "time": unix.CLONE_NEWTIME,
	} {
		m["unshare-"+name] = onThread(func() error { return unix.Unshare(flag) })
		m["setns-"+name] = onThread(func() error {
			f, err := os.Open("/proc/1/ns/" + name)
			if err != nil {
				return err
			}
			defer f.Close()
			return unix.Setns(int(f.Fd()), flag)
		})
		if flag == unix.CLONE_NEWTIME { // to clone it is a signal's number
			continue
		}
		m["clone-"+name] = func() error { return born(raw3(unix.SYS_CLONE, uintptr(flag)|uintptr(unix.SIGCHLD), 0)) }
	}
	m["clone3-user"] = func() error {
		args := struct{ flags, pidfd, child, parent, exit, stack, size, tls uint64 }{flags: unix.CLONE_NEWUSER, exit: uint64(unix.SIGCHLD)}
		return born(raw3(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args)))
	}
	m["sethostname"] = func() error { return unix.Sethostname([]byte("evil")) }
	m["setdomainname"] = func() error { return unix.Setdomainname([]byte("evil")) }
	m["uid-map"] = func() error { return writing("/proc/self/uid_map", "0 0 1\n") }
	m["setgroups-file"] = func() error { return writing("/proc/self/setgroups", "deny") }
	m["become-host-root"] = func() error { // an id that the container has not got
		return onThread(func() error {
			_, _, e := unix.RawSyscall(unix.SYS_SETRESUID, 1<<31, 1<<31, 1<<31)
			return failed(e)
		})()
	}
	return m
}

// onThread runs on a thread that is thrown away.
func onThread(try attempt) attempt {
	return func() error {
		done := make(chan error)
		go func() {
			runtime.LockOSThread()
			if err := unix.Unshare(unix.CLONE_FS); err != nil {
				done <- err
				return
			}
			done <- try()
		}()
		return <-done
	}
}

// born ends a child that there should not be.
func born(pid uintptr, e unix.Errno) error {
	if e != 0 {
		return e
	}
	if pid == 0 {
		unix.Exit(0)
	}
	return nil
}

func raw3(nr, a, b uintptr) (uintptr, unix.Errno) {
	r, _, e := unix.RawSyscall(nr, a, b, 0)
	return r, e
}

// raw makes a system call that has no function.
func raw(nr uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	_, _, e := unix.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
	return failed(e)
}

func failed(e unix.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}

// str is a string for a system call; it is never freed.
func str(s string) uintptr {
	b := append([]byte(s), 0)
	kept = append(kept, b)
	return uintptr(unsafe.Pointer(&b[0]))
}

var kept [][]byte

// writing writes to a file of the kernel's.
func writing(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return errors.Unwrap(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		return errors.Unwrap(err)
	}
	return nil
}

// reading is done only if something comes.
func reading(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return errors.Unwrap(err)
	}
	defer f.Close()
	b := make([]byte, 64)
	n, err := f.Read(b)
	if n == 0 {
		return fmt.Errorf("it is empty (%w)", err)
	}
	return nil
}
