package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"hull/engine/plan"
	"hull/engine/seccomp"
)

// The settings that say what a container's processes may do: their values, and which of them are root's alone to give.

// anyValue is for a setting that only root may use at all.
func anyValue(v any) bool {
	items, list := v.([]string)
	return !list || len(items) > 0
}

func isTrue(v any) bool { b, _ := v.(bool); return b }

// allCapabilities stands for every capability there is.
const allCapabilities = "ALL"

// parseCapabilities takes names with or without CAP_, in any case, and answers them as the kernel writes them.
func parseCapabilities(value string) (any, error) {
	items, err := parseList(value)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(items))
	for _, item := range items {
		name := strings.ToUpper(strings.TrimSpace(item))
		if name == allCapabilities {
			names = append(names, name)
			continue
		}
		mask, err := plan.CapabilityMask([]string{name})
		if err != nil {
			return nil, fmt.Errorf("there is no capability %q; capabilities(7) lists them", clip(item))
		}
		names = append(names, plan.CapabilityNames(mask)...)
	}
	return names, nil
}

// addsCapabilities tells whether a list has others than every container has by itself.
func addsCapabilities(v any) bool {
	names, _ := v.([]string)
	return slices.ContainsFunc(names, func(n string) bool { return !slices.Contains(plan.DefaultCapabilities(), n) })
}

// parseUserns knows two words; the other one is the default.
func parseUserns(value string) (any, error) {
	v, err := oneLine(value)
	if err != nil {
		return nil, err
	}
	if v != hostUsers {
		return nil, fmt.Errorf("%q is not host; empty means user ids of its own", clip(v))
	}
	return v, nil
}

const hostUsers = "host"

// unconfined is the profile that is none.
const unconfined = "unconfined"

// parseProfile takes a whole profile and tries to compile it.
func parseProfile(value string) (any, error) {
	v := strings.TrimSpace(value)
	switch {
	case v == unconfined:
		return v, nil
	case path.IsAbs(v):
		return nil, errors.New("it takes the profile itself and not its path: cp FILE config/seccomp, or run --security-opt seccomp=FILE")
	case !strings.HasPrefix(v, "{"):
		return nil, fmt.Errorf("%q is neither unconfined nor a profile, which is a JSON object", clip(v))
	}
	v, err := canonical(v)
	if err == nil {
		_, err = seccomp.Parse(v)
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// canonical writes a JSON object so that two that mean the same are the same.
func canonical(text string) (string, error) {
	var v map[string]any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	err := d.Decode(&v)
	if _, end := d.Token(); err != nil || !errors.Is(end, io.EOF) {
		return "", errors.New("it begins like a JSON object and is not one")
	}
	b, err := json.Marshal(v)
	return string(b), err
}

// parseSysctls takes Docker's: those that a namespace of the container's own has.
func parseSysctls(value string) (any, error) {
	items, err := parseList(value)
	if err != nil {
		return nil, err
	}
	for i, item := range items {
		name, v, ok := strings.Cut(item, "=")
		name, v = strings.ReplaceAll(strings.TrimSpace(name), "/", "."), strings.TrimSpace(v)
		if !ok || name == "" || v == "" {
			return nil, fmt.Errorf("%q is not NAME=VALUE", clip(item))
		}
		if !namespacedSysctl(name) {
			return nil, fmt.Errorf("%q is not a parameter of a container's own: those are net.…, fs.mqueue.… and kernel.{%s}; others are the whole machine's",
				clip(name), strings.Join(ownKernel(), ","))
		}
		items[i] = name + "=" + v
	}
	return items, nil
}

// ownKernel are the parameters below kernel. that belong to an ipc namespace.
func ownKernel() []string {
	return strings.Fields("msgmax msgmnb msgmni sem shmall shmmax shmmni shm_rmid_forced")
}

func namespacedSysctl(name string) bool {
	for _, part := range strings.Split(name, ".") { // each becomes a part of a path
		if part == "" || part != path.Base(part) || strings.ContainsRune(part, ' ') {
			return false
		}
	}
	if kernel, ok := strings.CutPrefix(name, "kernel."); ok {
		return slices.Contains(ownKernel(), kernel)
	}
	return strings.HasPrefix(name, "net.") || strings.HasPrefix(name, "fs.mqueue.")
}

// setsKernel tells whether a list has parameters of more than the container's own network: they raise limits of what it
// may have of the kernel's memory.
func setsKernel(v any) bool {
	items, _ := v.([]string)
	return slices.ContainsFunc(items, func(s string) bool { return !strings.HasPrefix(s, "net.") })
}
