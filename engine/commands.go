package engine

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// commandCache remembers what is on a container's PATH: of one that runs for as long as the directories look the same,
// of one that does not for as long as nobody has started it or looked into its files.
type commandCache struct {
	touched atomic.Uint64 // counts starts, and views given back

	mu    sync.Mutex
	stamp []dirStamp // nil if it did not run
	at    uint64     // touched, if it did not run
	path  string
	names []string // nil: nothing is known
}

// dirStamp is what changes when an entry of a directory comes or goes.
type dirStamp struct {
	dev, ino uint64
	mtime    unix.Timespec
	ctime    unix.Timespec
	missing  bool
}

// Commands lists the executables on the container's PATH, sorted, whether it runs or not. One whose image is not known
// yet has none.
func (e *Engine) Commands(ctx context.Context, id string) ([]string, error) {
	s, err := e.lookup("exec", id)
	if err != nil {
		return nil, err
	}
	c := s.snapshot.Load()
	if len(c.path) == 0 {
		return nil, nil
	}
	path := strings.Join(c.path, ":")
	at := s.commands.touched.Load()
	if !c.State.Alive() && s.view.idle() {
		if names, ok := s.commands.get(path, at, nil); ok {
			return names, nil
		}
	}
	v, err := e.look(ctx, s, true)
	if err != nil {
		if names, ok := s.commands.last(path); ok { // it is on its way out: what was there a moment ago is
			return names, nil
		}
		return nil, err
	}
	defer v.Release()
	var stamp []dirStamp
	if c.State.Alive() {
		stamp = stampDirs(v.Dir, c.path)
		if names, ok := s.commands.get(path, at, stamp); ok {
			return names, nil
		}
	}
	names, err := e.parts.launcher.Commands(v.Dir, c.path)
	if err != nil {
		return nil, fail("exec", s.id, kindOfErrno(err), "the commands of the container cannot be listed: %w", err)
	}
	s.commands.put(path, at, stamp, names)
	return names, nil
}

func (c *commandCache) get(path string, at uint64, stamp []dirStamp) ([]string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.names == nil || c.path != path || c.at != at || !slices.Equal(c.stamp, stamp) {
		return nil, false
	}
	return c.names, true
}

// last is what was there when it was last looked at.
func (c *commandCache) last(path string) ([]string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.names, c.names != nil && c.path == path
}

func (c *commandCache) put(path string, at uint64, stamp []dirStamp, names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if names == nil {
		names = []string{}
	}
	c.path, c.at, c.stamp, c.names = path, at, stamp, names
}

// searchPath is the directories of PATH that a command is looked for in; relative ones do not count.
func searchPath(env []string) []string {
	for _, item := range env {
		if path, ok := strings.CutPrefix(item, "PATH="); ok {
			dirs := strings.Split(path, ":")
			return slices.DeleteFunc(dirs, func(d string) bool { return !strings.HasPrefix(d, "/") })
		}
	}
	return nil
}

// stampDirs looks at directories inside a root; links lead nowhere outside.
func stampDirs(root *os.File, dirs []string) []dirStamp {
	stamps := make([]dirStamp, len(dirs))
	for i, dir := range dirs {
		stamps[i] = stampDir(int(root.Fd()), dir)
	}
	return stamps
}

func stampDir(root int, dir string) dirStamp {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(root, dir, &how)
	if err != nil {
		return dirStamp{missing: true}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return dirStamp{missing: true}
	}
	return dirStamp{dev: st.Dev, ino: st.Ino, mtime: st.Mtim, ctime: st.Ctim}
}
