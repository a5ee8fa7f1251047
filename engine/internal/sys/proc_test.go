package sys

import (
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestParseStat(t *testing.T) {
	rest := " S 17 4242 4242 34816 4242 4194560 9 8 7 6 150 50 3 2 20 0 1 0 12345 1000 100 18446744073709551615 " + strings.Repeat("1 ", 26) + "256\n"
	for _, name := range []string{"sh", "a b", "x) R 1 (", "))((", ""} {
		s, err := ParseStat([]byte("4242 (" + name + ")" + rest))
		want := ProcessStat{Name: name, State: 'S', Parent: 17, Terminal: 34816, Spent: 2 * time.Second, Began: 123450 * time.Millisecond, Status: 256}
		if err != nil || s != want {
			t.Errorf("%q: %+v, %v; want %+v", name, s, err, want)
		}
	}
	if s, err := ParseStat([]byte("1 (\xff\xfe)" + rest)); err != nil || s.Name != "?" {
		t.Errorf("a name of odd bytes: %q, %v", s.Name, err)
	}
	for _, bad := range []string{"", "1", "1 (sh", "1 )sh(", "1 (sh) S 17", "1 (sh)" + strings.Replace(rest, "17", "x", 1), "1 (sh)" + strings.Replace(rest, "12345", "x", 1)} {
		if s, err := ParseStat([]byte(bad)); err == nil {
			t.Errorf("%q: %+v", bad, s)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("1 (a) S 1"))
	f.Add([]byte(")("))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := ParseStat(b); err == nil && s.State == 0 {
			t.Errorf("%q: %+v", b, s)
		}
	})
}

func TestProcess(t *testing.T) {
	cmd := exec.Command("sh", "-c", "exit 3")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	if got := Children(); !slices.Contains(got, pid) {
		t.Errorf("%d is not among the children %v", pid, got)
	}
	s, err := ReadStat(pid)
	if err != nil || s.State != 'Z' || s.Parent != os.Getpid() || s.Status != 3<<8 {
		t.Errorf("a zombie: %+v, %v", s, err)
	}
	if got := StatusField(pid, "PPid:"); got != strconv.Itoa(os.Getpid()) {
		t.Errorf("its parent is %q", got)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if got := PidOf(fd); got != pid {
		t.Errorf("the number behind a pidfd of %d is %d", pid, got)
	}
	_ = cmd.Wait()
	if got := PidOf(fd); got > 0 {
		t.Errorf("a process that is gone is still %d", got)
	}
	if _, err := ReadStat(pid); err == nil {
		t.Error("a process that is gone has a stat")
	}
	if StatusField(pid, "PPid:") != "" || PidOf(-1) != 0 {
		t.Error("what is not there has fields")
	}
}
