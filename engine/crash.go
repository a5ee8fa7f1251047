package engine

import (
	"slices"

	"hull/engine/network"
	"hull/engine/volume"
)

// point is a place between two steps at which a daemon may die. What it leaves there, the next Open must finish or undo.
type point string

// The crash points, in the order in which a container's life comes to them.
const (
	createStaged    point = "create staged"    // the directory .new-<id> is complete
	createCommitted point = "create committed" // it is renamed
	createListed    point = "create listed"    // it can be found

	limitsApplied  point = "limits applied"  // a run has other limits than its record says
	settingWritten point = "setting written" // the record on disk has the value, the snapshot has not
	renameWritten  point = "rename written"  // the record has the new name, the index the old
	ownerWritten   point = "owner written"   // the record has the new owner, the snapshot has not

	volumesNamed   point = "volumes named"   // the record names the volumes of a start, some of which are not there yet
	startLeased    point = "start leased"    // the container has its places on networks, which nothing on disk says
	startPlugged   point = "start plugged"   // its links are there
	startPublished point = "start published" // its ports are the host's

	startNoted    point = "start noted"    // state.json says that a start is under way
	startCgroup   point = "start cgroup"   // the cgroup exists
	startParked   point = "start parked"   // the first process is being made what it is to be
	startAdopted  point = "start adopted"  // the monitor has it, and it is not to run the command yet
	startReleased point = "start released" // it runs the command
	startWritten  point = "start written"  // state.json says running
	startKept     point = "start kept"     // the record of a new container is no longer provisional
	startFailed   point = "start failed"   // the command could not be run, the attempt is not tidied up

	pauseNoted    point = "pause noted"    // state.json says that whoever comes next is to thaw it
	pauseFrozen   point = "pause frozen"   // it is frozen
	pauseWritten  point = "pause written"  // state.json says paused
	unpauseNoted  point = "unpause noted"  // state.json says that it is being thawed
	unpauseThawed point = "unpause thawed" // it runs on

	execMade    point = "exec made"    // the process of a session is there, and nobody knows
	execAdopted point = "exec adopted" // the monitor has it, and it is not to run the command yet
	execRunning point = "exec running" // it runs the command
	sessionTold point = "session told" // a session's process has been sent a signal, or is being hung up
	attachTaken point = "attach taken" // the monitor has who is attached, who does not know of it

	killSent      point = "kill sent"      // the signal is sent
	stopSignalled point = "stop signalled" // the stop signal is sent
	stopKilled    point = "stop killed"    // the grace is over, SIGKILL is sent
	exitWritten   point = "exit written"   // state.json has the exit
	exitForgotten point = "exit forgotten" // the monitor has dropped the container
	exitUnplugged point = "exit unplugged" // its links and ports are gone
	exitTidied    point = "exit tidied"    // cgroup and id range are given back

	restartNoted point = "restart noted" // state.json says that the policy is to start it
	restartDue   point = "restart due"   // the back-off is over

	recreateNoted   point = "recreate noted"   // the record says that the layer is to be replaced
	recreateSwapped point = "recreate swapped" // the new layer is in its place, the old one beside it

	checkMended point = "check mended" // a damaged record is written anew

	removeRenamed  point = "remove renamed"  // the directory is .gone-<id>
	removeReleased point = "remove released" // the image is given back
	removeDeleted  point = "remove deleted"  // the files are deleted
)

func points() []point {
	list := []point{
		createStaged, createCommitted, createListed, limitsApplied, settingWritten, renameWritten, ownerWritten,
		volumesNamed, startLeased, startPlugged, startPublished, startNoted, startCgroup, startParked, startAdopted, startReleased, startWritten, startKept, startFailed,
		pauseNoted, pauseFrozen, pauseWritten, unpauseNoted, unpauseThawed,
		execMade, execAdopted, execRunning, sessionTold, attachTaken, killSent, checkMended,
		stopSignalled, stopKilled, exitWritten, exitForgotten, exitUnplugged, exitTidied,
		restartNoted, restartDue, recreateNoted, recreateSwapped, removeRenamed, removeReleased, removeDeleted,
	}
	for _, p := range []string{network.PointRecorded, network.PointErased} {
		list = append(list, point(p))
	}
	for _, p := range volume.Points() {
		list = append(list, point(p))
	}
	return list
}

// CrashPoints lists the names Options.Crash is called with, for tests that kill a daemon at each.
func CrashPoints() []string {
	var names []string
	for _, p := range points() {
		names = append(names, string(p))
	}
	return slices.Clip(names)
}

// crash tells a test that a point is reached.
func (e *Engine) crash(p point) {
	if e.o.Crash != nil {
		e.o.Crash(string(p))
	}
}
