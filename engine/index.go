package engine

import (
	"slices"
	"sync"
)

// index finds supervisors by name and ID. A name is reserved before its container exists and listed after; whatever
// is listed is whole.
type index struct {
	mu     sync.Mutex
	names  map[string]*supervisor // nil while reserved
	ids    map[string]*supervisor // by 64 digits
	shorts map[string]*supervisor // by 12 digits; nil while reserved
	sorted []*supervisor          // by time of creation; replaced, never changed; nil when out of date
}

func (x *index) init() {
	x.names, x.ids, x.shorts = map[string]*supervisor{}, map[string]*supervisor{}, map[string]*supervisor{}
}

// find answers nil for what is not listed.
func (x *index) find(nameOrID string) *supervisor {
	x.mu.Lock()
	defer x.mu.Unlock()
	if s := x.ids[nameOrID]; s != nil {
		return s
	}
	if s := x.shorts[nameOrID]; s != nil {
		return s
	}
	return x.names[nameOrID]
}

func (x *index) taken(name string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	_, ok := x.names[name]
	return ok
}

// reserve takes a name; false if it is taken.
func (x *index) reserve(name string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, ok := x.names[name]; ok {
		return false
	}
	x.names[name] = nil
	return true
}

// newID makes an ID whose short form nothing else has, and reserves it.
func (x *index) newID() string {
	for {
		id := newID()
		x.mu.Lock()
		_, taken := x.shorts[Short(id)]
		if !taken {
			x.shorts[Short(id)] = nil
		}
		x.mu.Unlock()
		if !taken {
			return id
		}
	}
}

// cancel gives a reserved name and ID back.
func (x *index) cancel(name, id string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.names, name)
	delete(x.shorts, Short(id))
}

// unreserve gives a reserved name back.
func (x *index) unreserve(name string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.names, name)
}

// list lists a supervisor under its ID and a name that is reserved for it.
func (x *index) list(s *supervisor, name string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.names[name], x.ids[s.id], x.shorts[Short(s.id)] = s, s, s
	x.sorted = nil
}

// move lists a supervisor under another name, reserved for it, and gives the old one back.
func (x *index) move(s *supervisor, from, to string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.names[to] = s
	delete(x.names, from)
}

// drop takes a supervisor off the list.
func (x *index) drop(s *supervisor, name string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.names, name)
	delete(x.ids, s.id)
	delete(x.shorts, Short(s.id))
	x.sorted = nil
}

// all lists the supervisors, oldest first. The slice is shared: not to be changed.
func (x *index) all() []*supervisor {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.sorted == nil {
		list := make([]*supervisor, 0, len(x.ids))
		for _, s := range x.ids {
			list = append(list, s)
		}
		slices.SortFunc(list, func(a, b *supervisor) int {
			if c := a.created.Compare(b.created); c != 0 {
				return c
			}
			if a.id < b.id {
				return -1
			}
			return 1
		})
		x.sorted = list
	}
	return x.sorted
}
