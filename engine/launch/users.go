package launch

import (
	"bytes"
	"context"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"hull/engine/child"
	"hull/engine/internal/sys"
)

// Users makes a user namespace with the given map and no process in it; it
// lasts as long as the file is open or a mount uses it.
func (l *Launcher) Users(ctx context.Context, r IDRange) (*os.File, error) {
	if err := checkRange(r); err != nil || r.Size == 0 {
		return nil, err
	}
	m := idMap(r)
	return l.usersOf(ctx, m, m)
}

// usersOf is Users with any maps.
func (l *Launcher) usersOf(ctx context.Context, uids, gids []byte) (*os.File, error) {
	p, err := l.spawn(child.Options{Namespaces: unix.CLONE_NEWUSER}) // our own child, whoever owns the others
	if err != nil {
		return nil, err
	}
	err = p.mapUsers(uids, gids)
	users := p.users
	p.users = nil
	p.Abort()
	_ = p.Close()
	if err != nil {
		return nil, explain(ctx, err, nil, "")
	}
	return users, nil
}

// checkRange refuses what cannot be a container's ids.
func checkRange(r IDRange) error {
	if r.Size > 0 && (r.Size < 1000 || uint64(r.First)+uint64(r.Size) > 1<<32-1) {
		return invalid("%d ids from %d on are no range for a container", r.Size, r.First)
	}
	return nil
}

// idMap is the map of a user namespace that has a range.
func idMap(r IDRange) []byte {
	return []byte("0 " + strconv.FormatUint(uint64(r.First), 10) + " " + strconv.FormatUint(uint64(r.Size), 10) + "\n")
}

// mapUsers writes the maps of the user namespace and opens it.
func (p *Parked) mapUsers(uids, gids []byte) (err error) {
	if err := writeProc(p.proc("uid_map"), uids); err != nil {
		return &stepError{op: "map users", err: err}
	}
	if err := writeProc(p.proc("gid_map"), gids); err != nil {
		return &stepError{op: "map groups", err: err}
	}
	if p.users, err = os.Open(p.proc("ns/user")); err != nil {
		return &stepError{op: "open the user namespace", err: err}
	}
	return nil
}

// writeProc writes a file of /proc, in one write.
func writeProc(name string, content []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// expose undoes a protection from the kernel's out-of-memory killer that the
// daemon may have from its service manager: it is not for containers.
func (p *Parked) expose() error {
	own, _ := os.ReadFile("/proc/self/oom_score_adj") // a kernel without it protects nobody
	if !bytes.HasPrefix(own, []byte("-")) {
		return nil
	}
	if err := writeProc(p.proc("oom_score_adj"), []byte("0")); err != nil && !sys.Exited(p.Pidfd()) {
		return &stepError{op: "set oom_score_adj", err: err}
	}
	return nil
}
