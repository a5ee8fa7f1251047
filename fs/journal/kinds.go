package journal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Kind is what a line can be about.
type Kind struct {
	Type, Action string
	Attributes   []string // that it may have
	Summary      string
}

// Field is one of a line's.
type Field struct{ Name, Summary string }

// Cause is why something happened.
type Cause struct{ Name, Summary string }

// Fields are all that a line may have, in their order.
func Fields() []Field {
	return []Field{
		{"time", "when, in UTC, RFC 3339 with nanoseconds; always there"},
		{"type", "what it is about: container, volume, network, image, registry, access, store, daemon, or call for what was refused or failed; always there"},
		{"action", "what happened, as below; always there"},
		{"object", "the container's, volume's or network's name, the image's reference, the registry's host, or a path in the tree"},
		{"id", "the container's or image's ID"},
		{"uid", "who asked for it; not there if nobody did, or if it is not known any more"},
		{"cause", "why, as below; always there"},
		{"owner", "the user that the object belonged to, if not root; who owns it, and who asked, see the line"},
		{"kind", "of a failure, a word for programs: not found, busy, denied …"},
		{"error", "of a failure, its sentence"},
		{"attributes", "more, as below: an object of strings"},
	}
}

// Causes are all there are.
func Causes() []Cause {
	return []Cause{
		{"request", "somebody asked for it: a command, a setting, a mkdir"},
		{"exit", "a process has ended by itself"},
		{"memory", "the kernel has ended a process for want of memory"},
		{"health", "a health check found it so"},
		{"auto_remove", "the setting: it was to go when it ends"},
		{"restart", "the setting: it was to be started again"},
		{"umount", "hull was unmounted"},
		{"log", "what the container writes could not be kept"},
		{"recovery", "hull's daemon has found it so when it came, or has finished what the last one had begun"},
	}
}

// Kinds are all there are.
func Kinds() []Kind {
	return []Kind{
		{"container", "create", nil, "it was made"},
		{"container", "start", []string{"policy", "restarts"}, "its command runs; if its restart policy has started it, which that is, and how often it has since somebody did"},
		{"container", "kill", []string{"signal"}, "its process was sent a signal"},
		{"container", "oom", nil, "the kernel has ended a process in it"},
		{"container", "die", []string{"exitCode"}, "it has ended"},
		{"container", "stop", nil, "a stop of it is done"},
		{"container", "restart", nil, "a restart of it is done"},
		{"container", "pause", nil, "it is frozen"},
		{"container", "unpause", nil, "it goes on"},
		{"container", "rename", []string{"oldName"}, "it has another name"},
		{"container", "update", []string{"settings", "owner"}, "it has other settings (their names), or belongs to somebody else"},
		{"container", "recreate", nil, "it was made anew of its image"},
		{"container", "destroy", nil, "it is gone"},
		{"container", "exec_start", []string{"execID"}, "a command was executed in it"},
		{"container", "exec_kill", []string{"execID", "signal"}, "such a command was sent a signal by its ctl"},
		{"container", "exec_hang_up", []string{"execID"}, "a session was hung up by its ctl"},
		{"container", "exec_die", []string{"execID", "exitCode"}, "such a command has ended; uid is who executed it, or asked for its end"},
		{"container", "attach", []string{"execID"}, "somebody is attached"},
		{"container", "detach", []string{"execID"}, "and is not any more"},
		{"container", "health_status: healthy", nil, "its health check finds it well"},
		{"container", "health_status: unhealthy", nil, "and does not, several times in a row"},
		{"container", "take_over", []string{"lost"}, "all of hull's processes were killed while it ran, and hull has found it again; if that has cost it its terminal or its input, which"},
		{"container", "error", []string{"op", "error"}, "something that nobody waited for has failed"},
		{"volume", "create", nil, "it was made"},
		{"volume", "update", []string{"owner"}, "it belongs to somebody else"},
		{"volume", "destroy", nil, "it is gone"},
		{"network", "create", nil, "it was made"},
		{"network", "connect", []string{"container"}, "a container (its ID) has an address on it"},
		{"network", "disconnect", []string{"container"}, "and has not any more"},
		{"network", "update", []string{"owner"}, "it has other subnets, or belongs to somebody else"},
		{"network", "destroy", nil, "it is gone"},
		{"image", "pulling", nil, "a pull was accepted"},
		{"image", "pull", nil, "it has come, or is the newest"},
		{"image", "pushing", nil, "a push was accepted"},
		{"image", "push", nil, "its registry has it"},
		{"image", "load", nil, "it came out of an archive"},
		{"image", "commit", nil, "it was made of a container"},
		{"image", "tag", nil, "it has one more name"},
		{"image", "untag", nil, "and one less"},
		{"image", "delete", nil, "it is gone"},
		{"registry", "create", nil, "it is known"},
		{"registry", "update", []string{"setting"}, "one of its settings was written"},
		{"registry", "login", []string{"user", "warning"}, "somebody has logged in"},
		{"registry", "logout", nil, "and out"},
		{"registry", "remove", nil, "it is forgotten"},
		{"access", "chmod", []string{"mode", "owner", "group"}, "others may do something with a file of the tree, or may not any more"},
		{"access", "chown", []string{"owner", "group"}, "it belongs to others"},
		{"store", "check", []string{"found"}, "a check has found something wrong"},
		{"store", "repair", []string{"found"}, "a repair has found something wrong, and what became of it"},
		{"daemon", "mount", []string{"version"}, "hull is there, or there again"},
		{"daemon", "umount", nil, "it ends"},
		{"call", "*", nil, "a call that was refused or has failed: action is what was to be done, object where, kind and error why"},
	}
}

// Check tells what of an event is not as Fields, Causes and Kinds say.
func Check(e Event) error {
	var errs []error
	missing := func(bad bool, what string) {
		if bad {
			errs = append(errs, errors.New(what))
		}
	}
	missing(e.Time.IsZero(), "it has no time")
	missing(!slices.ContainsFunc(Causes(), func(c Cause) bool { return c.Name == e.Cause }), fmt.Sprintf("its cause is %q", e.Cause))
	all := Kinds()
	i := slices.IndexFunc(all, func(k Kind) bool { return k.Type == e.Type && (k.Action == e.Action || k.Action == "*") })
	if i < 0 {
		return errors.Join(append(errs, fmt.Errorf("there is no %s %s", e.Type, e.Action))...)
	}
	for name := range e.Extra {
		missing(!slices.Contains(all[i].Attributes, name), "it has the attribute "+name)
	}
	missing(e.Type == "call" && (e.Kind == "" || e.Error == ""), "it does not say what failed")
	missing(e.Type != "call" && (e.Kind != "" || e.Error != ""), "it says that something failed")
	return errors.Join(errs...)
}

// Document describes every line there can be, as EVENTS.md has it.
func Document() []byte {
	var b strings.Builder
	b.WriteString("# Events\n\nGenerated from fs/journal/kinds.go by `make generate`.\n\n")
	b.WriteString("`/hull/events` has one JSON object a line. What is written here stays as it is; there may be more fields, types, actions,\n" +
		"causes and attributes later. Root and the group of `--group` see every line, anybody else those of what belongs to\n" +
		"them and of what they asked for themselves. It is a ring of 4 MiB on disk, and outlives the daemon and the mount. No line has\n" +
		"environment, arguments or the value of a setting.\n\n")
	b.WriteString("| field | |\n|---|---|\n")
	for _, f := range Fields() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", f.Name, f.Summary)
	}
	b.WriteString("\n| cause | |\n|---|---|\n")
	for _, c := range Causes() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", c.Name, c.Summary)
	}
	b.WriteString("\n| type | action | attributes | |\n|---|---|---|---|\n")
	for _, k := range Kinds() {
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s |\n", k.Type, k.Action, strings.Join(k.Attributes, " "), k.Summary)
	}
	return []byte(b.String())
}
