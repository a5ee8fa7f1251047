package launch

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// hostileSize is how much an image may say in one string: its configuration may have 4 MiB.
const hostileSize = 3 << 20

// maxSentence is what a sentence that quotes two strings of an image may come to.
const maxSentence = 8 * maxQuoted

func TestSentencesAreShort(t *testing.T) {
	tr := accounts(t, "", "")
	long := strings.Repeat("/x:", hostileSize/3)
	for name, try := range map[string]func() error{
		"PATH":         func() error { _, err := tr.command("sh", "/", []string{"PATH=" + long}, account{}); return err },
		"command":      func() error { _, err := tr.command(strings.ReplaceAll(long, "/", ""), "/", nil, account{}); return err },
		"command path": func() error { _, err := tr.command(long, "/", nil, account{}); return err },
		"user":         func() error { _, err := tr.user(strings.ReplaceAll(long, ":", ""), nil); return err },
		"group":        func() error { _, err := tr.user("0:"+strings.ReplaceAll(long, ":", ""), nil); return err },
		"workdir": func() error {
			_, err := ExecSpec{Args: []string{"sh"}, Dir: "x" + long}.settings(testRange)
			return err
		},
		"variable": func() error {
			_, err := ExecSpec{Args: []string{"sh"}, Env: []string{"A=\x00" + long}}.settings(testRange)
			return err
		},
		"interpreter": func() error { return missingInterpreter(long) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := try(); err == nil || len(err.Error()) > maxSentence {
				t.Errorf("%.80v…", err)
			}
		})
	}
}

// A link of an image may lead into the /proc of its running container, where reading is an act: of the host's log, for one,
// which it takes away and of which it waits for more.
func TestKernelFilesAreNotRead(t *testing.T) {
	root, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	tr := &tree{dir: root}
	for _, name := range []string{"/proc/version", "/proc/kmsg"} {
		if _, err := os.Stat(name); err != nil {
			continue
		}
		if _, err := tr.read(name, maxAccounts); !errors.Is(err, errIrregular) {
			t.Errorf("%s was read: %v", name, err)
		}
	}
}

func TestCommandsOfALongPath(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"/first", "/last"} {
		if err := os.Mkdir(dir+d, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+d+"/in"+d[1:], nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	search := []string{"/first"}
	for len(search) < maxPath {
		search = append(search, "/first")
	}
	got, err := Commands(root, append(search, "/last"))
	if err != nil || strings.Join(got, " ") != "infirst" {
		t.Errorf("%q, %v: an exec looks into %d directories only", got, err, maxPath)
	}
}
