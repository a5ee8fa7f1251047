package probe

import (
	"errors"

	"hull/engine/cgroup"
)

// controllers looks for the cgroups that containers are limited and measured by. Without some of them hull runs, and a
// setting that needs one is refused.
func controllers() []Feature {
	host, err := cgroup.Detect()
	features := []Feature{{"cgroups", true, "2.6.24", err}}
	for _, c := range []struct{ name, controller, kernel string }{
		{"limits of processes", "pids", "4.3"},
		{"limits of memory", "memory", "2.6.25"},
		{"limits of processor time", "cpu", "3.2"},
		{"the device filter", "devices", "2.6.26"},
		{"pause", "freezer", "2.6.28"},
		{"counting input and output", "blkio", "2.6.33"},
	} {
		lost := err
		if err == nil {
			for _, l := range host.Missing {
				if l.Controller == c.controller {
					lost = errors.New(l.Sentence)
				}
			}
		}
		features = append(features, Feature{c.name, false, c.kernel, lost})
	}
	return features
}
