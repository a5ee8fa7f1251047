package fs_test

import (
	"strings"
	"testing"
)

// TestListedContainers has ls -l tell the kernel what the containers are, and looks for what has become of them at once.
func TestListedContainers(t *testing.T) {
	m := mount(t, "redis:7")
	m.ok("mkdir images/redis:7")
	for _, c := range []struct{ what, do, then, want string }{
		{"a removed one", "echo 'remove force' > containers/web/ctl", "test -e containers/web || echo gone", "gone\n"},
		{"one removed by its ID", "echo 'remove force' > containers/$(cat containers/web/id)/ctl", "test -e containers/web || echo gone", "gone\n"},
		{"a name to be used again", "id=$(cat containers/web/id); echo 'remove force' > containers/web/ctl", "mkdir containers/web && test $(cat containers/web/id) != $id && echo another", "another\n"},
		{"a directory to go to", "echo 'remove force' > containers/web/ctl", "cd containers/web 2>/dev/null || echo gone", "gone\n"},
		{"a renamed one", "echo 'rename www' > containers/web/ctl", "test -e containers/web || ls containers", "www\n"},
		{"one renamed and removed", "echo 'rename www' > containers/web/ctl; ls -l containers >/dev/null; echo 'remove force' > containers/www/ctl", "test -e containers/www || test -e containers/web || echo gone", "gone\n"},
		{"one renamed by mv", "mv containers/web containers/www", "test -e containers/web || ls containers", "www\n"},
		{"one with another mode", "chmod 700 containers/$(cat containers/web/id)", "stat -c %a containers/web", "700\n"},
		{"one with another owner", "chown 1234 containers/$(cat containers/web/id)", "stat -c %u containers/web", "1234\n"},
	} {
		t.Run(c.what, func(t *testing.T) {
			m.t = t
			m.ok("mkdir containers/web")
			m.want("ls -l containers | grep -c web; "+c.do+"; "+c.then, "1\n"+c.want)
			m.ok("for c in $(ls containers); do echo 'remove force' > containers/$c/ctl; done")
		})
	}
}

// TestListedMany lists more containers than one read of a directory holds.
func TestListedMany(t *testing.T) {
	m := mount(t, "redis:7")
	m.ok("mkdir images/redis:7 && cd containers && mkdir c{1..300}")
	if out := strings.Count(m.ok("ls -l containers"), "drwxr-xr-x"); out != 300 {
		t.Errorf("ls -l shows %d containers of 300", out)
	}
	m.ok("cd containers && rmdir c{1..300}")
	m.want("ls -l containers | wc -l", "1\n")
}
