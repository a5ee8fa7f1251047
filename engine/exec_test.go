package engine

import (
	"os"
	"strings"
	"testing"

	"hull/engine/monitor"
)

func TestExec(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.create("web", "sleep", true)
	_, err := w.e.Exec(ctx, "web", ExecOptions{})
	w.want(err, Invalid)
	_, err = w.e.Exec(ctx, "web", ExecOptions{Command: []string{"nosuch"}})
	w.want(err, NotCommand)
	_, err = w.e.Exec(ctx, "web", ExecOptions{Command: []string{"badexec"}})
	w.want(err, NotExecutable)

	near, far, err := monitor.NewStatus()
	w.ok(err)
	defer near.Close()
	out, in, err := os.Pipe()
	w.ok(err)
	defer out.Close()
	x, err := w.e.Exec(ctx, "web", ExecOptions{
		Command: []string{"env"}, Env: []string{"B=exec"}, Stdout: in, Status: far,
	})
	w.ok(err)
	defer x.Pidfd.Close()
	in.Close()
	far.Close()
	if s := readExit(t, near); s.Code != 0 {
		t.Errorf("%+v", s)
	}
	data := make([]byte, 4096)
	n, _ := out.Read(data)
	for _, want := range []string{"A=image", "B=exec", "PATH=/usr/local/sbin", "HOSTNAME="} {
		if !strings.Contains(string(data[:n]), want) {
			t.Errorf("%s is not in the environment %q", want, data[:n])
		}
	}

	long, err := w.e.Exec(ctx, "web", ExecOptions{Command: []string{"sleep"}})
	w.ok(err)
	defer long.Pidfd.Close()
	w.until("the session is shown", func() bool {
		c, _ := w.e.Find("web")
		return len(c.Sessions) == 3 && c.Sessions[1].Exit != nil && *c.Sessions[1].Exit == 0 && c.Sessions[2].PID == long.PID
	})
	w.ok(long.Signal(ctx, 9))
	w.until("the session is over", func() bool {
		c, _ := w.e.Find("web")
		return c.Sessions[2].Exit != nil && *c.Sessions[2].Exit == 137
	})
	w.ok(long.Signal(ctx, 9))
	w.ok(w.e.Stop(ctx, "web", 0))
	_, err = w.e.Exec(ctx, "web", ExecOptions{Command: []string{"exit", "0"}})
	w.want(err, NotRunning)
}
