package engine

import (
	"fmt"
	"os"
	"strconv"
	"sync"

	"hull/engine/launch"
)

// Each running container has 65,536 host ids of its own, out of a part of the 32-bit space that /etc/subuid (up to
// 600,100,000), systemd-nspawn (524,288 to 1,879,048,191) and systemd's foreign ids do not use.
const (
	rangeSize  = 65536
	rangeFirst = 1879048192
	rangeLast  = 2147352575
	rangeCount = (rangeLast - rangeFirst + 1) / rangeSize
)

// ranges hands out id ranges so that no two running containers share one. A container asks for the one it had, so
// that its files keep their owners in the host's eyes.
type ranges struct {
	mu   sync.Mutex
	used map[uint32]bool
	next uint32 // number of the range to try first
}

// newRanges begins at a place that differs from engine to engine, so that two on one machine seldom overlap.
func newRanges(seed uint32) *ranges {
	return &ranges{used: map[uint32]bool{}, next: seed % rangeCount}
}

// take answers the first id of a free range, the wanted one if it is free (0 wants any).
func (r *ranges) take(wanted uint32) (uint32, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if validRange(wanted) && !r.used[wanted] {
		r.used[wanted] = true
		return wanted, true
	}
	for range rangeCount {
		first := uint32(rangeFirst) + r.next*rangeSize
		r.next = (r.next + 1) % rangeCount
		if !r.used[first] {
			r.used[first] = true
			return first, true
		}
	}
	return 0, false
}

// free gives a range back.
func (r *ranges) free(first uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.used, first)
}

// idRange is the range that begins with an id; 0 is no range: the host's own users.
func idRange(first uint32) launch.IDRange {
	if first == 0 {
		return launch.IDRange{}
	}
	return launch.IDRange{First: first, Size: rangeSize}
}

func validRange(first uint32) bool {
	return first >= rangeFirst && first <= rangeLast && (first-rangeFirst)%rangeSize == 0
}

// rangeOf reads the first id of a process's user namespace from the kernel; 0 if that cannot be known.
func rangeOf(pid int) uint32 {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/uid_map")
	if err != nil {
		return 0
	}
	var inside, first, size uint32
	if _, err := fmt.Sscan(string(data), &inside, &first, &size); err != nil || inside != 0 || size != rangeSize {
		return 0
	}
	return first
}
