package network

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// bufferSize is how long a transaction, and what the kernel answers to it, may be: enough for tens of thousands of elements.
const bufferSize = 32 << 20

// dial connects to the kernel.
func (t *tables) dial() (*nftables.Conn, error) {
	return nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
		number, err := socketNumber(c)
		if err != nil {
			return err
		}
		t.socket.Store(number)
		if err := c.SetWriteBuffer(bufferSize); err != nil {
			return err
		}
		return c.SetReadBuffer(bufferSize)
	}))
}

// socketNumber is what the kernel calls a connection.
func socketNumber(c *netlink.Conn) (number uint32, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var name unix.Sockaddr
	if e := raw.Control(func(fd uintptr) { name, err = unix.Getsockname(int(fd)) }); e != nil || err != nil {
		return 0, errors.Join(e, err)
	}
	if n, ok := name.(*unix.SockaddrNetlink); ok {
		return n.Pid, nil
	}
	return 0, unix.EINVAL
}

// send sends what fill makes as one transaction.
func (t *tables) send(fill func(*nftables.Conn) error) error {
	if t.conn == nil {
		c, err := t.dial()
		if err != nil {
			return fmt.Errorf("the kernel's nftables cannot be reached: %w", err)
		}
		t.conn = c
	}
	err := fill(t.conn)
	if err == nil {
		err = t.conn.Flush()
	}
	if err != nil { // answers to what has failed may be left in the connection
		t.hangUp()
	}
	return err
}

func (t *tables) hangUp() {
	if t.conn != nil {
		_ = t.conn.CloseLasting()
		t.conn = nil
	}
}

// all writes both tables in the place of whatever is there.
func (t *tables) all(c *nftables.Conn) error {
	both := t.both()
	for _, f := range both {
		c.AddTable(f)
		c.DelTable(f)
		c.AddTable(f)
	}
	for id := range setCount {
		s, err := t.set(id)
		if err == nil {
			err = c.AddSet(s, nil)
		}
		if err == nil {
			var all []element
			for k, v := range t.elements[id] {
				all = append(all, element{id, k, v})
			}
			err = some(c.SetAddElements, s, all)
		}
		if err != nil {
			return err
		}
	}
	addChains(c, both[0], routed())
	addChains(c, both[1], bridged())
	return nil
}

// set is a set as the library has it.
func (t *tables) set(id setID) (*nftables.Set, error) {
	s := sets[id]
	table := t.both()[0]
	if s.bridge {
		table = t.both()[1]
	}
	keyType, err := nftables.ConcatSetType(s.key...)
	if err != nil {
		return nil, err
	}
	out := &nftables.Set{Table: table, ID: uint32(id) + 1, Name: s.name, KeyType: keyType, Interval: s.interval, Concatenation: len(s.key) > 1}
	if len(s.key) == 1 {
		out.KeyType = s.key[0]
		if s.key[0] == typeName {
			out.KeyByteOrder = binaryutil.NativeEndian // for nft list; the kernel does not ask
		}
	}
	if s.data != nil {
		out.IsMap = true
		if out.DataType, err = nftables.ConcatSetType(s.data...); len(s.data) == 1 {
			out.DataType = s.data[0]
		}
	}
	return out, err
}

// atOnce is how many elements one message has: its length is a number of 16 bits.
const atOnce = 400

// some adds or deletes elements of a set.
func some(write func(*nftables.Set, []nftables.SetElement) error, s *nftables.Set, elements []element) error {
	for part := range slices.Chunk(elements, atOnce) {
		var list []nftables.SetElement
		for _, e := range part {
			switch {
			case s.Interval:
				list = append(list, nftables.SetElement{Key: []byte(e.key)}, nftables.SetElement{Key: []byte(e.value), IntervalEnd: true})
			default:
				list = append(list, nftables.SetElement{Key: []byte(e.key), Val: []byte(e.value)})
			}
		}
		if err := write(s, list); err != nil {
			return err
		}
	}
	return nil
}

// some writes a few elements: what goes first, so that what comes finds its place.
func (t *tables) some(c *nftables.Conn, add, dropped []element) error {
	for _, step := range []struct {
		write    func(*nftables.Set, []nftables.SetElement) error
		elements []element
	}{{c.SetDeleteElements, dropped}, {c.SetAddElements, add}} {
		bySet := map[setID][]element{}
		for _, e := range step.elements {
			bySet[e.set] = append(bySet[e.set], e)
		}
		for _, id := range slices.Sorted(maps.Keys(bySet)) {
			s, err := t.set(id)
			if err == nil {
				s.ID = 0 // it is there
				err = some(step.write, s, bySet[id])
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func addChains(c *nftables.Conn, table *nftables.Table, chains []chain) {
	made := make([]*nftables.Chain, len(chains))
	for i, ch := range chains {
		made[i] = &nftables.Chain{Name: ch.name, Table: table}
		if ch.hook != nil {
			made[i].Hooknum, made[i].Priority, made[i].Type = ch.hook, &ch.priority, ch.kind
		}
		c.AddChain(made[i])
	}
	for i, ch := range chains {
		for _, r := range ch.rules {
			c.AddRule(&nftables.Rule{Table: table, Chain: made[i], Exprs: r})
		}
	}
}
