package fs

import (
	"flag"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"
)

var update = flag.Bool("update", false, "write TREE.md anew")

// settingRows stand for the engine's table of settings, of which each row is a file.
func settingRows() []Setting {
	return []Setting{{Name: "SETTING", Mode: 0o640, Summary: "one of the engine's settings; hullfs(5) lists them"}}
}

func TestTreeDocument(t *testing.T) {
	got := Document(settingRows())
	if *update {
		if err := os.WriteFile("TREE.md", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("TREE.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("TREE.md is not what the table says: go generate ./fs")
	}
}

// walk calls f for the row and all below it.
func (r *row) walk(f func(*row)) {
	f(r)
	for _, c := range r.rows {
		c.walk(f)
	}
}

func TestRowsAreWhole(t *testing.T) {
	table(settingRows()).walk(func(r *row) {
		if r.parent != nil && r.kind != directoryRow && r.summary == "" {
			t.Errorf("%s has no summary", r.path)
		}
		has := map[rowKind]bool{
			textRow: r.text != nil, growingRow: r.growing != nil, ctlRow: len(r.commands) > 0, linkRow: r.target != nil,
			collectionRow: r.open != nil && len(r.rows) > 0, settingRow: r.setting.Name == r.name, directoryRow: len(r.rows) > 0,
			verbRow: true, passthroughRow: true,
		}
		if !has[r.kind] {
			t.Errorf("%s, a %s, has no content", r.path, r.kind)
		}
		seen := map[string]bool{}
		for _, c := range r.rows {
			if seen[c.name] || c.name == "" || strings.HasPrefix(c.name, ".") {
				t.Errorf("%s: the name %q is twice or cannot be", r.path, c.name)
			}
			seen[c.name] = true
		}
	})
}

func TestEveryKindHasItsErrno(t *testing.T) {
	seen := map[syscall.Errno]Kind{}
	for k := range kindCount {
		row := kinds[k]
		if row.name == "" || row.errno == 0 {
			t.Errorf("Kind %d has no row", k)
		}
		if other, ok := seen[row.errno]; ok {
			t.Errorf("%v and %v are both %v", other, k, row.errno)
		}
		seen[row.errno] = k
		if row.errno == syscall.EXDEV || (row.errno == syscall.EIO) != (k == System) {
			t.Errorf("%v must not be %v", k, row.errno)
		}
	}
	if Errno(fail(kindCount+3, "", "", "")) != syscall.EIO {
		t.Error("an unknown Kind is not EIO")
	}
}

func TestSentence(t *testing.T) {
	for in, want := range map[string]string{
		"":                              "",
		"there is no such thing":        "There is no such thing.",
		"done!":                         "done!",
		"a\nb\x00c":                     "A b?c.",
		"redis:7 is not there":          "redis:7 is not there.",
		"\xff\xfe":                      "\uFFFD.",
		"The image x is used by web.  ": "The image x is used by web.",
	} {
		if in == "done!" {
			want = "Done!"
		}
		if got := sentence(in); got != want {
			t.Errorf("sentence(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestEnds(t *testing.T) {
	bit := func(s ...syscall.Signal) (b uint64) {
		for _, s := range s {
			b |= 1 << (s - 1)
		}
		return b
	}
	for _, c := range []struct {
		pending, blocked, ignored uint64
		want                      bool
	}{
		{0, 0, 0, false},
		{bit(syscall.SIGINT), 0, 0, true},
		{bit(syscall.SIGKILL), 0, 0, true},
		{bit(syscall.SIGTERM), bit(syscall.SIGTERM), 0, false},
		{bit(syscall.SIGHUP), 0, bit(syscall.SIGHUP), false},
		{bit(syscall.SIGWINCH, syscall.SIGCHLD, syscall.SIGURG, syscall.SIGCONT, syscall.SIGTSTP), 0, 0, false},
		{bit(syscall.SIGWINCH, syscall.SIGALRM), 0, 0, true},
	} {
		if got := ends(c.pending, c.blocked, c.ignored); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestDockerWording(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "Less than a second", time.Second: "1 second", 5 * time.Second: "5 seconds", time.Minute: "About a minute",
		59 * time.Minute: "59 minutes", time.Hour: "About an hour", 47 * time.Hour: "47 hours", 48 * time.Hour: "2 days",
		14 * 24 * time.Hour: "2 weeks", 60 * 24 * time.Hour: "2 months", 800 * 24 * time.Hour: "2 years",
	} {
		if got := ago(d); got != want {
			t.Errorf("ago(%v) = %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0B", 999: "999B", 63_200_000: "63.2MB", 1_842_000: "1.84MB", 2_000_000_000: "2GB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
	if got := ellipsis("docker-entrypoint.sh redis-server", 20); got != "docker-entrypoint.s…" {
		t.Error(got)
	}
	now := time.Now()
	for want, c := range map[string]*Container{
		"Up 5 seconds":                            {Status: "running", Started: now.Add(-5 * time.Second)},
		"Up About an hour (Paused)":               {Status: "paused", Started: now.Add(-time.Hour)},
		"Exited (0) 3 minutes ago":                {Status: "exited", Ended: now.Add(-3 * time.Minute)},
		"Exited (137) Less than a second ago":     {Status: "exited", Exit: 137, Ended: now},
		"Created":                                 {Status: "created"},
		"Restarting (3) 2 seconds ago, 1 restart": {Status: "restarting", Exit: 3, Restarts: 1, Ended: now.Add(-2 * time.Second)},
		"Up 5 seconds (healthy), 12 restarts":     {Status: "running", Health: "healthy", Restarts: 12, Started: now.Add(-5 * time.Second)},
		"Exited (1) 2 seconds ago":                {Status: "exited", Exit: 1, Restarts: 3, Ended: now.Add(-2 * time.Second)},
	} {
		if got := statusText(c, now); got != want {
			t.Errorf("%+v is %q, want %q", c, got, want)
		}
	}
}

func TestPortColumn(t *testing.T) {
	at := func(host string, port uint16, proto string) Port {
		p := Port{Port: port, Proto: proto}
		if host != "" {
			p.Host = netip.MustParseAddrPort(host)
		}
		return p
	}
	for want, ports := range map[string][]Port{
		"":                       nil,
		"80/tcp":                 {at("", 80, "tcp")},
		"127.0.0.1:8080->80/tcp": {at("127.0.0.1:8080", 80, "tcp")},
		"0.0.0.0:80->80/tcp":     {at("0.0.0.0:80", 80, "tcp")},
		"[::]:53->53/udp":        {at("[::]:53", 53, "udp")},
		"53/tcp, 53/udp":         {at("", 53, "udp"), at("", 53, "tcp")},
		"0.0.0.0:80-82->80-82/tcp, [::]:80->80/tcp": {
			at("0.0.0.0:81", 81, "tcp"), at("[::]:80", 80, "tcp"), at("0.0.0.0:80", 80, "tcp"), at("0.0.0.0:82", 82, "tcp"),
		},
		"80-81/tcp, 443/tcp, 127.0.0.1:1->80/tcp": {
			at("", 443, "tcp"), at("", 81, "tcp"), at("127.0.0.1:1", 80, "tcp"), at("", 80, "tcp"),
		},
	} {
		if got := portColumn(ports); got != want {
			t.Errorf("%v is %q, want %q", ports, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{"web": true, "a.b-c_D9": true, "": false, "-x": false, ".x": false, "a b": false, "ä": false, strings.Repeat("a", 129): false} {
		if validName(name) != want {
			t.Errorf("validName(%q) is not %v", name, want)
		}
	}
	for name, want := range map[string]bool{
		"localhost": true, "localhost:5000": true, "ghcr.io": true, "ghcr.io:443": true, "ubuntu": false, "ubuntu:18.04": false,
		"myreg:5000": false, "ghcr.io:latest": false, "redis@sha256:ab.cd": false, "localhost:": false,
	} {
		if isRegistry(name) != want {
			t.Errorf("isRegistry(%q) is not %v", name, want)
		}
	}
	for name, want := range map[string]bool{"memroy": true, "cpu_shares": true, ".env.swp": false, "env~": false, "sedAbCdEf": false, "sedabcdef": false, "4913": false, "tmpqwerty": false, "#env#": false, "env.new": false} {
		if settingLike(name) != want {
			t.Errorf("settingLike(%q) is not %v", name, want)
		}
	}
	for target, want := range map[string]string{
		"images/redis:7": "redis:7", "/hull/images/ghcr.io/a/b:1": "ghcr.io/a/b:1", "../../redis:7": "redis:7", "redis:7/": "redis:7",
		"./redis:7": "redis:7", "/x/images/images/y:1": "y:1", "myimages/x:1": "myimages/x:1", "": "", "../": "..",
	} {
		if got := LinkSource(target); got != want {
			t.Errorf("LinkSource(%q) = %q, want %q", target, got, want)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte("start\nstop"), true)
	f.Add([]byte("\n\n\n"), false)
	f.Add([]byte("a"), false)
	f.Add([]byte(""), true)
	f.Fuzz(func(t *testing.T, b []byte, more bool) {
		commands, held := split(b, more)
		n := len(held)
		for _, c := range commands {
			if strings.ContainsRune(string(c), '\n') {
				t.Fatalf("%q is not one line", c)
			}
			n += len(c) + 1
		}
		if n != len(b) && n != len(b)+1 || !more && len(held) > 0 {
			t.Fatalf("%q: %q and %q", b, commands, held)
		}
	})
}

func FuzzSentence(f *testing.F) {
	f.Add("a b")
	f.Add("\x00\xff\u2028\u202e\u009b")
	f.Fuzz(func(t *testing.T, s string) {
		if got := sentence(s); strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) || got != "" && !strings.HasSuffix(got, ".") && !strings.HasSuffix(got, "!") && !strings.HasSuffix(got, "?") {
			t.Fatalf("%q becomes %q", s, got)
		}
	})
}

func TestMountTable(t *testing.T) {
	const info = `22 1 0:20 / / rw - ext4 /dev/vda rw
42 22 0:39 / /hull rw,nosuid - fuse.hull hull rw
43 22 0:40 / /other\040place rw shared:1 master:2 - fuse.hull hull rw
44 42 0:41 / /hull rw - tmpfs none rw
`
	for dir, want := range map[string]string{"/hull": "tmpfs", "/other place": "fuse.hull", "/": "ext4", "/none": ""} {
		if got := topType(info, dir); got != want {
			t.Errorf("%s: %q, want %q", dir, got, want)
		}
	}
}
