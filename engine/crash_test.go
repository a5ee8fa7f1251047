package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"hull/engine/network"
	"hull/engine/volume"
)

// fate is what must have become of the container web, after a daemon's death, when all has settled.
type fate struct {
	states []State // any of these; "gone" counts
	env    string
	name   string // empty: web
	code   int    // of an exited one; 0: any
	owner  uint32
	// volumes is how many volumes there must be.
	volumes  int
	networks string // beside the default one, with owner and subnets
	restarts int
}

// TestCrash kills a daemon at every crash point, while it does what passes there, and looks at what the next one makes
// of it: each request is wholly done or wholly undone, and nothing is left over.
func TestCrash(t *testing.T) {
	const none = State("gone")
	sleep := map[string]string{"command": "sleep"}
	type row struct {
		at     point // or several, which are passed one after the other: it dies at the last
		before []order
		do     order
		fate   fate
	}
	create := order{Do: "create", Name: "web", Settings: sleep}
	start := order{Do: "start", Name: "web"}
	run := order{Do: "run", Name: "web", Settings: sleep}
	bad := map[string]string{"command": "badexec"}
	rows := []row{
		{createStaged, nil, create, fate{states: []State{none}}},
		{createCommitted, nil, create, fate{states: []State{Created}}},
		{createListed, nil, create, fate{states: []State{Created}}},
		{createStaged, nil, run, fate{states: []State{none}}},
		{createCommitted, nil, run, fate{states: []State{none}}},
		{limitsApplied, []order{run}, order{Do: "set", Name: "web", Text: "A=1"}, fate{states: []State{Up}}},
		{settingWritten, []order{create}, order{Do: "set", Name: "web", Text: "A=1"}, fate{states: []State{Created}, env: "A=1"}},
		{renameWritten, []order{create}, order{Do: "rename", Name: "web", Text: "www"}, fate{states: []State{Created}, name: "www"}},
		{ownerWritten, []order{create}, order{Do: "chown", Name: "web", Text: "1000"}, fate{states: []State{Created}, owner: 1000}},
		{startFailed, []order{{Do: "create", Name: "web", Settings: bad}}, start, fate{states: []State{Created, Exited}}},
		{startFailed, nil, order{Do: "run", Name: "web", Settings: bad}, fate{states: []State{none, Exited}}},
		{stopSignalled, []order{run}, order{Do: "stop", Name: "web"}, fate{states: []State{Exited}, code: 143}},
		{
			stopKilled,
			[]order{{Do: "run", Name: "web", Settings: map[string]string{"command": "deaf"}}},
			order{Do: "stop", Name: "web"},
			fate{states: []State{Exited}, code: 137},
		},
	}
	for _, p := range []point{recreateNoted, recreateSwapped} {
		rows = append(rows, row{p, []order{create}, order{Do: "recreate", Name: "web"}, fate{states: []State{Created}}})
	}
	for _, p := range []point{startLeased, startNoted, startCgroup, startPlugged, startParked, startAdopted} {
		rows = append(rows, row{p, []order{create}, start, fate{states: []State{Created}}},
			row{p, nil, run, fate{states: []State{none}}})
	}
	// What a container keeps of networks it has again whatever happens, and what a start took in vain nobody has.
	served := order{Do: "run", Name: "web", Settings: map[string]string{"command": "sleep", "ports": "8080:80"}}
	rows = append(rows, row{startPublished, nil, served, fate{states: []State{none}}},
		row{startPublished, []order{served, {Do: "stop", Name: "web"}}, start, fate{states: []State{Exited}}},
		row{startPlugged, []order{served, {Do: "stop", Name: "web"}}, start, fate{states: []State{Exited}}},
		row{startReleased, nil, served, fate{states: []State{Up}}},
		row{exitUnplugged, []order{served}, order{Do: "restart", Name: "web"}, fate{states: []State{Up}}},
		row{removeRenamed, []order{served}, order{Do: "remove", Name: "web"}, fate{states: []State{none}}})
	for _, p := range []point{startReleased, startWritten, startKept} {
		rows = append(rows, row{p, []order{create}, start, fate{states: []State{Up}}},
			row{p, nil, run, fate{states: []State{Up}}})
	}
	for _, p := range []point{exitWritten, exitForgotten, exitUnplugged, exitTidied} {
		rows = append(rows, row{p, []order{run}, order{Do: "kill", Name: "web", Text: "KILL"}, fate{states: []State{Exited}, code: 137}})
	}
	for _, p := range []point{stopSignalled, exitWritten, exitForgotten, exitTidied, startNoted, startAdopted, startReleased} {
		rows = append(rows, row{p, []order{run}, order{Do: "restart", Name: "web"}, fate{states: []State{Up}}})
	}
	for _, p := range []point{exitWritten, removeRenamed, removeReleased, removeDeleted} {
		rows = append(rows, row{p, []order{run}, order{Do: "remove", Name: "web"}, fate{states: []State{none}}})
	}
	// A volume that a start makes is gone with a container that never was, and stays with one that was made before.
	named := order{Do: "run", Name: "web", Settings: map[string]string{"command": "sleep", "mounts": "v:/files"}}
	nameless := order{Do: "run", Name: "web", Settings: map[string]string{"command": "sleep", "mounts": "/files"}}
	made := func(o order) order { o.Do = "create"; return o }
	for _, p := range []point{volume.PointStaged, volume.PointMade, volume.PointCopied, volume.PointFilled} {
		rows = append(rows, row{p, nil, named, fate{states: []State{none}}})
	}
	rows = append(rows, row{volumesNamed, nil, nameless, fate{states: []State{none}}},
		row{volumesNamed, []order{made(nameless)}, start, fate{states: []State{Created}}},
		row{volume.PointMade, nil, nameless, fate{states: []State{none}}},
		row{volume.PointMade, []order{made(named)}, start, fate{states: []State{Created}, volumes: 1}},
		row{volume.PointFilled, []order{made(named)}, start, fate{states: []State{Created}, volumes: 1}},
		row{startAdopted, nil, named, fate{states: []State{none}}},
		// One that has run leaves its volumes.
		row{removeReleased, []order{nameless}, order{Do: "remove", Name: "web"}, fate{states: []State{none}, volumes: 1}})
	thrown := order{Do: "run", Name: "web", Settings: map[string]string{"command": "sleep", "mounts": "/files", "auto_remove": "true"}}
	for _, p := range []point{exitWritten, removeRenamed, removeReleased, volume.PointRemoved} {
		rows = append(rows, row{p, []order{thrown}, order{Do: "kill", Name: "web", Text: "KILL"}, fate{states: []State{none}}})
	}
	for _, p := range []point{volume.PointEmptied, volume.PointRemoved} {
		rows = append(rows, row{p, []order{{Do: "volume", Name: "v"}}, order{Do: "unvolume", Name: "v"}, fate{states: []State{none}}})
	}
	rows = append(rows, row{volume.PointStaged, nil, order{Do: "volume", Name: "v"}, fate{states: []State{none}}},
		row{volume.PointMade, nil, order{Do: "volume", Name: "v"}, fate{states: []State{none}, volumes: 1}})
	// What a restart policy has begun, the next daemon goes on with, and counts it once.
	failing := order{Do: "run", Name: "web", Settings: map[string]string{"command": "exit 1", "restart": "on-failure:2"}}
	twice := fate{states: []State{Exited}, code: 1, restarts: 2}
	for _, p := range []point{restartNoted, restartDue} {
		rows = append(rows, row{p, nil, failing, twice})
	}
	for _, p := range []point{startNoted, startCgroup, startParked, startAdopted, startReleased, startWritten, exitWritten, exitForgotten, exitTidied} {
		rows = append(rows, row{restartDue + " > " + p, nil, failing, twice})
	}
	up := fate{states: []State{Up}}
	for _, do := range []string{"pause", "still"} {
		rows = append(rows, row{pauseNoted, []order{run}, order{Do: do, Name: "web"}, up},
			row{pauseFrozen, []order{run}, order{Do: do, Name: "web"}, up})
	}
	pause, still := order{Do: "pause", Name: "web"}, order{Do: "still", Name: "web"}
	rows = append(rows, row{pauseWritten, []order{run}, pause, fate{states: []State{Paused}}},
		row{pauseWritten, []order{run}, still, up}) // it was to last as long as the daemon's work
	for _, before := range []order{pause, still} {
		for _, p := range []point{unpauseNoted, unpauseThawed} {
			rows = append(rows, row{p, []order{run, before}, order{Do: "unpause", Name: "web"}, up})
		}
	}
	// Nothing of a session is left: its process goes with whoever waits for it.
	for _, p := range []point{execMade, execAdopted, execRunning} {
		rows = append(rows, row{p, []order{run}, order{Do: "exec", Name: "web", Text: "sleep"}, up})
	}
	rows = append(rows, row{attachTaken, []order{run}, order{Do: "attach", Name: "web"}, up})
	for _, do := range []string{"killsession", "hangup"} {
		rows = append(rows, row{sessionTold, []order{run}, order{Do: do, Name: "web"}, up})
	}
	rows = append(rows, row{killSent, []order{run}, order{Do: "kill", Name: "web", Text: "KILL"}, fate{states: []State{Exited}, code: 137}},
		row{checkMended, []order{create}, order{Do: "mend", Name: "web"}, fate{states: []State{Created}}},
		row{volume.PointGiven, []order{{Do: "volume", Name: "v"}}, order{Do: "chownvolume", Name: "v"}, fate{states: []State{none}, volumes: 1}})
	net := order{Do: "network", Name: "backend"}
	rows = append(rows, row{network.PointRecorded, nil, net, fate{states: []State{none}, networks: "backend of 0"}},
		row{network.PointErased, []order{net}, order{Do: "unnetwork", Name: "backend"}, fate{states: []State{none}}},
		row{network.PointRecorded, []order{net}, order{Do: "chownnetwork", Name: "backend"}, fate{states: []State{none}, networks: "backend of 1000"}},
		row{network.PointRecorded, []order{net}, order{Do: "subnet", Name: "backend", Text: "10.201.7.0/24"}, fate{states: []State{none}, networks: "backend of 0 with 10.201.7.0/24"}})
	seen, tried := map[point]bool{}, map[string]map[point]bool{}
	for _, row := range rows {
		seen[row.at] = true
		verb := verbOf[row.do.Do]
		if tried[verb] == nil {
			tried[verb] = map[point]bool{}
		}
		tried[verb][row.at] = true
		t.Run(fmt.Sprintf("%s/%s", row.do.Do, row.at), func(t *testing.T) {
			r := newRealm(t, "")
			if err := os.MkdirAll(filepath.Join(r.dir, "files", "of", "the image"), 0o755); err != nil {
				t.Fatal(err)
			}
			for _, o := range row.before {
				r.well(o)
			}
			r.well(order{Do: "arm", Text: string(row.at)})
			if row.do.Do == "kill" || row.do.Do == "remove" || row.fate.restarts > 0 {
				r.diesLater(row.do)
			} else {
				r.dies(row.do)
			}
			r.settled(row.fate)
			if r.is("gone") { // the name is free, and all that the old one had
				r.well(run)
			}
		})
	}
	for _, p := range points() {
		if !seen[p] {
			t.Errorf("nothing comes by %s", p)
		}
	}
	for verb, list := range crashVerbs {
		for _, p := range list {
			if !tried[verb][p] {
				t.Errorf("%s is not tried at %s", verb, p)
			}
		}
	}
}

// diesLater is dies for what may answer before the daemon dies of it.
func (r *realm) diesLater(o order) {
	r.t.Helper()
	if err := r.script.send(o); err != nil {
		r.t.Fatal(err)
	}
	for {
		var a answer
		if err := r.script.receive(&a); err != nil {
			r.t.Fatal(err)
		}
		if a.Up != 0 {
			r.daemon = a.Up
			return
		}
	}
}

func (r *realm) is(s State) bool {
	a := r.well(order{Do: "list"})
	return s == "gone" && len(a.Containers) == 0
}

// settled waits until the container is what it must be, and checks that nothing else is there.
func (r *realm) settled(f fate) {
	r.t.Helper()
	name := f.name
	if name == "" {
		name = "web"
	}
	a := r.until(fmt.Sprintf("%+v", f), func(a answer) bool {
		if !r.clean(a) || len(a.Volumes) != f.volumes || a.Networks != f.networks {
			return false
		}
		for _, s := range f.states {
			if s == "gone" && len(a.Containers) == 0 {
				return true
			}
			if len(a.Containers) == 1 && a.Containers[0].State == s && a.Containers[0].Name == name {
				return true
			}
		}
		return false
	})
	for _, c := range a.Containers {
		if c.Env != f.env || c.Owner != f.owner || c.Restarts != f.restarts || f.code != 0 && c.Code != f.code {
			r.t.Errorf("%+v; wanted %+v", c, f)
		}
	}
}

// clean tells whether the store has the listed containers' directories and nothing else, the networks have what they
// have there, and the monitor holds those that live.
func (r *realm) clean(a answer) bool {
	listed, live := map[string]bool{}, 0
	var own foundLinks
	for _, c := range a.Containers {
		listed[c.ID] = true
		own.Places += c.Places
		own.Ports += c.Ports
		if c.State.Alive() {
			live++
			own.Plugged += c.Places
		}
	}
	if a.Links != nil && *a.Links != own {
		return false
	}
	entries, err := os.ReadDir(filepath.Join(r.dir, "containers"))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range entries {
		if !listed[e.Name()] {
			return false
		}
	}
	volumes, err := os.ReadDir(filepath.Join(r.dir, "volumes"))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, v := range volumes {
		files, err := os.ReadDir(filepath.Join(r.dir, "volumes", v.Name())) // its record and its data
		if err != nil || len(files) != 2 || !slices.Contains(a.Volumes, v.Name()) {
			return false
		}
	}
	return len(entries) == len(listed) && len(a.Held) == live && len(volumes) == len(a.Volumes)
}

// A daemon killed at any time leaves containers running, and their output and exit codes whole.
func TestDaemonKilled(t *testing.T) {
	r := newRealm(t, "")
	r.well(order{Do: "run", Name: "web", Settings: map[string]string{"command": "sleep"}})
	before := r.well(order{Do: "list"}).Containers[0]
	for range 3 {
		r.kill()
		if got := r.well(order{Do: "list"}).Containers[0]; got != before {
			t.Fatalf("%+v was %+v", got, before)
		}
	}
	r.well(order{Do: "exec", Name: "web", Text: "exit 0"})
	r.well(order{Do: "stop", Name: "web"})
	r.settled(fate{states: []State{Exited}})
}

func TestCrashPoints(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range CrashPoints() {
		if seen[p] || p == "" {
			t.Errorf("%q is there twice", p)
		}
		seen[p] = true
	}
}
