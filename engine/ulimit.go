package engine

import (
	units "github.com/docker/go-units"
	"golang.org/x/sys/unix"

	"hull/engine/plan"
)

// rlimits are the limits that the items of a setting stand for, of those of a name the last.
func rlimits(items []string) []plan.Limit {
	var limits []plan.Limit
	place := map[string]int{}
	for _, item := range items {
		u, err := units.ParseUlimit(item)
		if err != nil {
			continue // it has been parsed before
		}
		r, err := u.GetRlimit()
		if err != nil {
			continue
		}
		l := plan.Limit{Name: u.Name, Resource: r.Type, Soft: r.Soft, Hard: r.Hard}
		if i, ok := place[l.Name]; ok {
			limits[i] = l
			continue
		}
		place[l.Name] = len(limits)
		limits = append(limits, l)
	}
	return limits
}

// aboveOwn tells whether a value of ulimits is above hull's own limits, which are those that anybody gets by logging in:
// to raise them is root's.
func aboveOwn(v any) bool {
	items, _ := v.([]string)
	for _, l := range rlimits(items) {
		var own unix.Rlimit
		if err := unix.Getrlimit(l.Resource, &own); err == nil && l.Hard > own.Max {
			return true
		}
	}
	return false
}
