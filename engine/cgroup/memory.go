package cgroup

import (
	"errors"
	"path"

	"golang.org/x/sys/unix"
)

// limitMemory sets the limits of memory and of swap, which depend on each other.
func (g *Group) limitMemory(l Limits) error {
	d := g.of("memory")
	switch {
	case d == nil:
		return g.without("memory", l.Memory > 0)
	case d.V2:
		return g.limitMemoryV2(d, l)
	}
	swap := "memory.memsw.limit_in_bytes" // of both together, never below memory's own
	total, asked, err := l.total(exists(path.Join(d.path, swap)))
	if err != nil {
		return g.noSwap(err)
	}
	if !asked {
		return g.shrink(d, "memory.limit_in_bytes", orMinus(l.Memory))
	}
	order := [][2]string{{"memory.limit_in_bytes", orMinus(l.Memory)}, {swap, orMinus(total)}}
	if now := number(path.Join(d.path, swap)); total == 0 || now >= 0 && total >= now {
		order[0], order[1] = order[1], order[0] // the larger one has to make room first
	}
	for _, o := range order {
		if err := g.shrink(d, o[0], o[1]); err != nil {
			return err
		}
	}
	return nil
}

// limitMemoryV2 refuses, as version 1's kernel does, what could only be had by killing: by itself version 2 would.
func (g *Group) limitMemoryV2(d *dir, l Limits) error {
	swap := "memory.swap.max" // of swap alone
	total, asked, err := l.total(exists(path.Join(d.path, swap)))
	if err != nil {
		return g.noSwap(err)
	}
	if l.Memory > 0 {
		s := keyed(path.Join(d.path, "memory.stat"))
		if held := number(path.Join(d.path, "memory.current")) - s["active_file"] - s["inactive_file"] - s["slab_reclaimable"]; held > l.Memory {
			return g.tooLow()
		}
	}
	if asked {
		value := "max"
		if total > 0 {
			value = decimal(total - l.Memory)
		}
		if err := g.put(d, swap, value); err != nil {
			return err
		}
	}
	return g.put(d, "memory.max", orMax(l.Memory))
}

var errNoSwap = errors.New("this kernel does not count swap, so that memory_swap cannot be had; boot it with swapaccount=1, or leave memory_swap empty")

// total is the limit of memory and swap together, 0 for none, and whether it is to be written.
func (l Limits) total(counted bool) (bytes int64, write bool, err error) {
	switch {
	case l.Memory > 0 && l.MemorySwap > 0 && l.MemorySwap < l.Memory:
		return 0, false, errors.New("memory and swap together would be less than memory alone")
	case !counted && l.Memory > 0 && l.MemorySwap > 0:
		return 0, false, errNoSwap
	case !counted:
		return 0, false, nil
	case l.Memory == 0 || l.MemorySwap == NoLimit:
		return 0, true, nil
	case l.MemorySwap == 0:
		return 2 * l.Memory, true, nil
	}
	return l.MemorySwap, true, nil
}

func (g *Group) noSwap(err error) error {
	kind := Invalid
	if errors.Is(err, errNoSwap) {
		kind = Unsupported
	}
	return &Error{Op: "limit", Of: g.id, Kind: kind, Err: err}
}

// shrink writes a limit that is refused while more is in use than can be given back.
func (g *Group) shrink(d *dir, name, value string) error {
	err := g.put(d, name, value)
	if errors.Is(err, unix.EBUSY) {
		return g.tooLow()
	}
	return err
}

func (g *Group) tooLow() error {
	return fail("limit", g.id, Busy, "more memory than that is in use now and cannot be given back")
}

func orMinus(n int64) string {
	if n == 0 {
		return "-1"
	}
	return decimal(n)
}
