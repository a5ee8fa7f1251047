// Bench times hull beside what users would otherwise run, on this machine, in
// this run, and prints ratios: absolute times mean nothing on shared machines.
//
// Method: the contestants take turns, round by round, so that what else the
// machine does hits all of them alike. A row gives the median of a
// contestant's rounds, the quartiles, its ratio to the median of the row's first
// contestant, and the processor time (user and system, of the whole machine, so
// that daemons and kernel threads are in it) of its median round. Peers that are
// not installed, or that cannot run here, are left out by name, with the reason.
//
// A start is `true` in a container, from nothing until nothing is left of it. hull
// does it by mkdir, reads of status, and rmdir in its tree, or by run --rm; without a pause
// five follow each other in a turn, and the times are of one. "Cold" is
// a mount that makes nothing beforehand (hull mount --warm 0). What the warm one makes
// beforehand, and what hull clears up, it does beside the starts of a turn as far as it
// cannot wait, and else right after, when nobody else has a turn yet; the processor time
// of a turn, and of the sustained rows, has all of it. The C loop makes the
// kernel calls of a start and no others (loop/loop.c), those for an address on a bridge
// among them, if it is not said that it has no network. crun and runc run a bare bundle,
// without image, network, or log, in a mount namespace with version 1 cgroups alone,
// because crun refuses a machine that has both. After a pause, the kernel's grace
// periods take longer. While others run, which are hull's, the numbers of those take
// turns, and the containers are started and removed again before each, and so are as many of the contestant's as are measured
// then; how the C loop
// grows among them is what the kernel itself takes longer.
//
// hull and podman start with their default networks in all rows, docker in those of networks alone, the C loop with a bridge; the others
// have none.
// All of it is in a network namespace of the bench's own, with bridges and rules that nobody else has.
//
// What a start of hull's takes without a network, by profile of the daemon and the children that are the container: a third
// the kernel in the container's own processes, which mount, pivot and execute; a third the kernel for the daemon, which makes
// and removes namespaces, cgroups, an overlay and some twenty small files; a sixth the requests of who makes the
// directory, looks at status and removes it, some fifty, and their context switches; the rest the daemon's own code.
// Go's sysmon, which looked after the other threads every 20 µs, was an eighth of the daemon's before hull's processes let
// the kernel wake them later (sys.Patiently). With others running grows what the kernel looks through: all threads of the
// machine in a pivot_root, all file systems there are when a cgroup ends, all ports of a bridge when one comes or goes. Most of
// that is not in the time of starts that follow each other but in what is made before and cleared away after them, as far
// as there is a moment for it; the sustained rows have none, and there starts wait for it.
// On ext4 without a journal those rows were twice as long after a minute, by the search for inodes, before containers'
// directories were laid far from each other (sys.Spread in engine). Descriptors are not copied for a child, however many
// the daemon has (child.Spawner).
//
// Pulls come from a registry in this process that serves files and nothing else.
// Each begins with an empty store, everything written out and the page cache
// dropped (bench says so where it cannot), and ends when a sync of the whole
// machine has returned. Before the next round all contestants' images are removed, and
// with many files a minute passes: ext4 without a journal takes no inode that was freed
// within one to five, and searches long for others, which would be in the time of whoever
// comes first. (It stays in that of contestants whose new files come to lie where the old
// ones were. Hull's do not, see sys.Spread in layers.) The floor is curl into tar, for all layers at once, each
// into a directory of its own: nothing is verified or kept there. The memory shown is
// the peak of hull's and of docker's daemon (its children not counted), and of
// podman's, skopeo's and umoci's largest process. The slow link is a relay in this
// process, see link.go.
//
// What limits hull's pulls, by profile, with two processors. One large layer: inflating
// is a quarter of the daemon's work, and of its stages the only one that cannot be
// divided; hashing a seventh; the rest the kernel, that copies each compressed byte
// three times (from the socket, into the blob's file, out of it for the unpacker) and
// each other once, and the disk. Six layers: all of that side by side, so the processors
// and then the disk, to which large files begin to go at once and not with the sync.
// Many small files: what the kernel does to make one, half of a pull's processor time;
// in one layer they are made one after the other, while another goroutine fills them.
//
// A log is 200 MB of lines of 36 bytes, that yes and head write in a container, from its start
// until its exit is known. Docker and podman keep theirs without a bound, as they do by
// themselves; hull once so and once within its own, 5 files of 20 MB.
//
// Browsing runs find, grep and tar over an image's rootfs in hull's tree, and over
// an overlay of the same layers that is mounted without hull; once from the disk,
// and once more from memory.
//
// Memory is proportional (PSS): what processes share is divided among them. It is that of all of an engine's processes,
// for hull the monitor, the daemon, and what is made beforehand, and never the containers' own. Beside each container is
// what they have more when so many run than when none does, divided by their number; docker and podman have fewer
// containers, for what each takes does not become less with more of them. At rest and idle is an engine that has made no
// context switch for a second, or had ten seconds for that, which docker never does; one that is watched while it is idle has
// also had time to give memory back. The Go runtime of hull's two processes looks once a minute whether there is something to
// do.
//
// Listed are containers of `true` that have ended, docker's such as were created and never started.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"hull/tests/netns"
)

func main() {
	if err := netns.Enter(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	hull := flag.String("hull", "bin/hull", "the binary to measure")
	rounds := flag.Int("rounds", 0, "how often each contestant runs (0: as the row says)")
	quick := flag.Bool("quick", false, "smaller images and fewer rounds")
	names := flag.String("rows", "", "which rows, by name, with commas between; a prefix is enough (all)")
	only := flag.String("only", "", "which contestants, by the beginnings of their names, with commas between (all)")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: bench [flag ...]")
		flag.PrintDefaults()
		fmt.Fprintln(flag.CommandLine.Output(), "rows:")
		for _, r := range rows() {
			fmt.Fprintf(flag.CommandLine.Output(), "  %-16s %s\n", r.name, r.title)
		}
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, *hull, *rounds, *quick, *names, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, hull string, rounds int, quick bool, names, only string) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("it needs root")
	}
	chosen, err := choose(rows(), names)
	if err != nil {
		return err
	}
	for i := range chosen {
		if err := chosen[i].leave(only); err != nil {
			return err
		}
	}
	path, err := filepath.Abs(hull)
	if err != nil {
		return err
	}
	size := fullSize
	if quick {
		size = quickSize
	}
	s, err := newSetting(ctx, path, size)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for _, r := range chosen {
		n := r.rounds
		if quick {
			n = min(n, 3)
		}
		if rounds > 0 {
			n = rounds
		}
		t, err := r.measure(ctx, s, n)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		t.print(out)
	}
	return nil
}

// rows are all there are. The first contestant is hull, or what hull is to be
// measured by; the others are shown as multiples of it.
func rows() []row {
	all := starting()
	for _, p := range []struct {
		name, title, image string
		rounds             int
		slow               bool
	}{
		{"pull-layers", "pull of an image of 6 layers", imageOfLayers, 5, false},
		{"pull-files", "pull of an image of many small files", imageOfFiles, 5, false},
		{"pull-one", "pull of an image of one large layer", imageOfOne, 3, false},
		{"pull-slow", "pull of an image of 6 layers over 100 Mbit/s with 20 ms", imageOfLayers, 3, true},
	} {
		l := load{image: p.image, slow: p.slow}
		var settle time.Duration
		if p.image == imageOfFiles {
			settle = time.Minute + time.Second
		}
		all = append(all, row{name: p.name, title: p.title, rounds: p.rounds, cold: true, settle: settle, field: []contestant{
			&hullPull{load: l}, &dockerPull{load: l}, &podmanPull{load: l}, &umociPull{load: l}, &curlPull{load: l},
		}})
	}
	return slices.Concat(all, browsing(), []row{logging()}, costing())
}

// leave leaves only those in the field whose names begin so. Rows may share a field.
func (r *row) leave(names string) error {
	if names == "" {
		return nil
	}
	r.field = slices.DeleteFunc(slices.Clone(r.field), func(c contestant) bool {
		return !slices.ContainsFunc(strings.Split(names, ","), func(n string) bool { return strings.HasPrefix(c.name(), n) })
	})
	if len(r.field) == 0 {
		return fmt.Errorf("%s has no contestant %q", r.name, names)
	}
	return nil
}

// clearing is longer than hull, and the kernel, wait before they clear up after a turn.
const clearing = 300 * time.Millisecond

// starting makes the rows of containers' starts.
func starting() []row {
	const title = "`true` in a container: started, its exit known, removed"
	loop := &cLoop{network: true}
	return []row{
		{
			name: "start", title: title, rounds: 8, again: 4, after: clearing,
			field: []contestant{&byTree{}, &byTree{cold: true}, loop, &cLoop{}, &byRun{}, &bundle{program: "crun"}, &bundle{program: "runc"}, &podmanRun{}, &dockerRun{}},
		},
		{
			name: "start-paused", title: title + ", after a pause", rounds: 20, pause: 300 * time.Millisecond, after: clearing,
			field: []contestant{&byTree{}, &byTree{cold: true}, loop, &cLoop{}, &byRun{}, &bundle{program: "crun"}, &bundle{program: "runc"}},
		},
		{
			name: "exec", title: "`true` as a further process of a container", rounds: 20,
			field: []contestant{&hullExec{}, &bundleExec{bundle: bundle{program: "crun"}}, &bundleExec{bundle: bundle{program: "runc"}}, &podmanExec{}, &dockerExec{}},
		},
		{
			name: "exec-paused", title: "the same, after a pause", rounds: 20, pause: 300 * time.Millisecond,
			field: []contestant{&hullExec{}, &bundleExec{bundle: bundle{program: "crun"}}, &bundleExec{bundle: bundle{program: "runc"}}},
		},
		{
			name: "burst", title: title + ", many at once", rounds: 3, after: clearing,
			field: []contestant{
				&atOnce{contestant: &byTree{}}, &atOnce{contestant: &byRun{}}, &atOnce{contestant: &bundle{program: "crun"}},
				&atOnce{contestant: &podmanRun{}}, &atOnce{contestant: &dockerRun{}},
			},
		},
		{
			name: "growth", title: title + ", while others run", rounds: 3, after: clearing,
			field: []contestant{
				&among{contestant: &byTree{}, step: 0}, &among{contestant: loop, step: 0},
				&among{contestant: &byTree{}, step: 1}, &among{contestant: loop, step: 1},
				&among{contestant: &byTree{}, step: 2}, &among{contestant: loop, step: 2},
			},
		},
		{
			name: "start-network", title: title + ", with each one's default network", rounds: 4, again: 4, after: clearing,
			field: []contestant{&byTree{}, &byRun{}, &byRun{network: "none"}, &podmanRun{}, &dockerRun{network: "bridge"}},
		},
		{
			name: "burst-network", title: title + ", with each one's default network, many at once", rounds: 3, after: clearing,
			field: []contestant{
				&atOnce{contestant: &byRun{}}, &atOnce{contestant: &byRun{network: "none"}}, &atOnce{contestant: &podmanRun{}},
				&atOnce{contestant: &dockerRun{network: "bridge"}},
			},
		},
		{name: "sustained-1", title: title + ", one after the other", rounds: 1, field: lasting(1)},
		{name: "sustained-4", title: title + ", four at a time", rounds: 1, field: lasting(4)},
	}
}

func lasting(lanes int) []contestant {
	field := []contestant{&byTree{}, &bundle{program: "crun"}, &podmanRun{}, &dockerRun{}}
	for i, c := range field {
		field[i] = &sustained{contestant: c, lanes: lanes}
	}
	return field
}

// choose picks rows by the beginnings of their names.
func choose(all []row, names string) ([]row, error) {
	if names == "" {
		return all, nil
	}
	var chosen []row
	for n := range strings.SplitSeq(names, ",") {
		found := slices.DeleteFunc(slices.Clone(all), func(r row) bool { return !strings.HasPrefix(r.name, n) })
		if len(found) == 0 {
			return nil, fmt.Errorf("there is no row %q", n)
		}
		chosen = append(chosen, found...)
	}
	return chosen, nil
}
