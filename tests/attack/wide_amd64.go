package main

import "golang.org/x/sys/unix"

// wide are attempts with more in an argument than the kernel looks at, which a
// filter that compares all of it would let by, and with what 32 bits have not.
func wide() map[string]attempt {
	return map[string]attempt{
		"clone-user-high": func() error {
			return born(raw3(unix.SYS_CLONE, 1<<40|unix.CLONE_NEWUSER|uintptr(unix.SIGCHLD), 0))
		},
		"kexec-file":   func() error { return raw(unix.SYS_KEXEC_FILE_LOAD, 0, 0, 0, 0, 4) },
		"tiocsti-high": func() error { return typing(7<<32 | unix.TIOCSTI) },
	}
}
