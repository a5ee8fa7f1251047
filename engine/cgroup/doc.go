// Package cgroup makes, limits, measures, freezes, empties and removes the control groups of containers.
//
// A host has its cgroups in one of three ways: version 1, a file system for each controller or few; version 2, one for
// all; or hybrid, both, with each controller in one of them. Detect finds out which from /proc alone and writes nothing.
// In hybrid mode version 2 is left out when version 1 has the devices controller and every limit's: an attach to each
// hierarchy costs time, and there is nothing that version 2 would add.
//
// Limits mean the same in both versions, and the same as docker run's. One that would take memory away from processes
// that use it is refused, as version 1 does by itself; version 2 would kill for it.
//
// Groups live in hull/TREE/CONTAINER below this process's own cgroup in each hierarchy, so that whatever limits hull
// limits its containers. Version 2 lets no cgroup but the root have both processes and controlled children; there they
// are below the nearest cgroup above this process's own that can have them, and are handed every controller there is.
//
// TREE is the name of one hull mount: Sweep never touches another's groups. Processes get into a group by themselves, by
// writing "0" to the files of Join (an attach of another process waits for a grace period of the kernel, 5 to 40 ms; of
// oneself 0.3 ms), or, in version 2, where that waits too, by being born there.
//
// The files are only ever named by this package from ids that it has checked; nothing a container can reach is followed.
package cgroup
