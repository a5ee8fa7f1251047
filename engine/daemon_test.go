package engine

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"hull/engine/monitor"
	"hull/engine/network"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "daemon:", err)
		os.Exit(9)
	}
}

// daemonRole is a daemon: an engine that does what the test says, and kills itself at the point it was told to.
func daemonRole() int {
	ctx := context.Background()
	client, err := monitor.Connect(os.NewFile(monitor.DaemonFD, "monitor"))
	must(err)
	d := &testDaemon{script: script{scriptFD}, client: client}
	unix.CloseOnExec(scriptFD)
	dir := os.Getenv("HULL_DIR")
	o := Options{
		Dir: dir, Tree: filepath.Base(filepath.Dir(dir)) + filepath.Base(dir), Roots: newTestRoots(dir), Monitor: client,
		Crash: d.point, Notify: d.hear, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	if os.Getenv("HULL_REAL") != "" {
		o.Warm, _ = strconv.Atoi(os.Getenv("HULL_WARM")) // none if it says nothing
		o.Roots = &overlayRoots{testRoots: newTestRoots(dir), lower: os.Getenv("HULL_REAL")}
		d.e, err = Open(ctx, o)
	} else {
		l := &testLauncher{ofParent: true, reap: func(pidfd *os.File) { must(client.Reap(ctx, pidfd)) }}
		d.links = newTestLinks()
		e := newEngine(ctx, o)
		e.fillWithin = patience // a start that a slow disk makes wait would be accepted, and survive the daemon
		d.e, err = e.open(ctx, parts{launcher: l, groups: &testGroups{}, first: first, released: testReleased, links: d.links, names: newTestNames()})
	}
	must(err)
	must(client.Ready(ctx))
	go func() {
		r, ok := <-client.Stops()
		if !ok {
			return
		}
		must(d.e.StopAll(ctx))
		must(d.e.Close())
		must(r.Done(ctx, nil))
		os.Exit(0)
	}()
	must(d.script.send(answer{Up: os.Getpid()}))
	for {
		var o order
		if d.script.receive(&o) != nil {
			return 0
		}
		must(d.script.send(d.do(ctx, o)))
	}
}

type testDaemon struct {
	script script
	client *monitor.Client
	e      *Engine
	links  *testLinks // nil with real ones

	mu     sync.Mutex
	armed  string
	view   *View
	events []string
}

// point is where the daemon dies, if it was told to.
func (d *testDaemon) point(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if first, rest, more := strings.Cut(d.armed, " > "); more && first == name {
		d.armed = rest
		return
	}
	if d.armed == name {
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		select {}
	}
}

func (d *testDaemon) hear(ev Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, string(ev.Action)+" "+ev.Name)
}

func (d *testDaemon) do(ctx context.Context, o order) (a answer) {
	var err error
	switch o.Do {
	case "create", "run":
		_, err = d.e.Create(ctx, New{Name: o.Name, Image: "box", Settings: o.Settings, Start: o.Do == "run"})
	case "start":
		err = d.e.Start(ctx, o.Name)
	case "stop":
		err = d.e.Stop(ctx, o.Name, 0)
	case "restart":
		err = d.e.Restart(ctx, o.Name, -1)
	case "kill":
		err = d.e.Kill(ctx, o.Name, o.Text)
	case "wait":
		_, err = d.e.Wait(ctx, o.Name)
	case "remove":
		err = d.e.Remove(ctx, o.Name, true)
	case "recreate":
		err = d.e.Recreate(ctx, o.Name)
	case "rename":
		err = d.e.Rename(ctx, o.Name, o.Text)
	case "volume":
		_, err = d.e.CreateVolume(ctx, o.Name, Owner{})
	case "unvolume":
		err = d.e.RemoveVolume(ctx, o.Name, false)
	case "chown":
		uid, _ := strconv.ParseUint(o.Text, 10, 32)
		err = d.e.Chown(ctx, o.Name, Owner{UID: uint32(uid), GID: uint32(uid)})
	case "set":
		err = d.e.Set(ctx, o.Name, "env", o.Text)
	case "exec":
		err = d.exec(ctx, o.Name, strings.Fields(o.Text))
	case "browse":
		a.Events, err = d.browse(ctx, o.Name, o.Text)
	case "commands":
		a.Events, err = d.e.Commands(ctx, o.Name)
	case "changes":
		var changes []Change
		changes, err = d.e.Changes(ctx, o.Name)
		for _, c := range changes {
			a.Events = append(a.Events, string(c.Kind)+" "+c.Path)
		}
	case "hold":
		d.view, err = d.e.View(ctx, o.Name)
	case "held":
		err = d.sameRoot(o.Name)
	case "release":
		d.view.Release()
	case "pause":
		err = d.e.Pause(ctx, o.Name)
	case "unpause":
		err = d.e.Unpause(ctx, o.Name)
	case "still":
		err = d.e.Still(ctx, o.Name)
	case "attach":
		err = d.attach(ctx, o.Name)
	case "killsession", "hangup":
		err = d.endSession(ctx, o)
	case "mend":
		err = d.mend(ctx, o.Name)
	case "chownvolume":
		err = d.e.ChownVolume(ctx, o.Name, Owner{UID: 1000, GID: 1000})
	case "network":
		_, err = d.e.CreateNetwork(ctx, o.Name, Owner{})
	case "unnetwork":
		err = d.e.RemoveNetwork(ctx, o.Name)
	case "chownnetwork":
		err = d.e.ChownNetwork(ctx, o.Name, Owner{UID: 1000, GID: 1000})
	case "subnet":
		err = d.e.SetSubnet(ctx, o.Name, o.Text)
	case "warm":
		d.e.pool.mu.Lock()
		for _, w := range slices.Concat(d.e.pool.ready[:]...) {
			a.Events = append(a.Events, w.name)
		}
		d.e.pool.mu.Unlock()
	case "group":
		c, _ := d.e.Find(o.Name)
		a.Events = []string{c.group}
	case "arm":
		d.mu.Lock()
		d.armed = o.Text
		d.mu.Unlock()
	}
	if err != nil {
		a.Err, a.Kind = err.Error(), KindOf(err)
	}
	for _, c := range d.e.List() {
		x := shown{ID: c.ID, Name: c.Name, State: c.State, PID: c.PID, Error: c.Error, Env: c.Settings["env"], Owner: c.UID, Restarts: c.Restarts, Code: -1, Places: len(c.Endpoints), Ports: len(c.Ports)}
		if c.Exit != nil {
			x.Code = c.Exit.Code
		}
		a.Containers = append(a.Containers, x)
	}
	for _, v := range d.e.Volumes() {
		a.Volumes = append(a.Volumes, v.Name)
	}
	for _, n := range d.e.Networks() {
		if n.Word || n.Name == network.Default {
			continue
		}
		a.Networks += fmt.Sprintf("%s of %d", n.Name, n.UID)
		if s := n.Subnets[0].String(); s == "10.201.7.0/24" { // what was chosen is another one each time
			a.Networks += " with " + s
		}
	}
	if d.links != nil {
		a.Links = d.links.count()
	}
	held, err := d.client.List(ctx)
	must(err)
	for _, h := range held {
		a.Held = append(a.Held, h.ID)
		h.Close()
	}
	return a
}

// sameRoot checks that the view it holds is of the very file system that the container runs on.
func (d *testDaemon) sameRoot(name string) error {
	c, _ := d.e.Find(name)
	var ours, its unix.Stat_t
	if err := unix.Fstat(int(d.view.Dir.Fd()), &ours); err != nil {
		return err
	}
	if err := unix.Stat(fmt.Sprintf("/proc/%d/root/", c.PID), &its); err != nil {
		return err
	}
	if ours.Dev != its.Dev || ours.Ino != its.Ino {
		return fmt.Errorf("the view is of %d:%d, the root is %d:%d", ours.Dev, ours.Ino, its.Dev, its.Ino)
	}
	return nil
}

// exec runs a command in a container and waits for its exit; any but 0 is an error.
func (d *testDaemon) exec(ctx context.Context, name string, command []string) error {
	near, far, err := monitor.NewStatus()
	must(err)
	defer near.Close()
	x, err := d.e.Exec(ctx, name, ExecOptions{Command: command, Status: far, Env: []string{roleVar + "=plain"}})
	far.Close()
	if err != nil {
		return err
	}
	defer x.Pidfd.Close()
	var b [monitor.StatusSize]byte
	n, err := near.Read(b[:])
	must(err)
	s, err := monitor.DecodeStatus(b[:n])
	must(err)
	if s.Code != 0 {
		return fmt.Errorf("exit %d", s.Code)
	}
	return nil
}

// attach attaches somebody to a container, who leaves at once.
func (d *testDaemon) attach(ctx context.Context, name string) error {
	near, far, err := monitor.NewStatus()
	must(err)
	defer near.Close()
	defer far.Close()
	a, err := d.e.Attach(ctx, name, AttachOptions{Status: far})
	if err == nil {
		a.Close()
	}
	return err
}

// endSession has a session begin that nobody waits for, and ends it.
func (d *testDaemon) endSession(ctx context.Context, o order) error {
	x, err := d.e.Exec(ctx, o.Name, ExecOptions{Command: []string{"sleep"}, Env: []string{roleVar + "=plain"}})
	if err != nil {
		return err
	}
	defer x.Pidfd.Close()
	if o.Do == "hangup" {
		return d.e.HangUp(ctx, o.Name, x.Number)
	}
	return d.e.KillSession(ctx, o.Name, x.Number, "")
}

// mend damages a container's record and has it repaired.
func (d *testDaemon) mend(ctx context.Context, name string) error {
	c, _ := d.e.Find(name)
	if err := os.WriteFile(filepath.Join(os.Getenv("HULL_DIR"), "containers", c.ID, recordFile), []byte("{"), 0o600); err != nil {
		return err
	}
	_, err := d.e.Check(ctx, true, func(string) {})
	return err
}

// browse lists the root of a container's view, with owners; with a text, it writes a file of that name first.
func (d *testDaemon) browse(ctx context.Context, name, file string) ([]string, error) {
	v, err := d.e.View(ctx, name)
	if err != nil {
		return nil, err
	}
	defer v.Release()
	if file != "" {
		if err := as(int(v.Base)+7, func() error { // the files' ids are all that there is in it
			fd, err := unix.Openat(int(v.Dir.Fd()), file, unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
			if err != nil {
				return err
			}
			return unix.Close(fd)
		}); err != nil {
			return nil, err
		}
	}
	fd, err := unix.Openat(int(v.Dir.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	dir := os.NewFile(uintptr(fd), "root")
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, n := range names {
		var st unix.Stat_t
		if err := unix.Fstatat(fd, n, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return nil, err
		}
		list = append(list, fmt.Sprintf("%s %d", n, st.Uid-v.Base))
	}
	return list, nil
}

// testReleased tells whether a process of the test launcher has passed its gate: it takes a name then.
func testReleased(pid int) bool {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil || strings.TrimSpace(string(name)) != releasedName {
		return false
	}
	_, err = os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil // a process that has ended keeps its name
}

const releasedName = "released"
