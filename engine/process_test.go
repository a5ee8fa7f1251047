package engine

import (
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const testID = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestCommand(t *testing.T) {
	image := &Image{Entrypoint: []string{"entry"}, Cmd: []string{"cmd", "arg"}}
	for _, r := range []struct {
		name                string
		image               *Image
		entrypoint, command string
		want                []string
	}{
		{"image's own", image, "", "", []string{"entry", "cmd", "arg"}},
		{"other command", image, "", "ls -l", []string{"entry", "ls", "-l"}},
		{"other entrypoint drops the command", image, "mine", "", []string{"mine"}},
		{"both", image, "mine -x", "ls", []string{"mine", "-x", "ls"}},
		{"entrypoint cleared as Docker's flag does", image, `[""]`, "", nil},
		{"entrypoint cleared, command given", image, `[""]`, "ls", []string{"ls"}},
		{"empty array keeps the image's command", image, `[]`, "", []string{"cmd", "arg"}},
		{"only a command", &Image{Cmd: []string{"sh"}}, "", "", []string{"sh"}},
		{"nothing", &Image{}, "", "", nil},
	} {
		set, err := parseSettings(map[string]string{"entrypoint": r.entrypoint, "command": r.command})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(r.want, set.command(r.image)); d != "" {
			t.Errorf("%s: %s", r.name, d)
		}
	}
}

func TestResolve(t *testing.T) {
	image := &Image{
		Reference: "app:1", Cmd: []string{"app"}, User: "app", WorkingDir: "srv",
		Env: []string{"PATH=/opt/bin", "A=image", "broken", "=x"}, StopSignal: "SIGQUIT",
		Labels: map[string]string{"a": "image", "b": "image"},
	}
	set, err := parseSettings(map[string]string{"env": "A=mine\nB=2", "tty": "true", "labels": "a=mine"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := set.resolve(testID, "", image)
	if err != nil {
		t.Fatal(err)
	}
	want := process{
		Args: []string{"app"}, Dir: "/srv", User: "app", Hostname: "0123456789ab", TTY: true,
		Env: []string{"PATH=/opt/bin", "HOSTNAME=0123456789ab", "TERM=xterm", "A=mine", "B=2"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if s := set.stopSignal(image); s != syscall.SIGQUIT {
		t.Errorf("stop signal %v", s)
	}
	if d := cmp.Diff(map[string]string{"a": "mine", "b": "image"}, set.labels(image)); d != "" {
		t.Error(d)
	}

	set, err = parseSettings(map[string]string{
		"workdir": "/w", "user": "7:8", "hostname": "box", "stop_signal": "INT", "stop_timeout": "3", "stdin": "on",
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err = set.resolve(testID, "", image)
	if err != nil {
		t.Fatal(err)
	}
	if got.Dir != "/w" || got.User != "7:8" || got.Hostname != "box" || !got.Stdin || got.TTY {
		t.Errorf("%+v", got)
	}
	if s := set.stopSignal(image); s != syscall.SIGINT {
		t.Errorf("stop signal %v", s)
	}
	if d := set.stopTimeout(); d != 3*time.Second {
		t.Errorf("grace %v", d)
	}
}

func TestResolveRefuses(t *testing.T) {
	for _, r := range []struct {
		image *Image
		raw   map[string]string
		kind  Kind
	}{
		{&Image{}, nil, Invalid},
		{&Image{Cmd: []string{"a\x00b"}}, nil, Invalid},
		{&Image{Cmd: []string{""}}, nil, NotCommand},
	} {
		set, err := parseSettings(r.raw)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := set.resolve(testID, "", r.image); err == nil || KindOf(err) != r.kind {
			t.Errorf("%+v: %v", r.image, err)
		}
	}
}

func TestBadImageSignal(t *testing.T) {
	if s := (values{}).stopSignal(&Image{StopSignal: "SIGNONSENSE"}); s != syscall.SIGTERM {
		t.Errorf("%v", s)
	}
}

func TestMergeEnv(t *testing.T) {
	got := mergeEnv([]string{"A=1", "B=2"}, []string{"A=3", "C"}, []string{"B=", "D=\x00"})
	if d := cmp.Diff([]string{"A=3", "B="}, got); d != "" {
		t.Error(d)
	}
	got = mergeEnv([]string{"A=1", "B=2", "C=3"}, []string{"A", "B", "B=4", "D"})
	if d := cmp.Diff([]string{"C=3", "B=4"}, got); d != "" {
		t.Error(d)
	}
}
