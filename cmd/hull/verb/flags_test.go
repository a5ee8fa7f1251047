package verb

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hull/fs/wire"
)

func lookup(name string) (string, bool) {
	v, ok := map[string]string{"HERE": "value", "EMPTY": ""}[name]
	return v, ok
}

func TestFlags(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "env")
	check(t, os.WriteFile(file, []byte("\ufeff# comment\n\n  A=from file \r\nHERE\nABSENT\nB=x=y"), 0o600))
	bad := filepath.Join(dir, "bad")
	check(t, os.WriteFile(bad, []byte("A=1\nnot a name=1\n"), 0o600))
	huge := filepath.Join(dir, "huge")
	check(t, os.WriteFile(huge, make([]byte, maxEnvFile+1), 0o600))
	for _, c := range []struct {
		args    string // separated by blanks
		options string
		rest    string
		fails   string
	}{
		{"", "", "", ""},
		{"image", "", "image", ""},
		{"-it image sh -c -x", "stdin=true tty=true", "image sh -c -x", ""},
		{"-i -t -d image", "stdin=true tty=true detach=true", "image", ""},
		{"--rm=false --tty=1 image", "auto_remove=false tty=true", "image", ""},
		{"-t=false image", "tty=false", "image", ""},
		{"--name web image", "name=web", "image", ""},
		{"--name=web=x --name= image", "name=web=x name=", "image", ""},
		{"-w /a -w/b -w=/c -dw /d image", "workdir=/a workdir=/b workdir=/c detach=true workdir=/d", "image", ""},
		{"--name --rm image", "name=--rm", "image", ""},
		{"-- --rm", "", "--rm", ""},
		{"--rm -- -x", "auto_remove=true", "-x", ""},
		{"- -x", "", "- -x", ""},
		{"-e A=1 --env B= -eHERE -e ABSENT -e EMPTY image", "env=A=1 env=B= env=HERE=value env=ABSENT env=EMPTY=", "image", ""},
		{"-e A=1 --env-file " + file + " image", "env=A=from file  env=HERE=value env=B=x=y env=A=1", "image", ""},
		{"--security-opt no-new-privileges --security-opt=no-new-privileges:false image", "no_new_privileges=true no_new_privileges=false", "image", ""},
		{"--security-opt seccomp=unconfined --security-opt seccomp:" + bad + " --security-opt seccomp=builtin image", "seccomp=unconfined seccomp=A=1\nnot a name=1\n seccomp=", "image", ""},
		{"--security-opt seccomp=/nonexistent", "", "", "no such file"},
		{"--security-opt seccomp=" + huge, "", "", "larger than 1 MiB"},
		{"--security-opt no-new-privileges=maybe", "", "", "takes true or false"},
		{"--security-opt apparmor=unconfined --security-opt label=disable --security-opt label:disable image", "", "image", ""},
		{"--security-opt apparmor=x", "", "", "confines no container"},
		{"--security-opt label=type:x", "", "", "confines no container"},
		{"--security-opt systempaths=unconfined", "", "", "seccomp=FILE"},
		{"--security-opt", "", "", "needs a value"},
		{"--log-opt max-size=10m --log-opt=max-file=3 image", "log_max=10m log_files=3", "image", ""},
		{"--log-opt mode=non-blocking image", "", "", "there is max-size=SIZE and max-file=COUNT"},
		{"--log-driver json-file --log-driver=local image", "", "image", ""},
		{"--log-driver syslog image", "", "", "has no driver \"syslog\""},
		{"--log-driver", "", "", "needs a value"},
		{"-l a=1 --label-file " + file + " image", "labels=A=from file  labels=HERE= labels=ABSENT= labels=B=x=y labels=a=1", "image", ""},
		{"--label-file " + bad, "", "", bad + ", line 2: a label's name has white space"},
		{"--label-file /nonexistent", "", "", "no such file"},
		{"--volumes-from db image", "", "", "give both containers the same -v"},
		{"--dns-search example.org --dns-search=. image", "dns=search example.org dns=search .", "image", ""},
		{"--link db image", "", "", "find each other by name"},
		{"--nonsense image", "", "", "there is no flag --nonsense"},
		{"-ix image", "", "", "there is no flag -x"},
		{"--name", "", "", "--name needs a value"},
		{"-iw", "", "", "-w needs a value"},
		{"--rm=maybe", "", "", "--rm is a switch"},
		{"-e =x", "", "", "needs a name"},
		{"--env-file " + bad, "", "", bad + ", line 2: a variable's name has white space"},
		{"--env-file " + huge, "", "", "larger than 1 MiB"},
		{"--env-file /dev/zero", "", "", "larger than 1 MiB"},
		{"--env-file /nonexistent", "", "", "no such file"},
		{"--help", "", "", errHelp.Error()},
	} {
		var args []string
		if c.args != "" {
			args = strings.Split(c.args, " ")
		}
		options, rest, err := parse(args, testFlags(), lookup)
		switch {
		case c.fails != "":
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%s: %v, not %s", c.args, err, c.fails)
			}
			continue
		case err != nil:
			t.Errorf("%s: %v", c.args, err)
			continue
		}
		var got []string
		for _, o := range options {
			got = append(got, o.Name+"="+o.Value)
		}
		if o := strings.Join(got, " "); o != c.options || strings.Join(rest, " ") != c.rest {
			t.Errorf("%s: %s | %s", c.args, o, rest)
		}
	}
}

func TestLast(t *testing.T) {
	options := []wire.Option{{Name: "tty", Value: "true"}, {Name: "x", Value: "y"}, {Name: "tty", Value: "false"}}
	if got := last(options, "tty"); got != "false" {
		t.Error(got)
	}
	if got := last(options, "absent"); got != "" {
		t.Error(got)
	}
}

func TestHelp(t *testing.T) {
	got := help("run [FLAGS]", testFlags())
	for _, want := range []string{"usage: run [FLAGS]\n", "  -d, --detach\n", "      --name VALUE\n", "  -e, --env NAME[=VALUE]\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}

func FuzzFlags(f *testing.F) {
	f.Add("-it\x00--name=x\x00image\x00-x")
	f.Add("-eA\x00--\x00-")
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, "\x00")
		for _, a := range args {
			if strings.Contains(a, "env-file") || strings.Contains(a, "label-file") || strings.Contains(a, "security-opt") {
				t.Skip("reads files")
			}
		}
		_, rest, err := parse(args, testFlags(), lookup)
		if err == nil && len(rest) > 0 && !cmp.Equal(rest, args[len(args)-len(rest):]) {
			t.Errorf("%q: %q", args, rest)
		}
	})
}

// TestParse: whoever reads flags for somebody else reads neither his files nor his environment.
func TestParse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(file, []byte("SECRET=1"), 0o600))
	for _, args := range [][]string{{"--env-file", file}, {"--label-file", file}, {"--cidfile", file}, {"--security-opt", "seccomp=" + file}} {
		if o, _, err := Parse(append(args, "image"), testFlags()); err == nil {
			t.Errorf("%q gives %v", args, o)
		}
	}
	o, rest, err := Parse([]string{"-e", "HOME", "--security-opt", "seccomp=unconfined", "image"}, testFlags())
	if err != nil || len(o) != 1 || len(rest) != 1 {
		t.Errorf("%v %v, %v", o, rest, err)
	}
}
