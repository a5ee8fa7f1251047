package engine

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSettingsTable(t *testing.T) {
	names, flags, jsons := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, s := range Settings() {
		if s.parse == nil || s.Summary == "" || s.JSON == "" {
			t.Errorf("%s: the row lacks a parser, a summary or a JSON name", s.Name)
		}
		if names[s.Name] || jsons[s.JSON] {
			t.Errorf("%s: the name is there twice", s.Name)
		}
		names[s.Name], jsons[s.JSON] = true, true
		for _, f := range []string{s.Flag, s.Short} {
			if f != "" && flags[f] {
				t.Errorf("%s: the flag %s is another's", s.Name, f)
			}
			flags[f] = true
		}
		if v, err := s.Parse(""); v != nil || err != nil {
			t.Errorf("%s: empty is %v, %v and should be unset", s.Name, v, err)
		}
		if v, err := s.Parse("\n"); v != nil || err != nil {
			t.Errorf("%s: an empty line is %v, %v and should be unset", s.Name, v, err)
		}
		if _, err := s.Parse("a\x00b"); KindOf(err) != Invalid {
			t.Errorf("%s: takes a zero byte", s.Name)
		}
		if _, err := s.Parse("\xff"); KindOf(err) != Invalid {
			t.Errorf("%s: takes what is not UTF-8", s.Name)
		}
		if _, err := s.Parse(strings.Repeat("x", maxValue+1)); KindOf(err) != Invalid {
			t.Errorf("%s: takes a value without end", s.Name)
		}
	}
	for _, name := range strings.Fields("image command entrypoint env workdir user groups hostname tty stdin stop_signal " +
		"stop_timeout init cap_add cap_drop no_new_privileges privileged devices userns seccomp sysctls labels auto_remove " +
		"memory memory_swap cpus cpu_shares pids ulimits log_max log_files network ports publish_all expose dns extra_hosts") {
		if !names[name] {
			t.Errorf("there is no setting %s", name)
		}
	}
}

func TestParse(t *testing.T) {
	type row struct {
		setting, value string
		want           any // nil: refused
	}
	words := func(w ...string) []string { return w }
	for _, r := range []row{
		{"image", "redis:7\n", "redis:7"},
		{"image", "a b", nil},
		{"platform", "linux/arm64\n", "linux/arm64"},
		{"platform", "linux/arm64 linux/amd64", nil},
		{"platform", "linux/arm64\nlinux/amd64", nil},
		{"image", "a\nb", nil},
		{"command", "nginx -g 'daemon off;'\n", words("nginx", "-g", "daemon off;")},
		{"command", `sh -c "echo \"$HOME\" #1"`, words("sh", "-c", `echo "$HOME" #1`)},
		{"command", "cat #1 a#b", words("cat", "#1", "a#b")},
		{"command", `echo \# '#' "#" \\#`, words("echo", "#", "#", "#", `\#`)},
		{"command", "sh -c \"printf 'a\\nb' \\$HOME \\\"x\\\" \\\\ \\`\"", words("sh", "-c", "printf 'a\\nb' $HOME \"x\" \\ `")},
		{"command", `sh -c 'a\nb'`, words("sh", "-c", `a\nb`)},
		{"command", "a \\\n b\\\nc \"d\\\ne\"", words("a", "bc", "de")},
		{"command", `a\ b \n "é\é"`, words("a b", "n", `é\é`)},
		{"command", "echo\n  two\tthree", words("echo", "two", "three")},
		{"command", `["a b","c"]`, words("a b", "c")},
		{"command", ` ["a"] ` + "\n", words("a")},
		{"command", `[]`, []string{}},
		{"command", `["a"`, nil},
		{"command", `["a"] x`, nil},
		{"command", `["a"]]`, nil},
		{"command", `["a",1]`, nil},
		{"command", `["a\u0000"]`, nil},
		{"command", `'open`, nil},
		{"command", `open\`, nil},
		{"command", `''`, words("")},
		{"entrypoint", "/docker-entrypoint.sh", words("/docker-entrypoint.sh")},
		{"env", "A=1\n\n# a comment\n  B=two words \nC=\n", words("A=1", "B=two words ", "C=")},
		{"env", "A=1\r\nB=2\r\n", words("A=1", "B=2")},
		{"env", `["A=1\nline 2"]`, words("A=1\nline 2")},
		{"env", "A", []string{"A"}},
		{"env", "=x", nil},
		{"env", "A B=x", nil},
		{"workdir", "/srv/../app/\n", "/app"},
		{"workdir", "app", nil},
		{"workdir", "/a\tb", nil},
		{"workdir", "/" + strings.Repeat("a", 5000), nil},
		{"user", "postgres", "postgres"},
		{"user", "1000:1000", "1000:1000"},
		{"user", "65535", "65535"},
		{"user", "65536", nil},
		{"user", "4294967296", nil},
		{"user", "0:99999999999999999999", nil},
		{"user", "-1", "-1"}, // a name, as far as can be said here; the container has no such user
		{"user", "a:b:c", nil},
		{"user", ":b", ":b"},
		{"user", "a:", "a:"},
		{"groups", "video\n1234\n", words("video", "1234")},
		{"groups", "65536", nil},
		{"groups", "a:b", nil},
		{"groups", "a b", nil},
		{"user", "a/b", nil},
		{"user", "a b", nil},
		{"hostname", "web-1.example.org", "web-1.example.org"},
		{"hostname", "-web", nil},
		{"hostname", "web-", nil},
		{"hostname", "a..b", nil},
		{"hostname", "a b", nil},
		{"hostname", "wéb", nil},
		{"hostname", strings.Repeat("a", 65), nil},
		{"tty", "true", true},
		{"tty", "Yes\n", true},
		{"tty", "0", false},
		{"tty", "maybe", nil},
		{"stop_signal", "SIGQUIT", "SIGQUIT"},
		{"stop_signal", "quit", "quit"},
		{"stop_signal", "3", "3"},
		{"stop_signal", "RTMIN+3", "RTMIN+3"},
		{"stop_signal", "SIGNONE", nil},
		{"stop_signal", "0", nil},
		{"stop_signal", "99", nil},
		{"stop_signal", "-9", nil},
		{"stop_timeout", "30", int64(30)},
		{"stop_timeout", "-1", int64(-1)},
		{"stop_timeout", "-2", nil},
		{"stop_timeout", "1.5", nil},
		{"stop_timeout", "99999999999999999999", nil},
		{"init", "yes", true},
		{"cap_add", "net_raw\nCAP_sys_time\n all \n", words("CAP_NET_RAW", "CAP_SYS_TIME", "ALL")},
		{"cap_add", "NET_ROW", nil},
		{"cap_add", "CAP_CAP_CHOWN", nil},
		{"cap_drop", `["MKNOD","ALL"]`, words("CAP_MKNOD", "ALL")},
		{"cap_drop", "NET_RAW,CHOWN", nil},
		{"no_new_privileges", "no", false},
		{"privileged", "true", true},
		{"privileged", "host", nil},
		{"userns", "host\n", "host"},
		{"userns", "private", nil},
		{"userns", "container:x", nil},
		{"seccomp", "unconfined\n", "unconfined"},
		{"seccomp", "none", nil},
		{"seccomp", "/etc/profile.json", nil},
		{"seccomp", " {\n\"defaultAction\": \"SCMP_ACT_ALLOW\"}\n", `{"defaultAction":"SCMP_ACT_ALLOW"}`},
		{"seccomp", `{"defaultAction":"SCMP_ACT_ALLOW"} {}`, nil},
		{"seccomp", `{"defaultAction":"ALLOW"}`, nil},
		{"seccomp", `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[null]}`, nil},
		{"seccomp", `{"defaultAction":`, nil},
		{"sysctls", "net.ipv4.ip_forward = 1\nkernel.shmmax=1\nfs/mqueue/msg_max=5", words("net.ipv4.ip_forward=1", "kernel.shmmax=1", "fs.mqueue.msg_max=5")},
		{"sysctls", "net.ipv4.ip_forward", nil},
		{"sysctls", "net.ipv4.ip_forward=", nil},
		{"sysctls", "kernel.core_pattern=x", nil},
		{"sysctls", "kernel.hostname=x", nil},
		{"sysctls", "vm.swappiness=1", nil},
		{"sysctls", "net.../../kernel/core_pattern=x", nil},
		{"sysctls", "net.a..b=1", nil},
		{"sysctls", "fs.mqueue.=1", nil},
		{"devices", "/dev/fuse\n/dev/sda:r\n/dev/sda:/dev/xvda\n/dev/sda:/dev/disk/x:rw", words("/dev/fuse", "/dev/sda:r", "/dev/sda:/dev/xvda", "/dev/sda:/dev/disk/x:rw")},
		{"devices", "/dev", nil},
		{"devices", "/dev/../etc/passwd", nil},
		{"devices", "/tmp/device", nil},
		{"devices", "fuse", nil},
		{"devices", "/dev/fuse:/etc/fuse", nil},
		{"devices", "/dev/fuse:/dev/../x", nil},
		{"devices", "/dev/fuse:/dev", nil},
		{"devices", "/dev/fuse:/dev/pts/0", nil},
		{"devices", "/dev/fuse:/dev/shm", nil},
		{"devices", "/dev/fuse:/dev/x:rwx", nil},
		{"devices", "/dev/fuse:/dev/x:rr", nil},
		{"devices", "/dev/fuse:/dev/x:", nil},
		{"devices", "/dev/fuse:/dev/x:r:w", nil},
		{"labels", "a=b\nc", words("a=b", "c")},
		{"memory", "512M\n", int64(512 << 20)},
		{"memory", "1.5g", int64(3 << 29)},
		{"memory", "64MiB", int64(64 << 20)},
		{"memory", "6291456", int64(6 << 20)},
		{"memory", "0", int64(0)},
		{"memory", "5m", nil},
		{"memory", "-1", nil},
		{"memory", "512 Mega", nil},
		{"memory", "m", nil},
		{"memory", "99999999999999999999g", nil},
		{"memory_swap", "1G", int64(1 << 30)},
		{"memory_swap", "-1", int64(-1)},
		{"memory_swap", "-2", nil},
		{"cpus", "0.5", 0.5},
		{"cpus", "1", 1.0},
		{"cpus", "0", 0.0},
		{"cpus", "0.001", nil},
		{"cpus", "-1", nil},
		{"cpus", "1000", 1000.0},
		{"cpus", "1000000", nil},
		{"cpus", "NaN", nil},
		{"cpus", "1,5", nil},
		{"cpu_shares", "512", int64(512)},
		{"cpu_shares", "0", int64(0)},
		{"cpu_shares", "1", nil},
		{"cpu_shares", "262145", nil},
		{"log_max", "10m", int64(10 << 20)},
		{"log_max", "64k", int64(64 << 10)},
		{"log_max", "63k", nil},
		{"log_max", "0", nil},
		{"log_max", "-1", int64(-1)},
		{"log_max", "-2", nil},
		{"log_max", "much", nil},
		{"log_files", "1", int64(1)},
		{"log_files", "100", int64(100)},
		{"log_files", "101", nil},
		{"log_files", "0", nil},
		{"log_files", "-1", nil},
		{"pids", "100", int64(100)},
		{"pids", "-1", int64(-1)},
		{"pids", "-2", nil},
		{"pids", "1.5", nil},
		{"pids", "5000000", nil},
		{"ulimits", "nofile=1024:2048\ncore=0\nnproc=-1\n", words("nofile=1024:2048", "core=0", "nproc=-1")},
		{"ulimits", "nofile", nil},
		{"ulimits", "nofile=2:1", nil},
		{"ulimits", "nosuch=1", nil},
		{"ulimits", "nofile=1:2:3", nil},
		{"ulimits", "nofile=many", nil},
		{"ulimits", "nofile=-5", nil},
		{"labels", "=b", nil},
	} {
		s, ok := FindSetting(r.setting)
		if !ok {
			t.Fatalf("no setting %s", r.setting)
		}
		got, err := s.Parse(r.value)
		if r.want == nil {
			if KindOf(err) != Invalid || err == nil {
				t.Errorf("%s %.40q: %v, %v; should be refused", r.setting, r.value, got, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s %.40q: %v", r.setting, r.value, err)
		} else if d := cmp.Diff(r.want, got); d != "" {
			t.Errorf("%s %.40q: %s", r.setting, r.value, d)
		}
	}
}

func TestFromFlag(t *testing.T) {
	for _, r := range []struct {
		setting string
		given   []string
		want    any
	}{
		{"entrypoint", []string{"/bin/sh -c"}, []string{"/bin/sh -c"}},
		{"entrypoint", []string{""}, []string{""}},
		{"env", []string{"A=1", "B=#x"}, []string{"A=1", "B=#x"}},
		{"env", []string{"A=1\n2", "B=3"}, []string{"A=1\n2", "B=3"}},
		{"env", []string{"A= x "}, []string{"A= x "}},
		{"labels", []string{"[x]=1"}, []string{"[x]=1"}},
		{"labels", []string{"#x"}, []string{"#x"}},
		{"user", []string{"a", "b"}, "b"},
		{"tty", []string{"true"}, true},
	} {
		s, _ := FindSetting(r.setting)
		got, err := s.Parse(s.FromFlag(r.given))
		if err != nil {
			t.Errorf("%s %q: %v", r.setting, r.given, err)
		} else if d := cmp.Diff(r.want, got); d != "" {
			t.Errorf("%s %q: %s", r.setting, r.given, d)
		}
	}
}

func TestSettingsJSON(t *testing.T) {
	raw := map[string]string{
		"memory": "512m", "memory_swap": "-1", "cpus": "0.5", "pids": "10", "ulimits": "core=0\nnofile=1:2", "labels": "a=b", "groups": "staff\n7",
		"cpu_shares": "2", "workdir": "/x", "entrypoint": "e", "hostname": "h", "stdin": "no", "stop_signal": "INT", "auto_remove": "1",
		"image": "redis:7", "seccomp": `{"defaultAction":"SCMP_ACT_ALLOW"}`, "cap_add": "net_raw\nALL", "command": "a 'b c'", "env": "A=1\nB=2", "tty": "yes", "stop_timeout": "3", "user": "7\n",
	}
	doc := (&Container{Settings: raw}).SettingsJSON()
	back, err := ParseSettingsJSON(doc)
	if err != nil {
		t.Fatal(err)
	}
	want, err := parseSettings(raw)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseSettings(back)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s\n%s", doc, d)
	}
	for _, bad := range []string{"", "[]", "{} {}", "{}}", "{}]", "null", `{"nosuch":1}`, `{"tty":1}`, `{"env":{}}`, `{"env":[1]}`, `{"command":true}`, `{"memory":true}`, `{"command":{}}`, `{"seccomp":[]}`} {
		if _, err := ParseSettingsJSON([]byte(bad)); KindOf(err) != Invalid || err == nil {
			t.Errorf("%s: %v; should be refused", bad, err)
		}
	}
}

// Each setting is written into the document and read back as the same, whatever its type.
func TestEverySettingInJSON(t *testing.T) {
	for _, row := range table() {
		tried := false
		for _, value := range []string{
			"1", "0", "512m", "true", "a", "a b", "A=1\nB=2", "nofile=1:2", "/x", "/a:/b", "/dev/null", "SIGINT", "0.5", "-1", "10s",
			"net_raw", "host", "unconfined", `{"defaultAction":"SCMP_ACT_ALLOW"}`, "net.ipv4.ip_forward=1", "always", "linux/amd64", "8080:80", "1.2.3.4", "a:1.2.3.4",
		} {
			want, err := row.Parse(value)
			if err != nil {
				continue
			}
			tried = true
			doc := (&Container{Settings: map[string]string{row.Name: value}}).SettingsJSON()
			raw, err := ParseSettingsJSON(doc)
			if err != nil {
				t.Errorf("%s %q: %v: %s", row.Name, value, err, doc)
				continue
			}
			got, err := row.Parse(raw[row.Name])
			if d := cmp.Diff(want, got); err != nil || d != "" || len(raw) != 1 {
				t.Errorf("%s %q: %v: %s %s", row.Name, value, err, doc, d)
			}
		}
		if !tried {
			t.Errorf("none of the values is one for %s: add one", row.Name)
		}
	}
}

// FuzzWords: whatever is taken reads the same when it is written down and read again.
func FuzzWords(f *testing.F) {
	for _, seed := range []string{`a 'b c' "d\"e" #f`, `["x","y\n"]`, `'`, `\`, "", "[", "a\\\nb", `"\x"`, "#", `''#`, "\u00a0"} {
		f.Add(seed)
	}
	row, _ := FindSetting("command")
	f.Fuzz(func(t *testing.T, value string) {
		got, err := row.Parse(value)
		if err != nil {
			if KindOf(err) != Invalid {
				t.Fatalf("kind %v", KindOf(err))
			}
			return
		}
		if got == nil {
			return
		}
		again, err := row.Parse(FormatWords(got.([]string)))
		if err != nil || !slices.Equal(again.([]string), got.([]string)) {
			t.Fatalf("%q is %q and then %q (%v)", value, got, again, err)
		}
	})
}

// FuzzSettings: no value brings any parser down, lists survive being written and read, and nothing taken has what an
// execve cannot.
func FuzzSettings(f *testing.F) {
	for _, seed := range []string{"A=1\nB=2", `["A=1"]`, "# x", "a:b", "/x/../..", "-1", "SIGTERM", "true", "\r\n", "web.example"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, row := range table() {
			got, err := row.Parse(value)
			if err != nil {
				continue
			}
			list, ok := got.([]string)
			if !ok {
				continue
			}
			for _, item := range list {
				if strings.ContainsRune(item, 0) {
					t.Fatalf("%s took a zero byte: %q", row.Name, item)
				}
			}
			again, err := parseList(formatList(list))
			if err != nil || !slices.Equal(again, list) {
				t.Fatalf("%s: %q is %q and then %q (%v)", row.Name, value, list, again, err)
			}
		}
	})
}

func FuzzSettingsJSON(f *testing.F) {
	for _, seed := range []string{`{"image":"a","env":["A=1"]}`, `{"tty":true,"stop_timeout":1e3}`, `{`, `null`, `{"env":"A=1"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		raw, err := ParseSettingsJSON(data)
		if err != nil {
			return
		}
		if _, err := parseSettings(raw); err != nil && KindOf(err) != Invalid {
			t.Fatalf("kind %v", KindOf(err))
		}
	})
}
