package launch

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// accounts is a root with the given passwd and group files.
func accounts(t testing.TB, passwd, group string) *tree {
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "etc"), 0o755), os.WriteFile(filepath.Join(dir, "etc/passwd"), []byte(passwd), 0o644), os.WriteFile(filepath.Join(dir, "etc/group"), []byte(group), 0o644)); err != nil {
		t.Fatal(err)
	}
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return &tree{dir: root, ids: testRange}
}

func TestUser(t *testing.T) {
	const passwd = "root:x:0:0:root:/root:/bin/sh\n" +
		"broken\n:\nx:x:y:z::/:\nneg:x:-1:-1::/:\nplus:x:+5:+5::/:\nbig:x:4294967296:1::/:\nmax:x:4294967295:1::/:\nhex:x:0x10:1::/:\n" +
		"ann:x:1000:100:Ann:/home/ann:/bin/sh\r\n" +
		"ann:x:1001:101:second:/home/second:/bin/sh\n" +
		"homeless:x:1002:1002:::/bin/sh\n" +
		"far:x:65536:1::/:/bin/sh\n" +
		"5:x:2000:2000::/five:/bin/sh\n" +
		"last:x:3000:3000::/last:/bin/sh"
	const group = "root:x:0:\nbroken\nusers:x:100:\nwheel:x:10:ann,bob\nannlike:x:11:annabel\naudio:x:29:bob,ann\nwheel2:x:10:ann\nbad:x:-1:ann\n"
	tr := accounts(t, passwd, group)
	for _, tt := range []struct {
		spec       string
		additional []string
		want       account
		fails      bool
	}{
		{spec: "", want: account{home: "/root", groups: []uint32{0}}},
		{spec: "root", want: account{home: "/root", groups: []uint32{0}}},
		{spec: "0", want: account{home: "/root", groups: []uint32{0}}},
		{spec: "ann", want: account{1000, 100, []uint32{100, 10, 29}, "/home/ann"}},
		{spec: "1000", want: account{1000, 100, []uint32{100, 10, 29}, "/home/ann"}},
		{spec: "ann:audio", want: account{1000, 29, []uint32{29}, "/home/ann"}},
		{spec: "ann:77", want: account{1000, 77, []uint32{77}, "/home/ann"}},
		{spec: "4321", want: account{4321, 0, []uint32{0}, "/"}},
		{spec: "4321:4322", want: account{4321, 4322, []uint32{4322}, "/"}},
		{spec: "4321:audio", want: account{4321, 29, []uint32{29}, "/"}},
		{spec: ":audio", want: account{0, 29, []uint32{29}, "/root"}},
		{spec: "homeless", want: account{1002, 1002, []uint32{1002}, "/"}},
		{spec: "last", want: account{3000, 3000, []uint32{3000}, "/last"}},
		{spec: "5", want: account{5, 0, []uint32{0}, "/"}}, // a number is never a name
		{spec: "root", additional: []string{"audio", "55", "0"}, want: account{home: "/root", groups: []uint32{0, 55, 29}}},
		{spec: "nobody", fails: true},
		{spec: "ann:nogroup", fails: true},
		{spec: "ann:", want: account{1000, 100, []uint32{100, 10, 29}, "/home/ann"}},
		{spec: ":", want: account{home: "/root", groups: []uint32{0}}},
		{spec: "neg", fails: true},
		{spec: "plus", fails: true},
		{spec: "big", fails: true},
		{spec: "max", fails: true},
		{spec: "hex", fails: true},
		{spec: "far", fails: true},
		{spec: "65536", fails: true},
		{spec: "0:65536", fails: true},
		{spec: "-1", fails: true},
		{spec: "4294967296", fails: true},
		{spec: "4294967295", fails: true},
		{spec: "root", additional: []string{"nogroup"}, fails: true},
		{spec: "root", additional: []string{"-1"}, fails: true},
		{spec: "root", additional: []string{""}, fails: true},
		{spec: "root", additional: []string{"70000"}, fails: true},
		{spec: "ann:wheel:audio", fails: true},
	} {
		got, err := tr.user(tt.spec, tt.additional)
		if tt.fails {
			var e *Error
			if !errors.As(err, &e) || e.Kind != Invalid {
				t.Errorf("%q %q: %+v, %v", tt.spec, tt.additional, got, err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q %q: %+v, %v, want %+v", tt.spec, tt.additional, got, err, tt.want)
		}
	}
}

func FuzzUser(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/sh\n", "root:x:0:\n", "root")
	f.Add(":::::::\n\n\x00:x:1:1::\x00:\n", "a:b:1:,,,\n", "a:b")
	f.Add("a:x:99999999999999999999:1::/:", "a:x:1:a", "a")
	f.Add("", "", "0:0")
	f.Fuzz(func(t *testing.T, passwd, group, spec string) {
		a, err := accounts(t, passwd, group).user(spec, nil)
		if err != nil {
			return
		}
		if a.uid >= testRange.Size || a.gid >= testRange.Size || len(a.groups) == 0 || a.groups[0] != a.gid {
			t.Errorf("%q: %+v", spec, a)
		}
		if a.home == "" || strings.ContainsRune(a.home, 0) {
			t.Errorf("the home is %q", a.home)
		}
	})
}
