package launch

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"hull/engine/internal/sys"
	"hull/engine/plan"
	"hull/engine/seccomp"
)

// settings are a Spec or an ExecSpec, checked as far as that can be done
// without the container.
type settings struct {
	recipe plan.Recipe // of a start

	args, env  []string
	dir, user  string
	groups     []string
	ids        IDRange
	tty        bool
	rows, cols uint16
	stdio      [3]*os.File
	hostname   string
	caps       uint64
	lastCap    int
	noNewPrivs bool
	seccomp    *seccomp.Profile
	init       bool
	limits     []plan.Limit
}

func invalid(format string, args ...any) error {
	for i, a := range args {
		if s, ok := a.(string); ok {
			args[i] = shortened(s)
		}
	}
	return &Error{Op: "check the settings", Kind: Invalid, Text: fmt.Sprintf(format, args...)}
}

// maxFiles is how much all of Spec.Files may hold: they lie in memory.
const maxFiles = 512 << 10

// settings checks a Spec.
func (s Spec) settings() (settings, error) {
	out, err := ExecSpec{
		Args: s.Args, Env: s.Env, Dir: s.Dir, User: s.User, AdditionalGroups: s.AdditionalGroups,
		TTY: s.TTY, Rows: s.Rows, Cols: s.Cols, Stdin: s.Stdin, Stdout: s.Stdout, Stderr: s.Stderr,
		Capabilities: s.Capabilities, NoNewPrivileges: s.NoNewPrivileges, Seccomp: s.Seccomp, Limits: s.Limits,
	}.settings(s.Range)
	if err != nil {
		return out, err
	}
	if s.Root == nil {
		return out, invalid("there is no root to start in")
	}
	if s.Hostname == "" || len(s.Hostname) > 64 || strings.ContainsRune(s.Hostname, 0) {
		return out, invalid("%q cannot be a host name: it must have 1 to 64 characters", s.Hostname)
	}
	out.hostname, out.init = s.Hostname, s.Init
	total := 0
	for name, content := range s.Files {
		total += len(content)
		if path.Clean(name) != name || !path.IsAbs(name) || strings.Count(name, "/") > 2 || strings.ContainsRune(name, 0) {
			return out, invalid("a file cannot be bound at %q", name)
		}
	}
	if total > maxFiles {
		return out, invalid("the files to bind have %d bytes, %d is the most", total, maxFiles)
	}
	out.recipe, err = s.recipe()
	return out, err
}

// recipe is what the container's stage is made of.
func (s Spec) recipe() (plan.Recipe, error) {
	r := plan.Recipe{
		Users: s.Range.Size > 0, ShmSize: s.ShmSize, PingGroups: "0 2147483647",
		Masked: s.Masked, ReadOnlyPaths: s.ReadOnlyPaths, Network: s.Network,
	}
	if r.Users {
		r.PingGroups = fmt.Sprintf("0 %d", s.Range.Size-1)
	}
	if r.ShmSize == 0 {
		r.ShmSize = 64 << 20
	}
	if r.Masked == nil {
		r.Masked = append(plan.DefaultMasked(), throttling()...)
	}
	if r.ReadOnlyPaths == nil {
		r.ReadOnlyPaths = plan.DefaultReadOnly()
	}
	if (r.Network == plan.Another) != (s.Of != nil) {
		return r, invalid("a container is in another's network if it is said whose, and only then")
	}
	var err error
	if r.Kernel, err = s.kernel(); err != nil {
		return r, err
	}
	for _, name := range append(append([]string{}, r.Masked...), r.ReadOnlyPaths...) {
		below := strings.HasPrefix(name, "/proc/") || strings.HasPrefix(name, "/sys/")
		if path.Clean(name) != name || !below || strings.ContainsRune(name, 0) {
			return r, invalid("%q cannot be hidden or made read-only: only what lies below /proc and /sys can", name)
		}
	}
	return r, nil
}

// throttling are the counters of what each processor does when it gets hot, by
// which one container could tell what another computes. There are as many as
// processors, so the list is made once.
var throttling = sync.OnceValue(func() []string {
	found, err := filepath.Glob("/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle")
	if err != nil {
		return nil // the pattern is good
	}
	return found
})

// settings checks an ExecSpec for a container of the given ids.
func (s ExecSpec) settings(ids IDRange) (settings, error) {
	out := settings{
		args: s.Args, env: s.Env, dir: s.Dir, user: s.User, groups: s.AdditionalGroups, ids: ids,
		tty: s.TTY, rows: s.Rows, cols: s.Cols, stdio: [3]*os.File{s.Stdin, s.Stdout, s.Stderr},
		noNewPrivs: s.NoNewPrivileges, seccomp: s.Seccomp, limits: s.Limits,
	}
	if out.dir == "" {
		out.dir = "/"
	}
	if err := checkRange(ids); err != nil {
		return out, err
	}
	if len(s.Args) == 0 || s.Args[0] == "" {
		return out, &Error{Op: "check the settings", Kind: Invalid, Text: "there is no command to run"}
	}
	for _, list := range [][]string{s.Args, s.Env, {s.Dir, s.User}} {
		for _, v := range list {
			if strings.ContainsRune(v, 0) {
				return out, invalid("%q has a zero byte in it, which no argument, variable or path can have", v)
			}
		}
	}
	if !path.IsAbs(out.dir) {
		return out, invalid("the working directory %q is not an absolute path", out.dir)
	}
	out.dir = path.Clean(out.dir)
	names := s.Capabilities
	if names == nil {
		names = plan.DefaultCapabilities()
	}
	var err error
	if out.caps, err = plan.CapabilityMask(names); err != nil {
		return out, invalid("%v", err)
	}
	if out.lastCap, err = sys.LastCapability(); err != nil {
		return out, &stepError{op: "read the kernel's capabilities", err: err}
	}
	out.caps &= uint64(1)<<(out.lastCap+1) - 1
	if ids.Size == 0 { // what we do not have ourselves we cannot give
		own, err := sys.Capabilities()
		if err != nil {
			return out, &stepError{op: "read capabilities", err: err}
		}
		out.caps &= own
	}
	return out, nil
}

// process looks up in the root what the settings name.
func (s settings) process(t *tree) (plan.Process, error) {
	who, err := t.user(s.user, s.groups)
	if err != nil {
		return plan.Process{}, err
	}
	env := environment(s, who.home)
	command, err := t.command(s.args[0], s.dir, env, who)
	if err != nil {
		return plan.Process{}, err
	}
	limits, err := withFileLimit(s.limits)
	if err != nil {
		return plan.Process{}, &stepError{op: "read limits", err: err}
	}
	pr := plan.Process{
		Path: command, Args: s.args, Env: env, Dir: s.dir,
		UID: who.uid, GID: who.gid, Groups: who.groups,
		Caps: s.caps, LastCap: s.lastCap, NoNewPrivs: s.noNewPrivs, TTY: s.tty, Init: s.init, Limits: limits,
	}
	if s.seccomp != nil {
		if pr.Filter, err = s.seccomp.Filter(s.caps); err != nil {
			return pr, &stepError{op: "compile the seccomp profile", err: err}
		}
	}
	return pr, nil
}

// defaultPath is where commands are looked for if the image does not say.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment adds what Docker adds to an image's variables. Of a variable
// that is set twice the last counts.
func environment(s settings, home string) []string {
	at := map[string]int{}
	var env []string
	for _, v := range s.env {
		name, _, _ := strings.Cut(v, "=")
		if i, ok := at[name]; ok {
			env[i] = v
			continue
		}
		at[name] = len(env)
		env = append(env, v)
	}
	add := func(name, value string) {
		if _, ok := at[name]; !ok && value != "" {
			env = append(env, name+"="+value)
		}
	}
	add("PATH", defaultPath)
	add("HOSTNAME", s.hostname)
	if s.tty {
		add("TERM", "xterm")
	}
	add("HOME", home)
	return env
}
