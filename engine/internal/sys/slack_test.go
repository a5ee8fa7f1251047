package sys

import (
	"os/exec"
	"testing"
)

func TestSlack(t *testing.T) {
	slack := func(how func(func() error) error) string {
		t.Helper()
		var out []byte
		err := how(func() (err error) {
			out, err = exec.CommandContext(t.Context(), "cat", "/proc/self/timerslack_ns").Output()
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	plainly := func(f func() error) error { return f() }
	if got := slack(plainly); got != "50000\n" {
		t.Skipf("somebody has chosen a slack of %s ns for this test", got)
	}
	both := func(f func() error) error { return Patiently(func() error { return Usually(f) }) }
	for name, c := range map[string]struct {
		how  func(func() error) error
		want string
	}{"patiently": {Patiently, "2000000\n"}, "usually": {Usually, "50000\n"}, "both": {both, "50000\n"}, "afterwards": {plainly, "50000\n"}} {
		if got := slack(c.how); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}
