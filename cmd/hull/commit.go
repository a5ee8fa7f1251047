package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"hull/engine"
	"hull/engine/network"
	"hull/fs"
	"hull/layers"
)

// Commit makes an image of what a container has changed, with its settings. A
// running one is frozen meanwhile, so that no file is caught half written.
func (c containers) Commit(ctx context.Context, id, ref string) error {
	x, ok := c.engine.Find(id)
	if !ok {
		return c.gone(id)
	}
	object := "containers/" + x.Name
	if x.ImageID == "" {
		return &fs.Error{Op: "commit", Object: object, Kind: fs.NotRunning, Sentence: "The container " + x.Name + " has never been started, so there is nothing of it to make an image of."}
	}
	// Where the engine keeps it: see the package's documentation.
	upper, err := os.Open(filepath.Join(c.dir, "containers", x.ID, "disk"))
	if err != nil {
		return &fs.Error{Op: "commit", Object: object, Kind: fs.System, Sentence: "The container's files cannot be read: " + err.Error(), Err: err}
	}
	defer upper.Close()
	if x.State == engine.Up {
		if err := c.engine.Still(ctx, id); err != nil {
			return c.failed(id, err)
		}
	}
	_, err = c.store.Commit(ctx, ref, layers.CommitOptions{
		Base: x.ImageID, Upper: upper, Container: x.ID, Places: engine.Places(), Edit: edit(x), By: uid(ctx),
	})
	if x.State == engine.Up {
		// Whatever became of the caller, it runs on.
		if e := c.engine.Unpause(context.WithoutCancel(ctx), id); e != nil && engine.KindOf(e) != engine.NotRunning && err == nil {
			err = e
			return c.failed(id, err)
		}
	}
	return fromStore(object, err)
}

// edit puts a container's settings into the config of its image: what was set
// replaces, variables, labels, ports and the volumes of -v that have no name are added.
func edit(x *engine.Container) func(*v1.Config) {
	set := map[string]any{}
	for _, row := range engine.Settings() {
		if v, err := row.Parse(x.Settings[row.Name]); err == nil && v != nil {
			set[row.Name] = v
		}
	}
	text := func(name string, to *string) {
		if s, ok := set[name].(string); ok && s != "" {
			*to = s
		}
	}
	return func(c *v1.Config) {
		if words, ok := set["entrypoint"].([]string); ok {
			c.Entrypoint, c.Cmd = words, nil // as docker: the image's command was for its own
		}
		if words, ok := set["command"].([]string); ok {
			c.Cmd = words
		}
		text("user", &c.User)
		text("workdir", &c.WorkingDir)
		text("stop_signal", &c.StopSignal)
		if env, ok := set["env"].([]string); ok {
			c.Env = withVariables(env, c.Env)
		}
		list := func(name string) []string { l, _ := set[name].([]string); return l }
		c.ExposedPorts = withNames(c.ExposedPorts, portNames(slices.Concat(
			engine.ExposedPorts(list("expose")), engine.PublishedPorts(list("ports")))))
		c.Volumes = withNames(c.Volumes, engine.UnnamedVolumes(list("mounts")))
		if own, ok := set["labels"].([]string); ok {
			labels := maps.Clone(c.Labels)
			if labels == nil {
				labels = map[string]string{}
			}
			for _, l := range own {
				name, value, _ := strings.Cut(l, "=")
				labels[name] = value
			}
			c.Labels = labels
		}
	}
}

// portNames are ports as the config of an image names them.
func portNames(ports []network.Port) []string {
	var names []string
	for _, p := range ports {
		names = append(names, fmt.Sprintf("%d/%s", p.Port, p.Proto))
	}
	return names
}

// withNames is a set of an image with names more; what the image has is not changed.
func withNames(set map[string]struct{}, names []string) map[string]struct{} {
	if len(names) == 0 {
		return set
	}
	all := make(map[string]struct{}, len(set)+len(names))
	maps.Copy(all, set)
	for _, name := range names {
		all[name] = struct{}{}
	}
	return all
}

// withVariables are a container's own variables and then those of its image that it
// does not set, as Docker orders them: of its own of one name the last counts.
func withVariables(own, image []string) []string {
	name := func(item string) string { name, _, _ := strings.Cut(item, "="); return name }
	var env []string
	for _, item := range own {
		same := func(s string) bool { return name(s) == name(item) }
		if i := slices.IndexFunc(env, same); i >= 0 {
			env[i] = item
		} else {
			env = append(env, item)
		}
	}
	for _, item := range image {
		if !slices.ContainsFunc(env, func(s string) bool { return name(s) == name(item) }) {
			env = append(env, item)
		}
	}
	return env
}
