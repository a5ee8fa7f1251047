package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernel are attempts at what is the whole machine's.
func kernel() map[string]attempt {
	second := uintptr(unsafe.Pointer(&unix.Timespec{Sec: 1}))
	return map[string]attempt{
		"keyctl-session":  func() error { return raw(unix.SYS_KEYCTL, 1, 0) },
		"keyctl-read":     func() error { return raw(unix.SYS_KEYCTL, 11, ^uintptr(2), 0, 0) }, // the session's keyring
		"add-key":         func() error { return raw(unix.SYS_ADD_KEY, str("user"), str("evil"), str("x"), 1, ^uintptr(2)) },
		"request-key":     func() error { return raw(unix.SYS_REQUEST_KEY, str("user"), str("evil"), 0, 0) },
		"bpf":             func() error { return raw(unix.SYS_BPF, unix.BPF_MAP_CREATE, str(strings.Repeat("\x01", 128)), 72) },
		"perf":            func() error { return perf() },
		"userfaultfd":     func() error { return raw(unix.SYS_USERFAULTFD, unix.O_CLOEXEC|1) },
		"io-uring":        func() error { return raw(unix.SYS_IO_URING_SETUP, 8, str(strings.Repeat("\x00", 256))) },
		"init-module":     func() error { return raw(unix.SYS_INIT_MODULE, str("x"), 1, str("")) },
		"finit-module":    func() error { return raw(unix.SYS_FINIT_MODULE, 0, str(""), 0) },
		"delete-module":   func() error { return raw(unix.SYS_DELETE_MODULE, str("overlay"), unix.O_NONBLOCK) },
		"kexec":           func() error { return raw(unix.SYS_KEXEC_LOAD, 0, 0, 0, 0) },
		"reboot":          func() error { return unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF) },
		"clock-settime":   func() error { return raw(unix.SYS_CLOCK_SETTIME, unix.CLOCK_REALTIME, second) },
		"settimeofday":    func() error { return unix.Settimeofday(&unix.Timeval{Sec: 1}) },
		"adjtimex":        func() error { _, err := unix.Adjtimex(&unix.Timex{Modes: 1, Offset: 1}); return err },
		"syslog":          func() error { _, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, make([]byte, 16)); return err },
		"acct":            func() error { return raw(unix.SYS_ACCT, str("/tmp")) },
		"iopl":            func() error { return raw(unix.SYS_IOPL, 3) },
		"ioperm":          func() error { return raw(unix.SYS_IOPERM, 0x80, 1, 1) },
		"personality":     func() error { return raw(unix.SYS_PERSONALITY, 0x0040000) }, // ADDR_NO_RANDOMIZE
		"vhangup":         func() error { return raw(unix.SYS_VHANGUP) },
		"fanotify":        func() error { return closing(unix.FanotifyInit(unix.FAN_CLASS_CONTENT, 0)) },
		"open-by-handle":  openByHandle,
		"lower-oom-score": func() error { return writing("/proc/self/oom_score_adj", "-1000") },
		"real-time":       func() error { return raw(unix.SYS_SCHED_SETSCHEDULER, 0, 1, str("\x63\x00\x00\x00")) },
		"nice":            func() error { return unix.Setpriority(unix.PRIO_PROCESS, 0, -20) },
		"more-memlock": func() error {
			return unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
		},
		"clear-no-new-privs": func() error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0) },
		"raise-capability": func() error {
			h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			all := ^uint32(0)
			wanted := [2]unix.CapUserData{{Effective: all, Permitted: all}, {Effective: 0x1ff, Permitted: 0x1ff}}
			return unix.Capset(&h, &wanted[0])
		},
	}
}

func perf() error {
	attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK}
	attr.Size = uint32(unsafe.Sizeof(attr))
	return closing(unix.PerfEventOpen(&attr, -1, 0, -1, 0))
}

// openByHandle is how the "shocker" reached the host's files from Docker.
func openByHandle() error {
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, "/etc/passwd", 0)
	if err != nil {
		h = unix.NewFileHandle(1, []byte{2, 0, 0, 0, 0, 0, 0, 0})
	}
	dir, err := os.Open("/")
	if err != nil {
		return err
	}
	defer dir.Close()
	return closing(unix.OpenByHandleAt(int(dir.Fd()), h, unix.O_RDONLY))
}

// files are attempts at the kernel's files.
func files() map[string]attempt {
	m := map[string]attempt{}
	for name, to := range map[string][2]string{
		"core-pattern":      {"/proc/sys/kernel/core_pattern", "|/tmp/evil"},
		"modprobe":          {"/proc/sys/kernel/modprobe", "/tmp/evil"},
		"sysctl-hostname":   {"/proc/sys/kernel/hostname", "evil"},
		"sysctl-panic":      {"/proc/sys/kernel/panic", "1"},
		"sysctl-ns-last":    {"/proc/sys/kernel/ns_last_pid", "300"},
		"sysctl-forward":    {"/proc/sys/net/ipv4/ip_forward", "1"},
		"sysctl-overcommit": {"/proc/sys/vm/overcommit_memory", "1"},
		"drop-caches":       {"/proc/sys/vm/drop_caches", "3"},
		"binfmt":            {"/proc/sys/fs/binfmt_misc/register", ":evil:M::evil::/tmp/evil:"},
		"sysrq":             {"/proc/sysrq-trigger", "s"},
		"irq":               {"/proc/irq/default_smp_affinity", "1"},
		"mtrr":              {"/proc/mtrr", "disable=0"},
		"uevent-helper":     {"/sys/kernel/uevent_helper", "/tmp/evil"},
		"ksm":               {"/sys/kernel/mm/ksm/run", "1"},
		"huge-pages":        {"/sys/kernel/mm/transparent_hugepage/enabled", "never"},
		"power":             {"/sys/power/state", "mem"},
		"scsi":              {"/proc/scsi/scsi", "scsi remove-single-device 0 0 0 0"},
	} {
		m[name] = func() error { return writing(to[0], to[1]) }
	}
	for name, path := range map[string]string{
		"read-kcore": "/proc/kcore", "read-keys": "/proc/keys", "read-timers": "/proc/timer_list", "read-kmsg": "/proc/kmsg",
		"read-interrupts": "/proc/interrupts", "read-latency": "/proc/latency_stats", "read-sched": "/proc/sched_debug",
		"read-core-link": "/dev/core", "read-kallsyms-address": "/proc/kallsyms",
	} {
		m[name] = func() error { return reading(path) }
	}
	m["read-kallsyms-address"] = func() error { // names are everybody's, addresses are not
		b, err := os.ReadFile("/proc/kallsyms")
		if err != nil {
			return errors.Unwrap(err)
		}
		if line, _, _ := strings.Cut(string(b), "\n"); strings.HasPrefix(line, "0000000000000000") || line == "" {
			return errors.New("all addresses are 0")
		}
		return nil
	}
	for name, dir := range map[string]string{
		"list-firmware": "/sys/firmware", "list-powercap": "/sys/devices/virtual/powercap", "list-acpi": "/proc/acpi",
		"list-asound": "/proc/asound", "list-scsi": "/proc/scsi", "list-selinux": "/sys/fs/selinux",
	} {
		m[name] = func() error { return listing(dir) }
	}
	m["release-agent"] = func() error { return inGroups("release_agent", "/tmp/evil", "../release_agent") }
	m["notify-on-release"] = func() error { return inGroups("notify_on_release", "1") }
	m["cgroup-leave"] = func() error { return inGroups("cgroup.procs", "0", "tasks", "../cgroup.procs", "../tasks") }
	m["cgroup-limit"] = func() error {
		return inGroups("pids.max", "max", "memory.max", "memory.limit_in_bytes", "devices.allow")
	}
	m["cgroup-child"] = func() error {
		return everywhere("/sys/fs/cgroup", func(dir string) error { return unix.Mkdir(dir+"/evil", 0o755) })
	}
	m["cgroup-view"] = func() error { // above its own group there is nothing to see
		b, err := os.ReadFile("/proc/self/cgroup")
		if err != nil {
			return err
		}
		for line := range strings.Lines(strings.TrimSpace(string(b))) {
			if f := strings.SplitN(strings.TrimSpace(line), ":", 3); len(f) == 3 && strings.Contains(f[2], "hull") {
				return nil
			}
		}
		return errors.New("the container's groups are roots")
	}
	m["set-user-id"] = func() error { // by a file of the image
		return gains("/attack/setuid")
	}
	m["file-capability"] = func() error { return gains("/attack/capable") }
	m["host-in-mountinfo"] = func() error {
		b, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			return err
		}
		if strings.Contains(string(b), "hull-") {
			fmt.Print(string(b))
			return nil // a path of the host's
		}
		return errors.New("it tells no path of the host's")
	}
	return m
}

// gains executes a file of another user's rights and sees whether it has got them.
func gains(path string) error {
	out, err := outputOf(path, "whoami")
	if err != nil {
		return err
	}
	var uid int
	var caps uint64
	if _, err := fmt.Sscanf(out, "%d %x", &uid, &caps); err != nil {
		return err
	}
	own, ours := rights()
	if uid == own && caps&^ours == 0 {
		return fmt.Errorf("it runs as %d with %x, as this does", uid, caps)
	}
	fmt.Printf("%s runs as %d with %x, and this as %d with %x\n", path, uid, caps, own, ours)
	return nil
}

func listing(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return errors.Unwrap(err)
	}
	if len(entries) == 0 {
		return errors.New("it is empty")
	}
	return nil
}

// inGroups writes to files of every cgroup that is to be seen, and of those above.
func inGroups(name, text string, more ...string) error {
	return everywhere("/sys/fs/cgroup", func(dir string) error {
		var last error
		for _, n := range append([]string{name}, more...) {
			if last = writing(filepath.Join(dir, n), text); last == nil {
				return nil
			}
		}
		return last
	})
}

// everywhere tries a directory and those in it, two deep; the first success counts.
func everywhere(top string, try func(dir string) error) error {
	dirs := []string{top}
	for _, pattern := range []string{"/*/", "/*/*/"} {
		found, err := filepath.Glob(top + pattern)
		if err != nil {
			return err
		}
		dirs = append(dirs, found...)
	}
	var last error
	for _, d := range dirs {
		if last = try(d); last == nil {
			return nil
		}
	}
	return last
}
