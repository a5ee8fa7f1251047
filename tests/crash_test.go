package tests

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"hull/engine"
)

// life is what a container goes through when a daemon is killed at a point of
// it; each line is tried once more after the daemon is back, as a user would.
const life = `
mkdir volumes/v
chown 4242 volumes/v
rmdir volumes/v
mkdir networks/n
rmdir networks/n
mkdir containers/c
echo $REG/host:1 > containers/c/config/image
echo nosuch > containers/c/config/command
echo /var/log > containers/c/config/mounts
mv containers/c containers/d
chown 4242 containers/d
! echo start > containers/d/ctl
echo 'sleep 1000' > containers/d/config/command
echo 0:80 > containers/d/config/ports
echo start > containers/d/ctl
echo 100 > containers/d/config/pids
echo pause > containers/d/ctl
echo unpause > containers/d/ctl
timeout 60 containers/d/exec/true
rm -f $T/left; { timeout -s KILL 60 containers/d/attach --no-stdin; echo $? > $T/left; } & until test -s $T/left; do for s in containers/d/sessions/*/ctl; do echo hang-up > $s; done; sleep 0.05; done; wait; grep -qx 0 $T/left
containers/d/enter -d sleep 1000
for s in containers/d/sessions/*/ctl; do echo kill > $s; done; ! grep -q running containers/d/sessions/*/status
echo 'kill WINCH' > containers/d/ctl
sed -i 's/"created": "2/"created": "1/' $STORE/containers/*/record.json && echo repair > ctl
echo 'stop 1' > containers/d/ctl
echo "sh -c 'exit 4'" > containers/d/config/command
echo on-failure:1 > containers/d/config/restart
echo start > containers/d/ctl
test "$(cat containers/d/status) $(cat containers/d/restarts)" = 'exited 1'
echo recreate > containers/d/ctl
rmdir containers/d
./prune volumes
`

// TestCrashPoints kills the daemon at each named point of the engine, by the
// one mechanism there is, and demands that a second try of what was cut off
// converges: nothing half done, nothing left behind.
func TestCrashPoints(t *testing.T) {
	needs(t)
	for _, point := range engine.CrashPoints() {
		t.Run(strings.ReplaceAll(point, " ", "-"), func(t *testing.T) {
			t.Parallel()
			crashAt(t, point)
		})
	}
}

func crashAt(t *testing.T, point string) {
	m := ground(t, "crash")
	if err := os.WriteFile(m.path("crash"), []byte(point), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := m.mountToCrash(); err != nil {
		t.Fatal(err)
	}
	m.must(t, "mkdir -p images/$REG/host:1 && images/$REG/host:1/wait")
	for _, line := range strings.Split(strings.TrimSpace(life), "\n") {
		m.converge(t, line)
	}
	m.must(t, "test -z \"$(ls containers volumes | grep -v :)\"")
	// Files are deleted behind the callers' backs.
	m.must(t, `for i in $(seq 600); do test -z "$(ls -A "$STORE/containers" "$STORE/volumes" | grep -v :)" && exit; sleep 0.1; done; ls -A "$STORE/containers" "$STORE/volumes"; false`)
	m.must(t, `for i in $(seq 600); do test -e "$STORE/../crash" || exit 0; sleep 0.1; done; echo the daemon never came by this point; false`)
}

// mountToCrash mounts; the daemon looks into the file "crash" for where to die.
func (m *mounted) mountToCrash() error {
	mount := exec.Command(hull, m.mountArgs(nil)...)
	mount.Env = append(os.Environ(), "HULL_CRASH="+m.path("crash"))
	if out, err := mount.CombinedOutput(); err != nil {
		return fmt.Errorf("mount: %w: %s", err, out)
	}
	return nil
}

// converge runs a line until its effect is there: a daemon that died in it
// may have finished the work, so a second try may be told so.
func (m *mounted) converge(t *testing.T, line string) {
	t.Helper()
	done := map[string]string{
		"mkdir": "test -d containers/c || test -d containers/d",
		"mv":    "test -d containers/d && ! test -d containers/c",
		"rmdir": "! test -e containers/d && ls containers",
	}[strings.Fields(line)[0]]
	if strings.HasPrefix(line, "echo start") {
		done = `test "$(cat containers/d/status)" = running`
	}
	if strings.HasPrefix(line, "echo unpause") {
		done = `test "$(cat containers/d/status)" = running`
	}
	if strings.HasPrefix(line, "echo pause") {
		done = `test "$(cat containers/d/status)" = paused`
	}
	if strings.HasPrefix(line, "echo 'stop") {
		done = `test "$(cat containers/d/status)" = exited`
	}
	switch {
	case line == "mkdir networks/n":
		done = "test -d networks/n"
	case line == "rmdir networks/n":
		done = "! test -e networks/n && ls networks"
	case line == "mkdir volumes/v":
		done = "test -d volumes/v"
	case line == "rmdir volumes/v", strings.HasPrefix(line, "./prune"):
		done = `test -z "$(ls volumes)" && ls volumes`
	}
	deadline := time.Now().Add(patience)
	for {
		out, err := m.shell(line)
		if err == nil {
			return
		}
		if done != "" {
			if _, e := m.shell(done); e == nil {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v: %s", line, err, out)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// must runs a line, again while the mount is on its way back.
func (m *mounted) must(t *testing.T, line string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		out, err := m.shell(line)
		if err == nil {
			return
		}
		// Only a daemon that is on its way back excuses a failure.
		if time.Now().After(deadline) || !strings.Contains(out, "not connected") && !strings.Contains(out, "abort") && !strings.Contains(out, "can't cd") {
			calls, _ := m.shell(`grep '"type":"call"' events | tail -n 5`)
			t.Fatalf("%s: %v: %s\nthe last calls that were refused: %s", line, err, out, calls)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (m *mounted) shell(line string) (string, error) {
	cmd := exec.Command("sh", "-c", "cd \"$H\" && "+line)
	cmd.Env = append(os.Environ(), "H="+m.path("hull"), "REG="+addr, "STORE="+m.path("store"), "I=images/"+addr, "T="+m.base)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestCommitThaws: a daemon that dies while a container is held still for a commit leaves it to the next one to go on.
func TestCommitThaws(t *testing.T) {
	needs(t)
	m := ground(t, "crash")
	if err := m.mountToCrash(); err != nil {
		t.Fatal(err)
	}
	m.must(t, "mkdir -p images/$REG/host:1 && images/$REG/host:1/wait && ./run -d --name box --stop-signal KILL $REG/host:1 sleep 1000")
	if err := os.WriteFile(m.path("crash"), []byte("pause written"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := m.shell("echo 'commit half:1' > containers/box/ctl"); err == nil {
		t.Fatalf("the commit was not cut off: %s", out)
	}
	m.must(t, `for i in $(seq 600); do test "$(cat "$H/containers/box/status")" = running && exit; sleep 0.1; done; cat "$H/containers/box/status"; false`)
	m.must(t, "timeout 60 containers/box/exec/true")
	m.must(t, "echo 'commit whole:1' > containers/box/ctl && ls images/whole:1")
	m.must(t, `test "$(cat containers/box/status)" = running`)
}
