package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"hull/cmd/hull/verb"
	"hull/engine"
	tree "hull/fs"
	"hull/fs/journal"
	"hull/fs/session"
	"hull/layers"
)

// upkeep looks after the store: what the root's ctl and prune ask for.
type upkeep struct{ *daemon }

// Check fails if something in the store is not what it should be.
func (u upkeep) Check(ctx context.Context) error {
	found := findings{tell: u.told(ctx, "check")}
	flaws, err := u.store.Check(ctx, found.add)
	if err != nil {
		return fromStore("", err)
	}
	more, err := u.beside(ctx, false, found.add)
	if err != nil || flaws+more == 0 {
		return err
	}
	return &tree.Error{
		Op: "check", Kind: tree.Corrupt,
		Sentence: fmt.Sprintf("The store has %s: %s. Write repair to ctl.", plural(flaws+more, "flaw"), found.text()),
	}
}

// Repair fails if something is left that cannot be mended.
func (u upkeep) Repair(ctx context.Context) error {
	found := findings{tell: u.told(ctx, "repair")}
	left, err := u.store.Repair(ctx, keychain(uid(ctx)), found.add)
	if err != nil {
		return fromStore("", err)
	}
	more, err := u.beside(ctx, true, found.add)
	if err != nil || left+more == 0 {
		return err
	}
	return &tree.Error{
		Op: "repair", Kind: tree.Corrupt,
		Sentence: fmt.Sprintf("The store still has %s: %s.", plural(left+more, "flaw"), found.text()),
	}
}

// beside looks at what is beside the images: the containers' records and what is known
// of registries.
func (u upkeep) beside(ctx context.Context, mend bool, report func(string)) (flaws int, err error) {
	flaws, err = u.engine.Check(ctx, mend, report)
	if err != nil {
		return flaws, fromEngine("", err)
	}
	more, err := u.book.Check(mend, report)
	return flaws + more, fromRegistry("", err)
}

// told writes a line of a report into the events.
func (u upkeep) told(ctx context.Context, action string) func(line string) {
	by := uid(ctx)
	return func(line string) {
		u.record(journal.Event{Type: "store", Action: action, UID: &by, Cause: string(engine.Asked), Extra: map[string]string{"found": line}})
	}
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// findings are the first lines of a report; a sentence holds no more. The events have
// all.
type findings struct {
	lines []string
	tell  func(line string)
}

const mostFindings = 5

func (f *findings) add(line string) {
	f.tell(line)
	if len(f.lines) <= mostFindings {
		f.lines = append(f.lines, strings.TrimRight(line, ".\n"))
	}
}

func (f *findings) text() string {
	if len(f.lines) > mostFindings {
		return strings.Join(f.lines[:mostFindings], "; ") + "; and more"
	}
	return strings.Join(f.lines, "; ")
}

// Prune removes what nobody uses.
func (u upkeep) Prune(ctx context.Context, what string, all bool) error {
	_, err := u.prune(ctx, what, all, false)
	return err
}

// Run reads the flags as the program does, less those that are about the caller's
// files and environment, which are not the daemon's to read.
func (u upkeep) Run(ctx context.Context, line string) error {
	words, err := shellWords(line)
	if err != nil {
		return &tree.Error{Op: "run", Kind: tree.Invalid, Sentence: err.Error(), Err: err}
	}
	flags := slices.DeleteFunc(runFlags(), func(f verb.Flag) bool { return f.Kind == verb.EnvFile })
	by, _ := tree.By(ctx)
	c := &session.Call{Verb: session.Verb{Kind: "run", Name: "run"}, By: session.Credential(by)}
	if c.Options, c.Args, err = verb.Parse(words, flags); err == nil {
		err = verbs(u).runDetached(ctx, c)
	}
	return fromVerb("run", err)
}

// shellWords reads a line in shell quoting, as the setting command does.
func shellWords(line string) ([]string, error) {
	row, ok := engine.FindSetting("command")
	if !ok {
		return nil, errors.New("there is no setting for a command")
	}
	v, err := row.Parse(line)
	if err != nil {
		return nil, err
	}
	words, _ := v.([]string)
	return words, nil
}

// prune removes what is named, or with dry only says what would go, and tells it in
// lines.
func (u upkeep) prune(ctx context.Context, what string, all, dry bool) (string, error) {
	var lines []string
	var bytes int64
	switch what {
	case "containers", "images", "networks", "volumes", "all":
	default:
		return "", &tree.Error{Op: "prune", Kind: tree.Invalid, Sentence: fmt.Sprintf("prune takes containers, images, networks, volumes or all, not %q.", what)}
	}
	if what == "volumes" {
		var err error
		if lines, bytes, err = u.pruneVolumes(ctx, all, dry); err != nil {
			return "", err
		}
	}
	var leaving []string
	if what == "containers" || what == "all" {
		stopped := u.stopped()
		for _, c := range stopped {
			leaving = append(leaving, c.ID)
		}
		defer u.store.Linger(leaving)() // they are told among the images
		gone, n, err := u.pruneContainers(ctx, stopped, dry)
		if err != nil {
			return "", err
		}
		lines, bytes = append(lines, gone...), bytes+n
	}
	if what == "networks" || what == "all" {
		gone, err := u.pruneNetworks(ctx, leaving, dry)
		if err != nil {
			return "", err
		}
		lines = append(lines, gone...)
	}
	if what != "volumes" && what != "networks" { // with containers go the images that only they keep
		gone, n, err := u.pruneImages(ctx, layers.PruneOptions{All: all, Unheld: what == "containers", DryRun: dry, Leaving: leaving})
		if err != nil {
			return "", err
		}
		lines, bytes = append(lines, gone...), bytes+n
	}
	word := "Total reclaimed space: "
	if dry {
		word = "Would be reclaimed: "
		for i, l := range lines { // "Deleted: …"
			lines[i] = "Would be " + strings.ToLower(l[:1]) + l[1:]
		}
	}
	return strings.Join(append(lines, word+readable(bytes)), "\n") + "\n", nil
}

// stopped are the containers that do not run.
func (u upkeep) stopped() []*engine.Container {
	return slices.DeleteFunc(u.engine.List(), func(c *engine.Container) bool {
		return c.State.Alive() || c.State == engine.Waiting || c.State == engine.Restarting
	})
}

// pruneContainers removes containers that do not run.
func (u upkeep) pruneContainers(ctx context.Context, stopped []*engine.Container, dry bool) (lines []string, bytes int64, err error) {
	for _, c := range stopped {
		n := weight(filepath.Join(u.Store, "containers", c.ID))
		if !dry {
			err := u.engine.Remove(ctx, c.ID, false)
			switch {
			case engine.KindOf(err) == engine.Running, engine.KindOf(err) == engine.Removed:
				continue // somebody has started or removed it meanwhile
			case err != nil:
				return lines, bytes, fromEngine("containers/"+c.Name, err)
			}
		}
		lines, bytes = append(lines, "Deleted: container "+c.Name), bytes+n
	}
	return lines, bytes, nil
}

// pruneImages removes images, and the places of those that never came.
func (u upkeep) pruneImages(ctx context.Context, o layers.PruneOptions) (lines []string, bytes int64, err error) {
	o.By = uid(ctx)
	r, err := u.store.Prune(ctx, o)
	if err != nil {
		return nil, 0, fromStore("", err)
	}
	for _, kind := range []struct {
		word  string
		names []string
	}{{"Untagged: ", r.Untagged}, {"Dropped: ", r.Dropped}, {"Deleted: ", r.Deleted}} {
		for _, name := range kind.names {
			lines = append(lines, kind.word+name)
		}
	}
	return lines, r.Bytes, nil
}

// weight is how many bytes the files below a directory have. What cannot be seen
// does not count.
func weight(dir string) int64 {
	var n int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil //nolint:nilerr // it may be going at this moment
		}
		if st, err := d.Info(); err == nil {
			n += st.Size()
		}
		return nil
	})
	return n
}

// prune is the verb.
func (v verbs) prune(ctx context.Context, c *session.Call) (*session.Answer, error) {
	if len(c.Args) != 1 {
		return nil, errors.New("prune takes what to prune: prune [-n] [-a] containers|images|networks|volumes|all")
	}
	if err := v.tree.MayPrune(tree.Credential(c.By), c.Args[0]); err != nil {
		return nil, err
	}
	text, err := upkeep(v).prune(ctx, c.Args[0], on(c, "all"), on(c, "dry-run"))
	if err != nil {
		return nil, err
	}
	return &session.Answer{Text: text}, nil
}

// readable is a number of bytes as docker prints it: 14.4MB.
func readable(n int64) string {
	f, unit := float64(n), 0
	units := []string{"B", "kB", "MB", "GB", "TB", "PB"}
	for f >= 1000 && unit < len(units)-1 {
		f, unit = f/1000, unit+1
	}
	return fmt.Sprintf("%.4g%s", f, units[unit])
}
