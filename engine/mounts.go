package engine

import (
	"fmt"
	"slices"
	"strings"
)

// mount is something that is put into a container's file system before its command runs.
type mount struct {
	Kind   mountKind `json:"type"`
	Source string    `json:"source,omitempty"` // a path of the host, or a volume's name; empty: an anonymous volume
	Target string    `json:"target"`           // in the container, absolute and clean
	// ReadOnly holds for everything below, too.
	ReadOnly bool `json:"read_only,omitempty"`
	// Alone leaves out what is mounted below a host's directory.
	Alone bool `json:"alone,omitempty"`
	// NoCopy leaves an empty volume empty: else it gets the files that the image has there.
	NoCopy bool `json:"no_copy,omitempty"`
	// Options are a tmpfs's, as the kernel takes them, and its flags by name.
	Options []string `json:"options,omitempty"`
	// Anonymous is set for a volume that the settings or the image want without naming one.
	Anonymous bool `json:"anonymous,omitempty"`
}

type mountKind string

const (
	bindMount   mountKind = "bind"
	volumeMount mountKind = "volume"
	tmpfsMount  mountKind = "tmpfs"
)

// mounts are what the settings want, and a volume for each VOLUME of the image where they want nothing. They come in an
// order in which what lies below another comes after it.
func (v values) mounts(image *Image) ([]mount, error) {
	var list []mount
	taken := map[string]bool{}
	add := func(m mount, err error) error {
		switch {
		case err != nil:
			return err
		case taken[m.Target]:
			return fmt.Errorf("two mounts want to be at %s", clip(m.Target))
		}
		taken[m.Target] = true
		list = append(list, m)
		return nil
	}
	for _, item := range v.list("mounts") {
		if err := add(parseMount(item)); err != nil {
			return nil, err
		}
	}
	for _, item := range v.list("tmpfs") {
		if err := add(parseOneTmpfs(item)); err != nil {
			return nil, err
		}
	}
	for _, target := range image.Volumes {
		m := mount{Kind: volumeMount, Target: target, Anonymous: true}
		if err := m.check(); err != nil {
			return nil, fmt.Errorf("the image wants a volume at %q: %w", clip(target), err)
		}
		if !taken[m.Target] { // an image may name one twice
			taken[m.Target] = true
			list = append(list, m)
		}
	}
	if len(list) > maxMounts {
		return nil, fmt.Errorf("%d mounts are wanted, %d is the most", len(list), maxMounts)
	}
	slices.SortFunc(list, func(a, b mount) int {
		if n := strings.Count(a.Target, "/") - strings.Count(b.Target, "/"); n != 0 {
			return n
		}
		return strings.Compare(a.Target, b.Target)
	})
	return list, nil
}

// UnnamedVolumes are the targets of those items of the setting mounts that are a target alone, as -v /data. They are a
// container's as VOLUME is an image's; what names a volume or a path of the host is of this machine.
func UnnamedVolumes(items []string) []string {
	var targets []string
	for _, item := range items {
		if m, err := parseMount(item); err == nil && m.Anonymous && strings.HasPrefix(item, "/") {
			targets = append(targets, m.Target)
		}
	}
	return targets
}

// checkMounts refuses settings whose mounts are at odds with each other.
func (v values) checkMounts() error {
	if _, err := v.mounts(&Image{}); err != nil {
		row, _ := FindSetting("mounts")
		return row.invalid(err)
	}
	return nil
}
