package launch

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Limits for what an image's files may make us read.
const (
	maxAccounts = 8 << 20 // bytes of /etc/passwd and /etc/group
	maxGroups   = 65536   // the kernel's limit of supplementary groups
)

// account is who a process runs as.
type account struct {
	uid, gid uint32
	groups   []uint32 // the primary one is among them
	home     string
}

// user looks up USER as Docker does: "", "name", "uid", "name:group" or
// "uid:gid"; nothing behind the colon is as if there were none. A number needs no
// entry.
func (t *tree) user(spec string, additional []string) (account, error) {
	name, group, _ := strings.Cut(spec, ":")
	if name == "" {
		name = "0"
	}
	a, login, err := t.passwd(name)
	if err != nil {
		return a, err
	}
	if err := t.groups(&a, login, group, additional); err != nil {
		return a, err
	}
	for _, id := range append([]uint32{a.uid}, a.groups...) {
		if t.ids.Size > 0 && id >= t.ids.Size {
			return a, invalid("the id %d is outside the container's user namespace, which has the ids 0 to %d", id, t.ids.Size-1)
		}
	}
	return a, nil
}

// passwd finds a user by name or number, and its login name if it has one.
func (t *tree) passwd(name string) (a account, login string, err error) {
	uid, numeric := number(name)
	lines, err := t.accounts("/etc/passwd", numeric)
	if err != nil {
		return a, "", err
	}
	a = account{uid: uid, home: "/"}
	for line := range strings.Lines(lines) {
		// name:password:uid:gid:comment:home:shell
		f := strings.Split(strings.TrimRight(line, "\r\n"), ":")
		if len(f) < 6 {
			continue
		}
		u, uok := number(f[2])
		g, gok := number(f[3])
		if !uok || !gok || (numeric && u != uid) || (!numeric && f[0] != name) {
			continue
		}
		a.uid, a.gid = u, g
		if f[5] != "" && !strings.ContainsRune(f[5], 0) {
			a.home = f[5]
		}
		return a, f[0], nil
	}
	if !numeric {
		return a, "", invalid("there is no user %q in the image's /etc/passwd", name)
	}
	return a, "", nil
}

// groups fills in the groups of an account.
func (t *tree) groups(a *account, login, group string, additional []string) error {
	gid, numeric := number(group)
	lenient := numeric || group == ""
	for _, g := range additional {
		if _, ok := number(g); !ok {
			lenient = false
		}
	}
	lines, err := t.accounts("/etc/group", lenient)
	if err != nil {
		return err
	}
	found := numeric
	if numeric {
		a.gid = gid
	}
	wanted := map[string]bool{}
	var more []uint32
	for _, g := range additional {
		if n, ok := number(g); ok {
			more = append(more, n)
		} else {
			wanted[g] = true
		}
	}
	for line := range strings.Lines(lines) {
		// name:password:gid:members
		f := strings.Split(strings.TrimRight(line, "\r\n"), ":")
		if len(f) < 4 {
			continue
		}
		g, ok := number(f[2])
		if !ok {
			continue
		}
		if group != "" && !found && f[0] == group {
			a.gid, found = g, true
		}
		member := group == "" && login != "" && contains(f[3], login)
		if member || wanted[f[0]] {
			more = append(more, g)
			delete(wanted, f[0])
		}
	}
	if group != "" && !found {
		return invalid("there is no group %q in the image's /etc/group", group)
	}
	for name := range wanted {
		return invalid("there is no group %q in the image's /etc/group", name)
	}
	a.groups = unique(append([]uint32{a.gid}, more...))
	if len(a.groups) > maxGroups {
		return invalid("the user is in %d groups, %d is the most", len(a.groups), maxGroups)
	}
	return nil
}

// accounts reads passwd or group. If the answer can do without, what cannot
// be read is as if it were not there.
func (t *tree) accounts(name string, lenient bool) (string, error) {
	b, err := t.read(name, maxAccounts)
	switch {
	case err == nil:
		return string(b), nil
	case lenient, errors.Is(err, unix.ENOENT):
		return "", nil
	case errors.Is(err, errTooLong):
		return "", &Error{Op: "read " + name, Kind: Hostile, Text: fmt.Sprintf("the image's %s is longer than %d bytes", name, maxAccounts), Err: err}
	case errors.Is(err, errIrregular):
		return "", &Error{Op: "read " + name, Kind: Hostile, Text: fmt.Sprintf("the image's %s is not a regular file", name), Err: err}
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ENXIO):
		return "", &Error{Op: "read " + name, Kind: Hostile, Text: fmt.Sprintf("the image's %s cannot be read: it leads nowhere", name), Err: err}
	}
	return "", &stepError{op: "read " + name, err: err}
}

// number reads an id, strictly: decimal digits and nothing else, less than
// 2^31 (the kernel takes more, but -1 in disguise must not come in).
func number(s string) (uint32, bool) {
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n <= math.MaxInt32
}

// contains looks for a member in a comma-separated list.
func contains(list, name string) bool {
	for m := range strings.SplitSeq(list, ",") {
		if m == name {
			return true
		}
	}
	return false
}

// unique drops all but the first of each, in order.
func unique(ids []uint32) []uint32 {
	seen := map[uint32]bool{}
	out := ids[:0]
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	return out
}
