package engine

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// commandCache remembers what is on a container's PATH for as long as the directories look the same.
type commandCache struct {
	mu    sync.Mutex
	stamp []dirStamp
	path  string
	names []string
}

// dirStamp is what changes when an entry of a directory comes or goes.
type dirStamp struct {
	dev, ino uint64
	mtime    unix.Timespec
	ctime    unix.Timespec
	missing  bool
}

// Commands lists the executables on the running container's PATH, sorted. A container that does not run has none: nothing
// can be executed in it.
func (e *Engine) Commands(ctx context.Context, id string) ([]string, error) {
	s, err := e.lookup("exec", id)
	if err != nil {
		return nil, err
	}
	c := s.snapshot.Load()
	if !c.State.Alive() || c.process == nil {
		return nil, nil
	}
	v, err := e.View(ctx, s.id)
	if err != nil {
		return nil, err
	}
	defer v.Release()
	dirs := searchPath(c.process.Env)
	stamp := stampDirs(v.Dir, dirs)
	key := strings.Join(dirs, ":")
	if names, ok := s.commands.get(key, stamp); ok {
		return names, nil
	}
	names, err := e.parts.launcher.Commands(v.Dir, dirs)
	if err != nil {
		return nil, fail("exec", s.id, kindOfErrno(err), "the commands of the container cannot be listed: %w", err)
	}
	s.commands.put(key, stamp, names)
	return names, nil
}

func (c *commandCache) get(path string, stamp []dirStamp) ([]string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.names == nil || c.path != path || !slices.Equal(c.stamp, stamp) {
		return nil, false
	}
	return c.names, true
}

func (c *commandCache) put(path string, stamp []dirStamp, names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.path, c.stamp, c.names = path, stamp, names
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
