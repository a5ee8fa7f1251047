package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"hull/engine/internal/sys"
	"hull/engine/network"
)

// recordVersion is what this release writes. A record of a later one is not read: its container is dead until that
// release is back.
const recordVersion = 1

// record is what a container is, on disk: record.json. It outlives everything.
type record struct {
	Version  int               `json:"version"`
	ID       string            `json:"id"`
	Name     string            `json:"name"`
	Owner    Owner             `json:"owner"`
	Created  time.Time         `json:"created"`
	Settings map[string]string `json:"settings,omitempty"` // raw, never changed in place
	Image    *Image            `json:"image,omitempty"`    // nil until it is known; held in the store from then on
	Started  bool              `json:"started,omitempty"`  // a start has succeeded
	// Volumes are its anonymous volumes by their targets.
	Volumes map[string]string `json:"volumes,omitempty"`
	// Endpoints are its places on networks, which it keeps while it lives.
	Endpoints []network.Endpoint `json:"endpoints,omitempty"`
	// Recreate is set while its writable layer is to be replaced by an empty one.
	Recreate bool `json:"recreate,omitempty"`
	// Stopped is set when somebody has stopped it, until it is started again: it has a restart policy, which may heed that.
	Stopped bool `json:"stopped,omitempty"`
	// Provisional is set while a container that was made together with its start has not started: a crash undoes it.
	Provisional bool `json:"provisional,omitempty"`
}

// state is the last run of a container, on disk: state.json. A daemon's death leaves it whole, a power failure may
// not: it is written over and not synced.
type state struct {
	State    State     `json:"state"`
	Run      runNote   `json:"run"`               // the run under way, or the last one
	Attempt  *runNote  `json:"attempt,omitempty"` // a start under way: the monitor may have a process that runs nothing yet
	Finished time.Time `json:"finished,omitzero"`
	Exit     *Exit     `json:"exit,omitempty"`
	Error    string    `json:"error,omitempty"`
	OOMKills int64     `json:"oom_kills,omitempty"` // how often the kernel ended something in the run for want of memory
	Then     sequel    `json:"then,omitempty"`
	// Stopped is set when somebody has ended the last run, or wants none.
	Stopped  bool        `json:"stopped,omitempty"`
	Restarts restartNote `json:"restarts,omitzero"`
	// Health is of the run under way or the last one; nil if nobody examined it.
	Health *healthNote `json:"health,omitempty"`
}

// sequel is what was asked to follow the end of a run; a daemon that dies in between leaves it to the next.
type sequel string

const (
	thenStart  sequel = "start"
	thenRemove sequel = "remove"
)

// runNote is what one run is made of. Started identifies it, here and in the monitor's exit records.
type runNote struct {
	PID      int               `json:"pid,omitempty"`
	Range    uint32            `json:"range,omitempty"` // first id of its range
	Group    string            `json:"group,omitempty"` // its cgroup; empty stands for the container's ID
	Started  time.Time         `json:"started,omitzero"`
	Process  *process          `json:"process,omitempty"`
	Thaw     bool              `json:"thaw,omitempty"`     // whether it is frozen or not, the next daemon is to thaw it
	Inode    uint64            `json:"inode,omitempty"`    // of the first process's pidfd
	Outputs  [2]uint64         `json:"outputs,omitempty"`  // inodes of the pipes of its output and errors
	Settings map[string]string `json:"settings,omitempty"` // raw, as they were when it began

	Endpoints []network.Endpoint `json:"endpoints,omitempty"`
	Ports     []network.Bound    `json:"ports,omitempty"`
	// Etc are the files of the container whose network it has; nil if it has its own.
	Etc map[string][]byte `json:"etc,omitempty"`
}

const (
	recordFile = "record.json"
	stateFile  = "state.json"
	diskDir    = "disk"
	newPrefix  = ".new-"
	gonePrefix = ".gone-"

	maxRecord = 16 << 20 // bytes: more than any setting's list is long
)

func (r *record) write(dir string, durable bool) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return sys.WriteFile(dir, recordFile, append(data, '\n'), durable)
}

// writeOver is write in the place of a record that was not durable either.
func (r *record) writeOver(dir string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return sys.Overwrite(dir, recordFile, append(data, '\n'))
}

// readRecord reads what id's directory holds. Whatever it answers without an error can be worked with.
func readRecord(dir, id string) (*record, error) {
	data, err := sys.ReadRegular(filepath.Join(dir, recordFile), maxRecord)
	if err != nil {
		return nil, err
	}
	return parseRecord(data, id)
}

func parseRecord(data []byte, id string) (*record, error) {
	r := &record{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("it is not the JSON it should be: %w", err)
	}
	switch {
	case r.Version > recordVersion:
		return nil, fmt.Errorf("it was written by a later release of hull (version %d)", r.Version)
	case r.ID != id:
		return nil, errors.New("it is the record of another container")
	}
	if err := checkName("open", r.Name); err != nil {
		return nil, err
	}
	if _, err := parseSettings(r.Settings); err != nil {
		return nil, err
	}
	if r.Settings == nil {
		r.Settings = map[string]string{}
	}
	return r, nil
}

func (s *state) write(dir string) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return sys.Overwrite(dir, stateFile, append(data, '\n'))
}

// readState answers nil where there is none, or none that can be read: nothing is known of the last run then.
func readState(dir string) *state {
	data, err := sys.ReadRegular(filepath.Join(dir, stateFile), maxRecord)
	if err != nil {
		return nil
	}
	s := &state{}
	if err := json.Unmarshal(data, s); err != nil || !s.State.known() {
		return nil
	}
	return s
}
