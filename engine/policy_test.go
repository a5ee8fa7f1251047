package engine

import (
	"testing"
	"time"
)

func TestParseRestart(t *testing.T) {
	row, ok := FindSetting("restart")
	if !ok {
		t.Fatal("there is no such setting")
	}
	for _, v := range []string{"no", "always", "unless-stopped", "on-failure", "on-failure:0", "on-failure:3\n", ""} {
		if _, err := row.Parse(v); err != nil {
			t.Errorf("%q: %v", v, err)
		}
	}
	for _, v := range []string{"yes", "Always", "always:3", "no:1", "unless-stopped:", "on-failure:", "on-failure:-1", "on-failure:x", "on-failure:99999999999", "on-failure:1:2", "always\nno"} {
		if _, err := row.Parse(v); KindOf(err) != Invalid {
			t.Errorf("%q: %v", v, err)
		}
	}
	for in, out := range map[string]string{"": "no", "no": "no", "on-failure": "on-failure", "on-failure:0": "on-failure", "on-failure:7": "on-failure:7", "always": "always"} {
		if got := (values{"restart": in}).restart().String(); got != out {
			t.Errorf("%q is shown as %q", in, got)
		}
	}
}

func TestPolicy(t *testing.T) {
	for _, c := range []struct {
		setting         string
		after0, after1  bool // another run follows one that ended so
		thrice          bool // and one that failed for the fourth time
		stopped, others bool // it comes back with a new mount
	}{
		{"", false, false, false, false, false},
		{"no", false, false, false, false, false},
		{"on-failure", false, true, true, false, false},
		{"on-failure:3", false, true, false, false, false},
		{"always", true, true, true, true, true},
		{"unless-stopped", true, true, true, false, true},
	} {
		p := values{"restart": c.setting}.restart()
		if p.again(0, 0) != c.after0 || p.again(1, 0) != c.after1 || p.again(1, 3) != c.thrice || p.back(true) != c.stopped || p.back(false) != c.others {
			t.Errorf("%q: %v %v %v %v %v", c.setting, p.again(0, 0), p.again(1, 0), p.again(1, 3), p.back(true), p.back(false))
		}
	}
}

func TestBackOff(t *testing.T) {
	var d time.Duration
	for _, want := range []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000} {
		if d = backOff(d, time.Second); d != want*time.Millisecond {
			t.Fatalf("%v; wanted %v", d, want*time.Millisecond)
		}
	}
	if d = backOff(d, 10*time.Second); d != backOffFirst {
		t.Errorf("after a long run it is %v", d)
	}
	now := time.Now()
	n := restartNote{Delay: time.Second, Due: now.Add(time.Hour)} // the clock was set back
	if left := n.left(now); left != time.Second {
		t.Errorf("%v are left of %v", left, n.Delay)
	}
	if left := n.left(now.Add(2 * time.Hour)); left != 0 {
		t.Errorf("%v are left of what is over", left)
	}
}
