package network

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/google/nftables"
)

// element is one of a set or map.
type element struct {
	set        setID
	key, value string
}

// change is what somebody wants written.
type change struct {
	add, drop []element
	whole     bool // everything is to be written anew
	empty     bool // there is to be nothing any more
	done      chan error
}

// tables writes the rules. What is to be in the kernel is kept here, so that it can be written anew whole whenever it
// is not there any more.
type tables struct {
	name string

	mu      sync.Mutex // of those that want to write
	waiting []*change
	ended   bool
	wake    chan struct{}
	socket  atomic.Uint32 // the kernel's number of the connection that writes

	// The writer's alone:
	elements [setCount]map[string]string
	present  bool // the tables are in the kernel, as far as the writer knows
	conn     *nftables.Conn
}

func newTables(name string) *tables {
	t := &tables{name: name, wake: make(chan struct{}, 1)}
	for i := range t.elements {
		t.elements[i] = map[string]string{}
	}
	return t
}

// write has a change in the kernel when it returns, or says why it is not. If the context ends, the change goes on.
func (t *tables) write(ctx context.Context, c *change) error {
	c.done = make(chan error, 1)
	t.mu.Lock()
	if t.ended {
		t.mu.Unlock()
		return fail("write", "", Interrupted, "hull is ending")
	}
	t.waiting = append(t.waiting, c)
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		return failed("write", "", ctx.Err(), "the rules are not written yet")
	}
}

// run writes until end. All that wait are written at once: a hundred starts are two or three transactions.
func (t *tables) run() {
	for range t.wake {
		t.mu.Lock()
		batch, ended := t.waiting, t.ended
		t.waiting = nil
		t.mu.Unlock()
		if len(batch) > 0 {
			err := t.commit(batch)
			for _, c := range batch {
				c.done <- err
			}
		}
		if ended {
			break
		}
	}
	t.hangUp()
}

// end lets run write what waits, and end.
func (t *tables) end() {
	t.mu.Lock()
	t.ended = true
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// commit writes changes as one transaction. If that fails, somebody has taken the tables away or changed them: they are
// written anew.
func (t *tables) commit(batch []*change) error {
	add, dropped := t.take(batch)
	whole := !t.present || slices.ContainsFunc(batch, func(c *change) bool { return c.whole || c.empty })
	if !whole {
		if len(add)+len(dropped) == 0 || t.send(func(c *nftables.Conn) error { return t.some(c, add, dropped) }) == nil {
			return nil
		}
	}
	if !t.wanted() {
		return t.erase()
	}
	err := t.send(t.all)
	t.present = err == nil
	return err
}

// take notes what changes make of the elements, and answers how that differs from what was.
func (t *tables) take(batch []*change) (add, dropped []element) {
	type place struct {
		set setID
		key string
	}
	before := map[place]*string{} // of what is touched; nil where there was nothing
	touch := func(e element) {
		p := place{e.set, e.key}
		if _, ok := before[p]; !ok {
			before[p] = nil
			if v, ok := t.elements[e.set][e.key]; ok {
				before[p] = &v
			}
		}
	}
	for _, c := range batch {
		if c.empty {
			for i := range t.elements {
				for k, v := range t.elements[i] {
					touch(element{setID(i), k, v})
				}
				clear(t.elements[i])
			}
		}
		for _, e := range c.drop {
			touch(e)
			delete(t.elements[e.set], e.key)
		}
		for _, e := range c.add {
			touch(e)
			t.elements[e.set][e.key] = e.value
		}
	}
	for p, old := range before {
		now, ok := t.elements[p.set][p.key]
		if old != nil && (!ok || now != *old) {
			dropped = append(dropped, element{p.set, p.key, *old})
		}
		if ok && (old == nil || now != *old) {
			add = append(add, element{p.set, p.key, now})
		}
	}
	return add, dropped
}

// wanted tells whether there is anything to have rules for.
func (t *tables) wanted() bool {
	return len(t.elements[setBridges]) > 0
}

// erase takes the tables away, if they are there.
func (t *tables) erase() error {
	err := t.send(func(c *nftables.Conn) error {
		for _, f := range t.both() {
			c.AddTable(f) // so that there is something to delete
			c.DelTable(f)
		}
		return nil
	})
	if !t.present && lacksRules(err) {
		err = nil // where there can be none
	}
	t.present = t.present && err != nil
	return err
}

func (t *tables) both() [2]*nftables.Table {
	return [2]*nftables.Table{
		{Name: t.name, Family: nftables.TableFamilyINet}, {Name: t.name, Family: nftables.TableFamilyBridge},
	}
}
