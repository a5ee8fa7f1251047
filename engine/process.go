package engine

import (
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// defaultPath is Docker's PATH for containers.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Stop's defaults, as Docker has them.
const (
	defaultStopSignal  = syscall.SIGTERM
	defaultStopTimeout = 10 * time.Second
)

// process is what runs in a container: its settings and its image's, put together.
type process struct {
	Args     []string `json:"args"`
	Env      []string `json:"env"`
	Dir      string   `json:"dir"`
	User     string   `json:"user"`
	Groups   []string `json:"groups,omitempty"` // beside those that the user is in anyhow
	Hostname string   `json:"hostname"`
	TTY      bool     `json:"tty"`
	Stdin    bool     `json:"stdin"`
	Mounts   []mount  `json:"mounts,omitempty"` // those that lie in others come after them
	ReadOnly bool     `json:"read_only,omitempty"`
	// Privileges are the first process's and every session's.
	Privileges privileges `json:"privileges,omitzero"`

	Ulimits []string `json:"ulimits,omitempty"`
}

// values are settings by name, parsed; a setting that is not set is not in it.
type values map[string]any

// parseSettings parses every raw value, and fails with the first that is bad, in the table's order.
func parseSettings(raw map[string]string) (values, error) {
	v := values{}
	for _, row := range table() {
		parsed, err := row.Parse(raw[row.Name])
		if err != nil {
			return nil, err
		}
		if parsed != nil {
			v[row.Name] = parsed
		}
	}
	for name := range raw {
		if _, ok := FindSetting(name); !ok {
			return nil, fail("set", "", NotFound, "there is no setting %q", clip(name))
		}
	}
	return v, nil
}

func (v values) text(name string) string { s, _ := v[name].(string); return s }
func (v values) flag(name string) bool   { b, _ := v[name].(bool); return b }
func (v values) number(name string, otherwise int64) int64 {
	if n, ok := v[name].(int64); ok {
		return n
	}
	return otherwise
}
func (v values) list(name string) []string { l, _ := v[name].([]string); return l }

// command applies Docker's rules: an entrypoint of one's own drops the image's command, a command of one's own
// replaces it. [""] is how Docker's --entrypoint "" is written; like it, it leaves no entrypoint and no image command.
func (v values) command(image *Image) []string {
	entrypoint, own := v["entrypoint"].([]string)
	cmd := v.list("command")
	if len(cmd) == 0 && len(entrypoint) == 0 {
		cmd = image.Cmd
	}
	if !own {
		entrypoint = image.Entrypoint
	}
	if len(entrypoint) == 1 && entrypoint[0] == "" {
		entrypoint = nil
	}
	return slices.Concat(entrypoint, cmd)
}

// env is PATH, HOSTNAME and TERM as Docker gives them, then the image's, then the container's own; of several values of
// a name the last counts, in the place of the first. HOME is the launcher's, which knows the user.
func (v values) env(image *Image, hostname string) []string {
	base := []string{defaultPath, "HOSTNAME=" + hostname}
	if v.flag("tty") {
		base = append(base, "TERM=xterm")
	}
	return mergeEnv(base, image.Env, v.list("env"))
}

// mergeEnv puts lists of variables together. A name without a value takes the variable away, as in docker's -e NAME.
func mergeEnv(lists ...[]string) []string {
	var env []string
	place := map[string]int{}
	for _, item := range slices.Concat(lists...) {
		name, _, ok := strings.Cut(item, "=")
		if name == "" || strings.ContainsRune(item, 0) {
			continue // an image may say anything
		}
		i, known := place[name]
		switch {
		case !ok && known:
			env[i] = ""
			delete(place, name)
		case !ok:
		case known:
			env[i] = item
		default:
			place[name] = len(env)
			env = append(env, item)
		}
	}
	return slices.DeleteFunc(env, func(item string) bool { return item == "" })
}

// resolve puts settings and image together. named is the host name of another container, whose network it has. Its error
// is a sentence for whoever starts the container.
func (v values) resolve(id, named string, image *Image) (process, error) {
	p := process{
		Args: v.command(image), Dir: v.text("workdir"), User: v.text("user"), Hostname: v.text("hostname"),
		TTY: v.flag("tty"), Stdin: v.flag("stdin"), Privileges: v.privileges(),
		Groups: v.list("groups"), Ulimits: v.list("ulimits"),
	}
	if len(p.Args) == 0 {
		return p, fail("start", id, Invalid,
			"the image %s does not say what to run; write a command into config/command", image.Reference)
	}
	if p.Args[0] == "" {
		return p, fail("start", id, NotCommand, "the command is empty; write one into config/command")
	}
	for _, arg := range p.Args {
		if strings.ContainsRune(arg, 0) {
			return p, fail("start", id, Invalid, "the command of the image %s has a zero byte in it", image.Reference)
		}
	}
	if p.Hostname == "" {
		p.Hostname = named
	}
	if p.Hostname == "" && v.networking().Mode == hosted {
		p.Hostname = hostsName()
	}
	if p.Hostname == "" {
		p.Hostname = Short(id)
	}
	if p.Dir == "" {
		p.Dir = path.Join("/", image.WorkingDir)
	}
	if p.User == "" {
		p.User = image.User
	}
	p.Env = v.env(image, p.Hostname)
	var err error
	if p.Mounts, err = v.mounts(image); err != nil {
		return p, fail("start", id, Invalid, "the mounts of the container cannot be made: %w", err)
	}
	p.ReadOnly = v.flag("read_only")
	return p, nil
}

// stopSignal is what asks the first process to end. A bad one in an image counts as none.
func (v values) stopSignal(image *Image) syscall.Signal {
	name := v.text("stop_signal")
	if name == "" && image != nil {
		name = image.StopSignal
	}
	if name == "" {
		return defaultStopSignal
	}
	sig, err := parseSignal(name)
	if err != nil {
		return defaultStopSignal
	}
	return sig
}

// stopTimeout is the grace of a stop; below zero is no limit.
func (v values) stopTimeout() time.Duration {
	if n, ok := v["stop_timeout"].(int64); ok {
		return time.Duration(n) * time.Second
	}
	return defaultStopTimeout
}

// stop shows both.
func (v values) stop(image *Image) stopDocument {
	sig := v.stopSignal(image)
	d := stopDocument{Signal: unix.SignalName(sig), Timeout: int(v.stopTimeout() / time.Second)}
	if d.Signal == "" { // a real-time one
		d.Signal = strconv.Itoa(int(sig))
	}
	return d
}

// labels are the image's with the container's own over them.
func (v values) labels(image *Image) map[string]string {
	labels := map[string]string{}
	if image != nil {
		maps.Copy(labels, image.Labels)
	}
	for _, item := range v.list("labels") {
		name, value, _ := strings.Cut(item, "=")
		labels[name] = value
	}
	return labels
}
