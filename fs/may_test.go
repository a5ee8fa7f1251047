package fs_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"hull/fs"

	"golang.org/x/sys/unix"
)

// somebody are the credentials that the table is tried with.
var somebody = map[string]fs.Credential{
	"root":     {},
	"owner":    {UID: 4242, GID: 4242},
	"member":   {UID: 4343, GID: 4343, Groups: []uint32{5555}},
	"stranger": {UID: 4444, GID: 4444},
}

// asThread runs f in a thread with somebody's credential. The thread ends with it.
func asThread(t *testing.T, c fs.Credential, f func()) {
	t.Helper()
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread is of no use to anybody else
		groups := append([]uint32{}, c.Groups...)
		var list uintptr
		if len(groups) > 0 {
			list = uintptr(unsafe.Pointer(&groups[0])) //nolint:gosec // a system call takes it so
		}
		err := first(
			call(unix.SYS_SETGROUPS, uintptr(len(groups)), list, 0),
			call(unix.SYS_SETRESGID, uintptr(c.GID), uintptr(c.GID), uintptr(c.GID)),
			call(unix.SYS_SETRESUID, uintptr(c.UID), uintptr(c.UID), uintptr(c.UID)),
		)
		runtime.KeepAlive(groups)
		if err == nil {
			f()
		}
		failed <- err
	}()
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func call(n, a, b, c uintptr) error {
	if _, _, errno := unix.RawSyscall(n, a, b, c); errno != 0 {
		return errno
	}
	return nil
}

// trial is what can be tried with a row by its path; false if that operation is nothing for its kind.
func trial(r fs.Row, op fs.Operation, path string) (func() error, bool) {
	open := func(flags int) func() error {
		return func() error {
			fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
			if err == nil {
				unix.Close(fd)
			}
			return err
		}
	}
	dir := r.Kind == "directory" || r.Kind == "file system"
	switch {
	case r.Kind == "link":
		return nil, false
	case op == fs.Read:
		return open(unix.O_RDONLY), true
	case op == fs.Write && (r.Kind == "ctl" || r.Kind == "setting"):
		return open(unix.O_WRONLY | unix.O_APPEND), true
	case op == fs.Session && r.Kind == "verb":
		return open(unix.O_RDWR | unix.O_NONBLOCK), true
	case op == fs.Change && dir && r.Kind != "file system": // a name that is refused for its own sake to whoever may
		return func() error { return unix.Mkdir(path+"/.probe", 0o755) }, true
	case op == fs.Search && dir:
		return func() error { return unix.Stat(path+"/.probe", &unix.Stat_t{}) }, true
	}
	return nil, false
}

// named is the path of a row with the names that the test's mount has.
func named(path, layer, image string) string {
	for _, name := range [][2]string{
		{"rootfs/images/ID", "rootfs/images/" + image},
		{"rootfs/layers/ID", "rootfs/layers/" + layer[strings.IndexByte(layer, ':')+1:]},
		{"images/REF", "images/redis:7"},
		{"containers/NAME", "containers/web"},
		{"exec/COMMAND", "exec/sh"},
		{"sessions/N", "sessions/1"},
		{"volumes/NAME", "volumes/db"},
		{"networks/NAME", "networks/backend"},
		{"registries/HOST", "registries/docker.io"},
		{"layers/ID", "layers/" + layer},
		{"layers/N", "layers/0"},
	} {
		path = strings.Replace(path, name[0], name[1], 1)
	}
	return path
}

// keeper looks after no store.
type keeper struct{}

func (keeper) Check(context.Context) error               { return nil }
func (keeper) Repair(context.Context) error              { return nil }
func (keeper) Prune(context.Context, string, bool) error { return nil }
func (keeper) Run(context.Context, string) error         { return nil }

// TestMayTable tries each row of the tree and each verb as root, as the owner of the object, as a member of the group that has
// the controls and as a stranger: by the path, where the kernel asks the modes that it is told, and by the question that
// serves sessions. Both must answer what a file of that owner, group and mode would.
func TestMayTable(t *testing.T) {
	m := mountWith(t, func(o *fs.Options) { o.Group, o.Upkeep = 5555, keeper{} }, "redis:7", "acme/app:1")
	open(t, m)
	m.ok("mkdir images/redis:7 && mkdir images/redis:7/containers/web containers/far volumes/db networks/backend && chown -R 4242 containers/web images/redis:7 volumes/db networks/backend registries/docker.io")
	m.Session("web", fs.ContainerSession{ID: strings.Repeat("a", 64), Number: 1, Command: "sh", Terminal: "/dev/pts/0"})
	layer := strings.Fields(m.ok("ls layers"))[0]
	tried := 0
	for _, r := range fs.Rows(m.Containers().Settings()) {
		path := named(r.Path, layer, strings.TrimSpace(m.ok("cut -d: -f2 images/redis:7/id")))
		var st unix.Stat_t
		if err := unix.Lstat(m.path(path), &st); err != nil {
			t.Errorf("%s, %s: %v: each row of the tree needs something here that it is tried with", r.Path, path, err)
			continue
		}
		for _, op := range []fs.Operation{fs.Read, fs.Write, fs.Session, fs.Change, fs.Search} {
			try, ok := trial(r, op, m.path(path))
			if !ok {
				continue
			}
			for who, c := range somebody {
				want := allows(&st, c, op)
				may := m.tree.May(c, path, op)
				if (may == nil) != want || may != nil && fs.KindOf(may) != fs.Denied {
					t.Errorf("%s (%o, %d:%d), operation %d as %s: %v, want %v", path, st.Mode&0o777, st.Uid, st.Gid, op, who, may, want)
				}
				var err error
				asThread(t, c, func() { err = try() })
				if errors.Is(err, syscall.EACCES) == want {
					t.Errorf("%s (%o, %d:%d), operation %d as %s by the path: %v, want %v", path, st.Mode&0o777, st.Uid, st.Gid, op, who, err, want)
				}
				tried++
			}
		}
	}
	if tried < 500 {
		t.Errorf("only %d were tried", tried)
	}
	// What the table is to say, by hand.
	for _, tt := range []struct {
		path string
		op   fs.Operation
		who  string // those who may, beside root
	}{
		{"containers", fs.Change, "member"},
		{"containers/web/ctl", fs.Write, "owner member"},
		{"containers/web/logs", fs.Read, "owner member"},
		{"containers/web/status", fs.Read, "owner member stranger"},
		{"containers/web/exec/sh", fs.Session, "owner member"},
		{"containers/far/exec/sh", fs.Session, "member"},
		{"containers/far/config/env", fs.Write, "member"},
		{"containers/far/inspect.json", fs.Read, "member"},
		{"images/redis:7/run", fs.Session, "owner member"},
		{"run", fs.Session, "member"},
		{"events", fs.Read, "owner member stranger"},
		{"rootfs/containers/web", fs.Read, ""},
	} {
		for who, c := range somebody {
			want := who == "root" || strings.Contains(tt.who, who)
			if err := m.tree.May(c, tt.path, tt.op); (err == nil) != want {
				t.Errorf("%s, operation %d as %s: %v", tt.path, tt.op, who, err)
			}
		}
	}
	// Of a container that acts on the host, the group has neither the inside nor the settings.
	m.Reach("far")
	for path, op := range map[string]fs.Operation{"exec/sh": fs.Session, "enter": fs.Session, "attach": fs.Session, "config/env": fs.Write, "config": fs.Change} {
		if m.tree.May(somebody["member"], "containers/far/"+path, op) == nil {
			t.Errorf("%s of a container that acts on the host", path)
		}
	}
	if err := m.tree.May(somebody["member"], "containers/far/ctl", fs.Write); err != nil {
		t.Error(err)
	}
	errno(t, "chown", os.Chown(m.path("containers/far"), 4242, -1), syscall.EPERM)
}

// allows is what a file's owner, group and mode mean.
func allows(st *unix.Stat_t, c fs.Credential, op fs.Operation) bool {
	bits := map[fs.Operation]uint32{fs.Read: 4, fs.Write: 2, fs.Session: 7, fs.Change: 3, fs.Search: 1}[op]
	m := st.Mode
	switch {
	case c.UID == 0:
		return true
	case c.UID == st.Uid:
		m >>= 6
	case c.In(st.Gid):
		m >>= 3
	}
	return m&bits == bits
}
