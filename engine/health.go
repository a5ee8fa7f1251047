package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Healthcheck is how an image finds out whether what runs is well, as its configuration has it; zero values stand for
// Docker's defaults.
type Healthcheck struct {
	Test     []string      `json:"test,omitempty"` // CMD and words, CMD-SHELL and a line, or NONE
	Interval time.Duration `json:"interval,omitempty"`
	Timeout  time.Duration `json:"timeout,omitempty"`
	Start    time.Duration `json:"start,omitempty"`
	Retries  int           `json:"retries,omitempty"`
}

// Health is a word for how a container that runs is.
type Health string

// The words. A container that does not run has no health, nor one that nobody examines.
const (
	NoHealth  Health = "none"
	Starting  Health = "starting"
	Healthy   Health = "healthy"
	Unhealthy Health = "unhealthy"
)

// Docker's defaults.
const (
	healthInterval = 30 * time.Second
	healthTimeout  = 30 * time.Second
	healthRetries  = 3
	// healthStarting is how often it is looked in the time a start may take, so that a container that is quick to be
	// well is not said to be starting for a whole interval.
	healthStarting = 5 * time.Second
)

// healthcheck is what the settings make of an image's Healthcheck; nil if nothing is to be examined.
func (v values) healthcheck(image *Image) *Healthcheck {
	h := Healthcheck{}
	if image != nil && image.Health != nil {
		h = *image.Health
	}
	if line := v.text("health_cmd"); line != "" {
		h.Test = healthTest(line)
	}
	for name, d := range map[string]*time.Duration{"health_interval": &h.Interval, "health_timeout": &h.Timeout, "health_start": &h.Start} {
		if own := v.span(name); own > 0 {
			*d = own
		}
	}
	if n, ok := v["health_retries"].(int64); ok && n > 0 {
		h.Retries = int(n)
	}
	if h.Interval <= 0 {
		h.Interval = healthInterval
	}
	if h.Timeout <= 0 {
		h.Timeout = healthTimeout
	}
	if h.Retries <= 0 {
		h.Retries = healthRetries
	}
	if len(h.command()) == 0 {
		return nil
	}
	return &h
}

// command is what is executed; nil if nothing is.
func (h *Healthcheck) command() []string {
	if len(h.Test) < 2 || h.Test[1] == "" {
		return nil
	}
	switch h.Test[0] {
	case "CMD":
		return h.Test[1:]
	case "CMD-SHELL":
		return []string{"/bin/sh", "-c", strings.Join(h.Test[1:], " ")}
	}
	return nil
}

// pause is how long it is to the next look.
func (h *Healthcheck) pause(health Health, started, now time.Time) time.Duration {
	if health == Starting && now.Sub(started) < h.Start {
		return min(h.Interval, healthStarting)
	}
	return h.Interval
}

// healthNote is what is known of a container's health, on disk with its run.
type healthNote struct {
	Health  Health `json:"health"`
	Failing int    `json:"failing,omitempty"` // looks in a row that found it unwell
}

// after is the note after a look.
func (n healthNote) after(well bool, h *Healthcheck, started, now time.Time) healthNote {
	switch {
	case well:
		return healthNote{Health: Healthy}
	case n.Health == Starting && now.Sub(started) < h.Start:
		return n // it may still be unwell
	}
	n.Failing++
	if n.Failing >= h.Retries {
		n.Health = Unhealthy
	}
	return n
}

// healthTest reads the setting: none, a JSON array of words, or a line for a shell.
func healthTest(line string) []string {
	if strings.EqualFold(line, "none") {
		return []string{"NONE"}
	}
	var words []string
	if strings.HasPrefix(line, "[") && json.Unmarshal([]byte(line), &words) == nil {
		return append([]string{"CMD"}, words...)
	}
	return []string{"CMD-SHELL", line}
}

func parseHealthCommand(value string) (any, error) {
	v, err := oneLine(value)
	if err != nil {
		return nil, err
	}
	var words []string
	if strings.HasPrefix(v, "[\"") && json.Unmarshal([]byte(v), &words) != nil {
		return nil, errors.New("it begins as a JSON array of strings, and is none")
	}
	if test := healthTest(v); test[0] == "CMD" && (len(test) < 2 || test[1] == "") {
		return nil, errors.New("there is no command in it; none examines nothing")
	}
	return v, nil
}

// parseSpan reads a time as docker writes it, as 1m30s; a number alone is seconds. It stays as it was written.
func parseSpan(value string) (any, error) {
	v, err := oneLine(value)
	if err != nil {
		return nil, err
	}
	if d, ok := span(v); !ok || d != 0 && d < time.Millisecond || d > maxSeconds*time.Second {
		return nil, fmt.Errorf("%q is not a time as 30s, 1m30s or 500ms", v)
	}
	return v, nil
}

func span(v string) (time.Duration, bool) {
	if n, err := strconv.ParseInt(v, 10, 64); err == nil && n >= 0 && n <= maxSeconds {
		return time.Duration(n) * time.Second, true
	}
	d, err := time.ParseDuration(v)
	return d, err == nil && d >= 0
}

func (v values) span(name string) time.Duration {
	d, _ := span(v.text(name))
	return d
}

func parseRetries(value string) (any, error) {
	v, err := oneLine(value)
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("%q is not a number of looks", v)
	}
	return n, nil
}
