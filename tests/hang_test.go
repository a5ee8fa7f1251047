package tests

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// hangs are what may be done with a container, the point at which it hangs, and what was done before.
var hangs = []struct{ point, line, before string }{
	{"create staged", "mkdir containers/$N", ""},
	{"create committed", "./run -d --stop-timeout 0 --name $N $REG/host:1 sleep 1000", ""},
	{"setting written", "echo A=1 > containers/$N/config/env", "mkdir containers/$N"},
	{"limits applied", "echo 100 > containers/$N/config/pids", "./run -d --stop-timeout 0 --name $N $REG/host:1 sleep 1000"},
	{"rename written", "mv containers/$N containers/$N-d", "mkdir containers/$N"},
	{"owner written", "chown 4242 containers/$N", "mkdir containers/$N"},
	{"volumes named", "echo start > containers/$N/ctl", "mkdir containers/$N; echo $REG/host:1 > containers/$N/config/image; echo /v > containers/$N/config/mounts"},
	{"start parked", "mkdir images/$REG/host:1/containers/$N", ""},
	{"start plugged", "echo start > containers/$N/ctl", "mkdir containers/$N; echo $REG/host:1 > containers/$N/config/image; echo backend > containers/$N/config/network"},
	{"start published", "./run -d --stop-timeout 0 --name $N -p 0:80 $REG/host:1 sleep 1000", ""},
	{"exit unplugged", "echo kill > containers/$N/ctl", "./run -d --stop-timeout 0 --name $N -p 0:80 $REG/host:1 sleep 1000"},
	{"network recorded", "mkdir networks/n$N", ""},
	{"network erased", "rmdir networks/n$N", "mkdir networks/n$N"},
	{"start adopted", "echo start > containers/$N/ctl", "mkdir containers/$N; echo $REG/host:1 > containers/$N/config/image"},
	{"exec made", "timeout 60 containers/$N/exec/true", "./run -d --stop-timeout 0 --name $N $REG/host:1 sleep 1000"},
	{"exec running", "timeout 60 containers/$N/exec/true", "./run -d --stop-timeout 0 --name $N $REG/host:1 sleep 1000"},
	{"attach taken", "timeout -s KILL 60 containers/$N/attach --no-stdin & until grep -qs running containers/$N/sessions/*/status; do sleep 0.05; done; echo hang-up > containers/$N/sessions/1/ctl; wait", "./run -d --stop-timeout 0 --name $N $REG/host:1 sleep 1000"},
	{"session told", "echo kill > containers/$N/sessions/1/ctl", "./run -d --stop-timeout 0 --name $N $REG/host:1 sleep 1000; containers/$N/enter -d sleep 1000"},
	{"pause noted", "echo pause > containers/$N/ctl", "./run -d --stop-timeout 0 --name $N $REG/host:1 sleep 1000"},
	{"pause frozen", "echo pause > containers/$N/ctl; echo unpause > containers/$N/ctl", "./run -d --stop-timeout 0 --name $N $REG/host:1 sleep 1000"},
	{"unpause noted", "echo unpause > containers/$N/ctl", "./run -d --stop-timeout 0 --name $N $REG/host:1 sleep 1000; echo pause > containers/$N/ctl"},
	{"pause written", "echo 'commit hang:1' > containers/$N/ctl", "./run -d --stop-timeout 0 --name $N $REG/host:1 sleep 1000"},
	{"stop signalled", "echo stop > containers/$N/ctl", "./run -d --stop-timeout 0 --name $N $REG/host:1 sleep 1000"},
	{"exit written", "echo kill > containers/$N/ctl", "./run -d --stop-timeout 0 --name $N $REG/host:1 sleep 1000"},
	{"exit forgotten", "./run --rm --name $N $REG/host:1 true", ""},
	{"restart due", "containers/$N/wait", "./run -d --stop-timeout 0 --name $N --restart always $REG/host:1 sh -c 'sleep 0.1; exit 1'"},
	{"recreate noted", "echo recreate > containers/$N/ctl", "mkdir containers/$N; echo $REG/host:1 > containers/$N/config/image"},
	{"volume made", "mkdir volumes/v$N", ""},
	{"volume given", "chown 4242 volumes/v$N", "mkdir volumes/v$N"},
	{"volume removed", "rmdir volumes/v$N", "mkdir volumes/v$N"},
	{"volume copied", "./run -d --stop-timeout 0 --name $N -v v$N:/etc $REG/host:1 sleep 1000", ""},
	{"remove renamed", "rmdir containers/$N", "mkdir containers/$N"},
	{"remove released", "echo 'remove force' > containers/$N/ctl", "./run -d --stop-timeout 0 --name $N $REG/host:1 sleep 1000"},
}

// atOnce is what answers whatever hangs.
const atOnce = `set -e
ls -l containers containers/other volumes networks > /dev/null
grep -q other containers.txt; grep -q other running.txt; grep -q other containers.json; cat info df > /dev/null
for c in containers/*; do stat $c/status $c/ctl > /dev/null; cat $c/status $c/error $c/inspect.json > /dev/null; done
cat containers/other/processes containers/other/stats containers/other/logs > /dev/null
echo pause > containers/other/ctl; echo unpause > containers/other/ctl; echo B=1 > containers/other/config/env; containers/other/exec/true
./run --rm $REG/host:1 true
`

// TestHang lets what is done with a container hang, and looks whether everything else goes on.
func TestHang(t *testing.T) {
	needs(t)
	m := ground(t, "hang")
	hung := m.path("crash.hung")
	t.Cleanup(func() { _ = os.Remove(hung) })
	t.Setenv("HULL_PATIENCE", "500ms") // for which a directory may be locked
	if err := m.mountToCrash(); err != nil {
		t.Fatal(err)
	}
	m.must(t, "mkdir networks/backend && ./run -d --stop-timeout 0 --name other $REG/host:1 sleep 1000")
	for i, h := range hangs {
		t.Run(strings.ReplaceAll(h.point, " ", "-"), func(t *testing.T) {
			name := fmt.Sprintf("N=c%d; ", i)
			if h.before != "" {
				m.must(t, name+h.before)
			}
			if err := os.WriteFile(m.path("crash"), []byte("hang "+h.point), 0o600); err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _ = m.shell(name + h.line) // a mkdir, rmdir or mv may say that it takes long
			}()
			for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
				if _, err := os.Stat(hung); err == nil {
					break
				}
				if time.Now().After(deadline) {
					t.Fatal("nothing came by this point")
				}
			}
			out, err := m.timed(atOnce)
			if err != nil {
				t.Errorf("while it hangs: %v: %s", err, out)
			}
			if _, err := os.Stat(hung); err != nil {
				t.Error("it did not hang:", err)
			}
			if err := os.Remove(hung); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			<-done
			m.must(t, name+"! test -d containers/$N || echo 'stop 0' > containers/$N/ctl || ! test -d containers/$N")
		})
	}
}

// timed is shell, for what must not hang.
func (m *mounted) timed(line string) (string, error) {
	cmd := exec.Command("timeout", "-k", "1", "45", "sh", "-xc", line)
	cmd.Dir = m.path("hull")
	cmd.Env = append(os.Environ(), "REG="+addr)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}
