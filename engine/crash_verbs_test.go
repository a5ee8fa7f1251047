package engine

import (
	"reflect"
	"slices"
	"testing"

	"hull/engine/network"
	"hull/engine/volume"
)

// crashVerbs is every method of the engine that changes something which outlives the daemon, and the points that it
// comes by between its steps. TestCrash kills a daemon at each of them.
var crashVerbs = map[string][]point{
	"Create":        {createStaged, createCommitted, createListed, startLeased, startPublished, startNoted, startCgroup, startPlugged, startParked, startAdopted, startReleased, startWritten, startKept, startFailed, volumesNamed, volume.PointStaged, volume.PointMade, volume.PointCopied, volume.PointFilled},
	"Start":         {startLeased, startPublished, startNoted, startCgroup, startPlugged, startParked, startAdopted, startReleased, startWritten, startKept, startFailed, volumesNamed, volume.PointMade, volume.PointFilled},
	"Stop":          {stopSignalled, stopKilled},
	"Restart":       {stopSignalled, exitWritten, exitForgotten, exitUnplugged, exitTidied, startNoted, startAdopted, startReleased},
	"Kill":          {killSent, exitWritten, exitForgotten, exitUnplugged, exitTidied},
	"Pause":         {pauseNoted, pauseFrozen, pauseWritten},
	"Still":         {pauseNoted, pauseFrozen, pauseWritten},
	"Unpause":       {unpauseNoted, unpauseThawed},
	"Rename":        {renameWritten},
	"Set":           {limitsApplied, settingWritten},
	"Chown":         {ownerWritten},
	"Recreate":      {recreateNoted, recreateSwapped},
	"Remove":        {exitWritten, removeRenamed, removeReleased, removeDeleted},
	"Exec":          {execMade, execAdopted, execRunning},
	"Attach":        {attachTaken},
	"KillSession":   {sessionTold},
	"HangUp":        {sessionTold},
	"CreateVolume":  {volume.PointStaged, volume.PointMade},
	"RemoveVolume":  {volume.PointEmptied, volume.PointRemoved},
	"ChownVolume":   {volume.PointGiven},
	"CreateNetwork": {network.PointRecorded},
	"RemoveNetwork": {network.PointErased},
	"ChownNetwork":  {network.PointRecorded},
	"SetSubnet":     {network.PointRecorded},
	"Check":         {checkMended},
}

// sameVerb are those that do what another one does, and by the same steps.
var sameVerb = map[string]string{
	"Run":     "Create", // and attaches, as Attach does
	"StopAll": "Stop",
	"KillAll": "Stop",
}

// readers change nothing, or nothing that outlives the daemon.
var readers = []string{
	"Changes", "Close", "Commands", "Find", "FindNetwork", "FindVolume", "Get", "Inspect", "KnownVolumeSize", "List", "Logs",
	"MayGive", "NetworkUsers", "Networks", "NewName", "OwnView", "Processes", "SpareNetwork", "SpareVolume", "Stats", "Traffic", "View", "ViewVolume", "VolumeSize", "Volumes",
	"Wait", "WeighVolume",
}

// verbOf is the method that an order of these tests calls.
var verbOf = map[string]string{
	"create": "Create", "run": "Create", "start": "Start", "stop": "Stop", "restart": "Restart", "kill": "Kill",
	"pause": "Pause", "still": "Still", "unpause": "Unpause", "rename": "Rename", "set": "Set", "chown": "Chown",
	"recreate": "Recreate", "remove": "Remove", "exec": "Exec", "attach": "Attach", "killsession": "KillSession", "hangup": "HangUp",
	"volume": "CreateVolume", "unvolume": "RemoveVolume", "chownvolume": "ChownVolume", "mend": "Check",
	"network": "CreateNetwork", "unnetwork": "RemoveNetwork", "chownnetwork": "ChownNetwork", "subnet": "SetSubnet",
}

// TestEveryVerbHasCrashPoints: a method that is new must be given its points, or be said to change nothing.
func TestEveryVerbHasCrashPoints(t *testing.T) {
	engine := reflect.TypeFor[*Engine]()
	named := map[string]int{}
	for verb, list := range crashVerbs {
		named[verb]++
		if len(list) == 0 {
			t.Errorf("%s has no crash point", verb)
		}
		for _, p := range list {
			if !slices.Contains(points(), p) {
				t.Errorf("%s comes by %s, which is none of the points", verb, p)
			}
		}
	}
	for verb, as := range sameVerb {
		named[verb]++
		if len(crashVerbs[as]) == 0 {
			t.Errorf("%s is like %s, which has no crash point", verb, as)
		}
	}
	for _, name := range readers {
		named[name]++
	}
	for m := range engine.Methods() {
		if named[m.Name] != 1 {
			t.Errorf("the engine's %s stands %d times in the tables of crashVerbs, sameVerb and readers", m.Name, named[m.Name])
		}
		delete(named, m.Name)
	}
	for name := range named {
		t.Errorf("the engine has no %s", name)
	}
}
