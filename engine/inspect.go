package engine

import (
	"bytes"
	"encoding/json"
	"time"

	"hull/engine/network"
)

// document is inspect.json: everything about a container, with the settings in force.
type document struct {
	ID       string            `json:"id"`
	Name     string            `json:"name"`
	Owner    Owner             `json:"owner"`
	Created  time.Time         `json:"created"`
	Image    string            `json:"image,omitempty"`
	ImageID  string            `json:"image_id,omitempty"`
	Platform string            `json:"platform,omitempty"` // the image's
	Status   State             `json:"status"`
	PID      int               `json:"pid,omitempty"`
	Started  time.Time         `json:"started,omitzero"`
	Finished time.Time         `json:"finished,omitzero"`
	Exit     *Exit             `json:"exit,omitempty"`
	Error    string            `json:"error,omitempty"`
	Restarts int               `json:"restarts,omitempty"`  // by its restart policy, since somebody started it
	Next     time.Time         `json:"next_start,omitzero"` // by its restart policy
	Labels   map[string]string `json:"labels,omitempty"`
	// Networks are its places on networks, Ports what of it is published.
	Networks []network.Endpoint `json:"networks,omitempty"`
	Ports    []network.Bound    `json:"ports,omitempty"`
	Settings json.RawMessage    `json:"settings"`
	Pending  []string           `json:"pending,omitempty"`
	Limits   limitsDocument     `json:"limits"` // in force, or at the next start
	Stop     stopDocument       `json:"stop"`
	Logs     logsDocument       `json:"logs"`
	Process  *process           `json:"process,omitempty"` // of the last run
	Health   *healthDocument    `json:"health,omitempty"`
	Sessions []sessionDocument  `json:"sessions,omitempty"`
}

// limitsDocument shows limits as the settings of the same names have them; what is not limited is left out.
type limitsDocument struct {
	Memory     int64   `json:"memory,omitempty"`
	MemorySwap int64   `json:"memory_swap,omitempty"`
	CPUs       float64 `json:"cpus,omitempty"`
	CPUShares  int64   `json:"cpu_shares,omitempty"`
	Pids       int64   `json:"pids,omitempty"`
}

// stopDocument is how a stop goes: the container's setting, its image's or hull's.
type stopDocument struct {
	Signal  string `json:"signal"`
	Timeout int    `json:"timeout"` // seconds; -1 is for ever
}

// logsDocument is what is kept of the log: the container's settings, or hull's.
type logsDocument struct {
	Max   int64 `json:"log_max,omitempty"` // of each file, in bytes; none if there is no limit
	Files int   `json:"log_files"`
}

// healthDocument is how a container that runs is, and what the latest looks found.
type healthDocument struct {
	Health Health `json:"health"`
	Looks  []Look `json:"looks,omitempty"`
}

type sessionDocument struct {
	ID       string    `json:"id"`
	Number   int       `json:"number"`
	Look     bool      `json:"-"`
	Attached bool      `json:"attached,omitempty"`
	PID      int       `json:"pid"`
	Command  []string  `json:"command"`
	TTY      bool      `json:"tty"`
	Terminal string    `json:"terminal,omitempty"`
	Started  time.Time `json:"started"`
	Ended    time.Time `json:"ended,omitzero"`
	Exit     *int      `json:"exit,omitempty"`
}

// Inspect answers everything about a container as an indented JSON document. It never waits.
func (e *Engine) Inspect(id string) ([]byte, error) {
	s, err := e.lookup("inspect", id)
	if err != nil {
		return nil, err
	}
	c := s.snapshot.Load()
	d := document{
		ID: c.ID, Name: c.Name, Owner: c.Owner, Created: c.Created, Image: c.Image, ImageID: c.ImageID, Platform: c.Platform,
		Status: c.State, PID: c.PID, Started: c.Started, Finished: c.Finished, Exit: c.Exit, Error: c.Error, Restarts: c.Restarts, Next: c.NextStart,
		Labels: c.Labels, Networks: c.Endpoints, Ports: c.Ports, Settings: c.SettingsJSON(), Pending: c.Pending, Process: c.process,
		Stop: c.stop, Logs: logsDocument(c.logs), Limits: limitsDocument{c.limits.Memory, c.limits.MemorySwap, c.limits.CPUs, c.limits.CPUShares, c.limits.Pids},
	}
	if c.Health != NoHealth {
		d.Health = &healthDocument{c.Health, c.Looks}
	}
	for _, x := range c.Sessions {
		d.Sessions = append(d.Sessions, sessionDocument(x))
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(d); err != nil {
		return nil, fail("inspect", c.ID, System, "the document cannot be written: %w", err)
	}
	return b.Bytes(), nil
}
