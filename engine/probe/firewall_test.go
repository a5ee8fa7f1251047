package probe

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// elsewhere makes a network namespace, which lasts until the test ends.
func elsewhere(t *testing.T) *os.File {
	t.Helper()
	type result struct {
		f   *os.File
		err error
	}
	made := make(chan result)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with this
		err := unix.Unshare(unix.CLONE_NEWNET)
		var f *os.File
		if err == nil {
			f, err = os.Open("/proc/thread-self/ns/net")
		}
		made <- result{f, err}
	}()
	r := <-made
	if r.err != nil {
		t.Fatal(r.err)
	}
	t.Cleanup(func() { r.f.Close() })
	return r.f
}

// A firewall that drops what nobody accepts is told, until it has a rule about hull.
func TestFirewall(t *testing.T) {
	nft, err := exec.LookPath("nft")
	if os.Geteuid() != 0 || err != nil {
		t.Skip("needs root and nft")
	}
	ns := elsewhere(t)
	rules := func(text string) {
		t.Helper()
		cmd := exec.Command("nsenter", "--net=/proc/self/fd/3", nft, "flush ruleset; "+text)
		cmd.ExtraFiles = []*os.File{ns}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	const forward, input = "type filter hook forward priority 0;", "type filter hook input priority 0;"
	for _, c := range []struct{ rules, want string }{
		{"", ""},
		{"table ip filter { chain FORWARD { " + forward + " }; chain INPUT { " + input + " }; }", ""},
		{"table ip filter { chain FORWARD { " + forward + " policy drop; }; }", "the chain FORWARD of the table filter drops"},
		{"table inet f { chain in { " + input + " policy drop; tcp dport 22 accept; }; }", "find no names"},
		{"table inet f { chain out { type filter hook output priority 0; policy drop; }; chain to { drop; }; }", ""},
		{"table bridge f { chain forward { " + forward + " policy drop; }; }", ""},
		{`table inet f { chain forward { ` + forward + ` policy drop; iifname "eth0" accept; iifname "hull*" accept; oifname "hull*" accept; }; }`, ""},
		{`table inet f { chain forward { ` + forward + ` policy drop; oifname "hull0" accept; }; }`, ""},
		{`table inet f { chain forward { ` + forward + ` policy drop; iifname "hul" accept; }; }`, "drops what no rule accepts"},
	} {
		rules(c.rules)
		err := firewall(nftables.WithNetNSFd(int(ns.Fd())))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.rules, err, c.want)
		}
	}
}
