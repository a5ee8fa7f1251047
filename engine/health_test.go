package engine

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestHealthcheck(t *testing.T) {
	image := &Image{Health: &Healthcheck{Test: []string{"CMD", "look", "at it"}, Interval: time.Minute, Start: time.Hour, Retries: 7}}
	for _, r := range []struct {
		name    string
		image   *Image
		raw     map[string]string
		want    *Healthcheck
		command []string
	}{
		{"nothing", &Image{}, nil, nil, nil},
		{"nothing, with a time", &Image{}, map[string]string{"health_interval": "5s"}, nil, nil},
		{
			"image's", image, nil,
			&Healthcheck{Test: image.Health.Test, Interval: time.Minute, Timeout: healthTimeout, Start: time.Hour, Retries: 7},
			[]string{"look", "at it"},
		},
		{
			"own times", image,
			map[string]string{"health_interval": "1m30s", "health_timeout": "2", "health_retries": "1", "health_start": "500ms"},
			&Healthcheck{Test: image.Health.Test, Interval: 90 * time.Second, Timeout: 2 * time.Second, Start: 500 * time.Millisecond, Retries: 1},
			[]string{"look", "at it"},
		},
		{"own command", &Image{}, map[string]string{"health_cmd": "a || b\n"}, &Healthcheck{
			Test: []string{"CMD-SHELL", "a || b"}, Interval: healthInterval, Timeout: healthTimeout, Retries: healthRetries,
		}, []string{"/bin/sh", "-c", "a || b"}},
		{"own words", &Image{}, map[string]string{"health_cmd": `["a", "b c"]`}, &Healthcheck{
			Test: []string{"CMD", "a", "b c"}, Interval: healthInterval, Timeout: healthTimeout, Retries: healthRetries,
		}, []string{"a", "b c"}},
		{"a line for a shell that looks like words", &Image{}, map[string]string{"health_cmd": "[ -e /x ]"}, &Healthcheck{
			Test: []string{"CMD-SHELL", "[ -e /x ]"}, Interval: healthInterval, Timeout: healthTimeout, Retries: healthRetries,
		}, []string{"/bin/sh", "-c", "[ -e /x ]"}},
		{"none", image, map[string]string{"health_cmd": "none"}, nil, nil},
		{"image's none", &Image{Health: &Healthcheck{Test: []string{"NONE"}}}, nil, nil, nil},
		{"image's nonsense", &Image{Health: &Healthcheck{Test: []string{"CMD"}, Interval: -1}}, nil, nil, nil},
	} {
		set, err := parseSettings(r.raw)
		if err != nil {
			t.Fatalf("%s: %v", r.name, err)
		}
		got := set.healthcheck(r.image)
		if d := cmp.Diff(r.want, got); d != "" {
			t.Errorf("%s: %s", r.name, d)
		} else if got != nil && !cmp.Equal(got.command(), r.command) {
			t.Errorf("%s: it executes %q", r.name, got.command())
		}
	}
	for _, raw := range []map[string]string{
		{"health_cmd": `["a`},
		{"health_cmd": `[""]`},
		{"health_cmd": "a\nb"},
		{"health_interval": "soon"},
		{"health_interval": "-1s"},
		{"health_timeout": "1us"},
		{"health_start": "9999999h"},
		{"health_retries": "-1"},
		{"health_retries": "many"},
	} {
		if _, err := parseSettings(raw); KindOf(err) != Invalid {
			t.Errorf("%v: %v", raw, err)
		}
	}
}

func TestHealthAfter(t *testing.T) {
	check := &Healthcheck{Interval: time.Minute, Start: time.Hour, Retries: 2}
	started := time.Unix(1000, 0)
	n := healthNote{Health: Starting}
	for i, r := range []struct {
		well bool
		at   time.Duration
		want healthNote
		next time.Duration
	}{
		{false, time.Minute, healthNote{Health: Starting}, healthStarting},
		{false, 2 * time.Hour, healthNote{Starting, 1}, time.Minute},
		{false, 2 * time.Hour, healthNote{Unhealthy, 2}, time.Minute},
		{false, 2 * time.Hour, healthNote{Unhealthy, 3}, time.Minute},
		{true, 2 * time.Hour, healthNote{Health: Healthy}, time.Minute},
		{false, time.Minute, healthNote{Healthy, 1}, time.Minute}, // the start is over once it was well
		{true, time.Minute, healthNote{Health: Healthy}, time.Minute},
	} {
		n = n.after(r.well, check, started, started.Add(r.at))
		if n != r.want {
			t.Fatalf("%d: %+v, want %+v", i, n, r.want)
		}
		if next := check.pause(n.Health, started, started.Add(r.at)); next != r.next {
			t.Errorf("%d: the next look comes after %v, want %v", i, next, r.next)
		}
	}
}
