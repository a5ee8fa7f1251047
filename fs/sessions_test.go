package fs_test

import (
	"strings"
	"testing"
	"time"

	"hull/fs"
)

func TestSessions(t *testing.T) {
	m := mount(t, "redis:7")
	m.ok("mkdir images/redis:7 images/redis:7/containers/web")
	m.want("ls containers/web/sessions", "")
	m.Session("web", fs.ContainerSession{ID: "a", Number: 1, Command: "sleep 5", Process: "4711", Started: time.Now()})
	m.Session("web", fs.ContainerSession{ID: "b", Number: 7, Command: "attach", Terminal: "/dev/null", Started: time.Now()})
	m.want("ls containers/web/sessions", "1\n7\n")
	m.want("ls containers/web/sessions/1", "command\nctl\nexit\npid\nstarted\nstatus\n")
	m.want("ls containers/web/sessions/7; readlink containers/web/sessions/7/tty", "command\nctl\nexit\npid\nstarted\nstatus\ntty\n/dev/null\n")
	m.want("cd containers/web/sessions; cat 1/command 1/status 1/exit 1/pid", "sleep 5\nrunning\n4711\n")
	for _, name := range []string{"0", "01", "+1", "2", "x", "-1"} {
		if _, code := m.run("test -e containers/web/sessions/" + name); code == 0 {
			t.Errorf("there is a session %s", name)
		}
	}
	if out, code := m.run("mkdir containers/web/sessions/2"); code == 0 {
		t.Error("a session is made by mkdir:", out)
	}
	m.ok("echo kill > containers/web/sessions/1/ctl; echo hang-up > containers/web/sessions/7/ctl")
	m.want("cd containers/web/sessions; cat 1/status 1/exit 7/status 7/exit; test ! -e 7/tty", "exited\n137\nexited\n129\n")
	if out, code := m.run("echo kill > containers/web/sessions/1/ctl"); code == 0 || !strings.Contains(m.read("error"), "has ended") {
		t.Errorf("%d %s %s", code, out, m.read("error"))
	}
	if out, code := m.run("echo resize > containers/web/sessions/1/ctl"); code == 0 || !strings.Contains(out, "nvalid") {
		t.Errorf("%d %s", code, out)
	}
	m.want("stat -c %a containers/web/sessions/1/command containers/web/sessions/1/status containers/web/sessions/1/ctl", "640\n644\n600\n")
}
