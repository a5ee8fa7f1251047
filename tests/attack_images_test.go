package tests

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hull/tests/image"
)

// trick is an image that wants a start to do something outside it.
type trick struct {
	name   string
	files  func(a *attacker) []image.File
	run    string // run's flags and the command, with IMAGE for the image
	refuse string // a pattern of the sentence that refuses it; empty: it runs
	prints string // what it prints, if it runs
}

// these are files that do not depend on where anything is.
func these(files ...image.File) func(*attacker) []image.File {
	return func(*attacker) []image.File { return files }
}

// link is a symbolic link of an image to something of the host's.
func link(name, below string) func(*attacker) []image.File {
	return func(a *attacker) []image.File {
		return []image.File{{Name: name, Type: tar.TypeSymlink, Link: a.canary + below, Mode: 0o777}}
	}
}

func symlink(name, target string) image.File {
	return image.File{Name: name, Type: tar.TypeSymlink, Link: target, Mode: 0o777}
}

// users is an image's /etc/passwd.
func users(lines ...string) func(*attacker) []image.File {
	return these(image.File{Name: "etc/passwd", Mode: 0o644, Body: []byte(strings.Join(lines, "\n") + "\n")})
}

// tricks are the classes of what has gone wrong in other engines.
func tricks() []trick {
	const inTheWay = "in the way|symbolic link|not a directory"
	all := []trick{
		// Mounts that follow links (CVE-2019-16884, CVE-2021-30465, CVE-2023-27561, CVE-2025-31133).
		{"proc-link", link("proc", "/d"), "IMAGE true", inTheWay, ""},
		{"sys-link", link("sys", "/d"), "IMAGE true", inTheWay, ""},
		{"dev-link", link("dev", "/d"), "IMAGE true", inTheWay, ""},
		{"proc-file", these(image.File{Name: "proc", Mode: 0o644}), "IMAGE true", inTheWay, ""},
		{"proc-climb", these(symlink("proc", "../../../../../../proc")), "IMAGE true", inTheWay, ""},
		{"proc-fake", func(a *attacker) []image.File {
			return []image.File{
				{Name: "proc/", Mode: 0o755},
				{Name: "proc/self/", Mode: 0o755},
				{Name: "proc/self/exe", Mode: 0o755},
				symlink("proc/kcore", a.canary+"/file"), symlink("proc/sys", a.canary+"/d"),
				{Name: "attack", Mode: 0o755, Body: a.program},
			}
		}, "IMAGE /attack integrity", "", "refused 3 file systems"},
		{"etc-link", link("etc", "/d"), "IMAGE true", inTheWay, ""},
		{"hosts-link", link("etc/hosts", "/file"), "IMAGE sh -c 'echo evil >> /etc/hosts; grep -c localhost /etc/hosts'", "", `^2$`},
		{"hostname-link", link("etc/hostname", "/new"), "IMAGE sh -c 'echo evil > /etc/hostname; cat /etc/hostname'", "", "^evil$"},
		{"resolv-proc", these(symlink("etc/resolv.conf", "/proc/1/environ")), "IMAGE sh -c 'cat /etc/resolv.conf'", "", "nameserver"},
		{"hosts-fifo", these(image.File{Name: "etc/hosts", Type: tar.TypeFifo, Mode: 0o666}), "IMAGE true", "not be put in its place|cannot be put", ""},
		{"console-link", func(a *attacker) []image.File {
			return []image.File{{Name: "dev/", Mode: 0o755}, symlink("dev/console", a.canary+"/file"), symlink("dev/pts", a.canary+"/d"), symlink("dev/null", a.canary+"/file")}
		}, "-t IMAGE sh -c 'echo evil > /dev/console; echo evil > /dev/null; test -c /dev/console && echo terminal'", "", "terminal"},

		// The working directory (CVE-2024-21626).
		{"workdir-link", these(symlink("away", "/proc/self/fd")), "-w /away/7 IMAGE true", "working directory", ""},
		{"workdir-root", these(symlink("away", "/proc/1/root")), "-w /away IMAGE true", "working directory", ""},
		{"workdir-made", link("away", ""), "-w /away/d/made IMAGE true", "working directory", ""},
		{"workdir-cwd", these(symlink("away", "/proc/self/cwd")), "-w /away/../../../x IMAGE sh -c pwd", "", "^/x$"},

		// Who the process is (CVE-2016-3697 and others: numbers that are names, and the other way round).
		{"user-overflow", users("evil:x:4294967296:0::/:/bin/sh"), "-u evil IMAGE id -u", "no user", ""},
		{"user-minus", users("evil:x:-1:0::/:/bin/sh"), "-u evil IMAGE id -u", "no user", ""},
		{"user-last", users("evil:x:4294967295:0::/:/bin/sh"), "-u evil IMAGE id -u", "no user", ""},
		{"user-outside", users("evil:x:100000:0::/:/bin/sh"), "-u evil IMAGE id -u", "outside", ""},
		{"user-hex", users("evil:x:0x0:0::/:/bin/sh"), "-u evil IMAGE id -u", "no user", ""},
		{"user-number", users("1000:x:0:0::/:/bin/sh", "app:x:1000:1000::/:/bin/sh"), "-u 1000 IMAGE id -u", "", "^1000$"},
		{"user-fields", users("evil:x:0", "evil", "evil:x:7:7::/:/bin/sh"), "-u evil IMAGE id -u", "", "^7$"},
		{"user-home", users("evil:x:7:7::/../../etc\tx:/bin/sh"), "-u evil IMAGE sh -c 'echo ok'", "", "^ok$"},
		{"passwd-fifo", these(image.File{Name: "etc/passwd", Type: tar.TypeFifo, Mode: 0o666}), "-u evil IMAGE true", "regular file", ""},
		{"passwd-zero", these(image.File{Name: "etc/passwd", Type: tar.TypeChar, Device: [2]int64{1, 5}, Mode: 0o666}), "-u evil IMAGE true", "regular file", ""},
		{"passwd-host", these(symlink("etc/passwd", "/proc/1/root/etc/passwd")), "-u nobody IMAGE true", "leads nowhere|no user|regular file", ""},
		{"passwd-huge", these(image.File{Name: "etc/passwd", Mode: 0o644, Body: bytes.Repeat([]byte("a:x:1:1::/:\n"), 1<<20)}), "-u evil IMAGE true", "longer than", ""},
		{"groups-many", these(image.File{Name: "etc/group", Mode: 0o644, Body: manyGroups("app", 70000)}), "-u app IMAGE sh -c 'id -G | wc -w'", "", "^60000$"},

		// What is executed.
		{"exe-shell", these(symlink("evil", "/proc/self/exe")), "IMAGE /evil umount /", "no command|cannot be executed", ""},
		{"interpreter", these(image.File{Name: "evil", Mode: 0o755, Body: []byte("#!/no/such/thing\n")}), "IMAGE /evil", "interpreter", ""},
		{"command-fifo", these(image.File{Name: "evil", Mode: 0o755, Type: tar.TypeFifo}), "IMAGE /evil", "regular file", ""},
		{"command-device", these(image.File{Name: "evil", Mode: 0o755, Type: tar.TypeChar, Device: [2]int64{1, 5}}), "IMAGE /evil", "regular file", ""},
		{"init-place", these(image.File{Name: "sbin/init", Mode: 0o755, Body: []byte("#!/bin/sh\necho evil\n")}, image.File{Name: "init", Mode: 0o755}), "--init IMAGE sh -c 'cat /proc/1/comm'", "", "^init$"},
	}
	for fd := 3; fd < 12; fd += 2 {
		all = append(all, trick{fmt.Sprintf("workdir-%d", fd), these(), fmt.Sprintf("-w /proc/self/fd/%d IMAGE true", fd), "working directory", ""})
	}
	return all
}

func manyGroups(member string, n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "g%d:x:%d:%s\n", i, i%60000, member)
	}
	return b.Bytes()
}

// TestTricks runs images that try to have the engine itself do what they could not.
func TestTricks(t *testing.T) {
	a := newAttacker(t)
	a.look(t)
	for _, k := range tricks() {
		a.image(t, "trick/"+k.name, nil, k.files(a)...)
		a.must(t, fmt.Sprintf("mkdir -p images/%[1]s/trick/%[2]s:1 && images/%[1]s/trick/%[2]s:1/wait", addr, k.name))
	}
	for _, k := range tricks() {
		t.Run(k.name, func(t *testing.T) {
			command := strings.Replace(k.run, "IMAGE", addr+"/trick/"+k.name+":1", 1)
			out, err := a.shell("timeout 60 ./run --rm " + command)
			switch {
			case k.refuse != "" && err == nil:
				t.Errorf("it runs: %s", out)
			case k.refuse != "" && !regexp.MustCompile(k.refuse).MatchString(out):
				t.Errorf("it is refused for another reason: %v, %s", err, out)
			case k.refuse == "" && err != nil:
				t.Errorf("it does not run: %v, %s", err, out)
			case k.prints != "" && !regexp.MustCompile("(?m)"+k.prints).MatchString(strings.ReplaceAll(out, "\r", "")):
				t.Errorf("it prints %q, want %q", out, k.prints)
			}
		})
	}
	if got := a.around(t); !slices.Equal(got, a.outside) {
		t.Errorf("outside there was\n%s\nand now there is\n%s", strings.Join(a.outside, "\n"), strings.Join(got, "\n"))
	}
	var st unix.Stat_t
	if err := unix.Stat(os.DevNull, &st); err != nil || st.Rdev != unix.Mkdev(1, 3) {
		t.Errorf("the host's /dev/null is another: %v", err)
	}
	if pids := a.role("daemon"); !slices.Contains(pids, a.daemon) {
		t.Errorf("the daemons are %v, and it was %d", pids, a.daemon)
	}
}
