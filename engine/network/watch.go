package network

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"sync"
	"unsafe"

	"github.com/mdlayher/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// watch notices that somebody else takes away what is ours in the kernel: a firewall that starts anew flushes all rules, a program
// that manages interfaces removes those it does not know. The kernel tells; nobody asks it again and again.
type watch struct {
	rules, links *netlink.Conn
	work         sync.WaitGroup
}

// newWatch begins to watch.
func (n *Networks) newWatch() (*watch, error) {
	rules, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(rules.JoinGroup(unix.NFNLGRP_NFTABLES), rules.SetBPF(onlyRemovals())); err != nil {
		_ = rules.Close()
		return nil, err
	}
	// A bridge that goes takes its address with it. Links as such come and go with every container.
	links, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{Groups: 1<<(unix.RTNLGRP_IPV4_IFADDR-1) | 1<<(unix.RTNLGRP_IPV6_IFADDR-1)})
	if err != nil {
		_ = rules.Close()
		return nil, err
	}
	w := &watch{rules: rules, links: links}
	w.work.Go(func() { n.follow(rules, n.isOurRule, true) })
	w.work.Go(func() { n.follow(links, n.isOurAddress, false) })
	return w, nil
}

func (w *watch) close() {
	_ = w.rules.Close()
	_ = w.links.Close()
	w.work.Wait()
}

// The kinds of messages about what went.
const (
	delTable = unix.NFT_MSG_DELTABLE
	delChain = unix.NFT_MSG_DELCHAIN
	delRule  = unix.NFT_MSG_DELRULE
	delSet   = unix.NFT_MSG_DELSET
)

// onlyRemovals lets messages through that begin with something that went: starts and ends of containers, which change elements
// only, wake nobody.
func onlyRemovals() []bpf.RawInstruction {
	at := uint32(unsafe.Offsetof(unix.NlMsghdr{}.Type)) // of which the lower byte is the message's kind
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		at++
	}
	program := []bpf.Instruction{bpf.LoadAbsolute{Off: at, Size: 1}}
	kinds := []uint32{delTable, delChain, delRule, delSet}
	for i, k := range kinds {
		program = append(program, bpf.JumpIf{Cond: bpf.JumpEqual, Val: k, SkipTrue: uint8(len(kinds) - i)})
	}
	program = append(program, bpf.RetConstant{Val: 0}, bpf.RetConstant{Val: 1 << 18})
	raw, err := bpf.Assemble(program)
	if err != nil {
		panic(err) // it is always the same
	}
	return raw
}

// follow restores what is missing after each message that is about us, until the connection is closed.
func (n *Networks) follow(c *netlink.Conn, ours func(netlink.Message) bool, rules bool) {
	for {
		messages, err := c.Receive()
		if errors.Is(err, os.ErrClosed) || errors.Is(err, net.ErrClosed) || n.ctx.Err() != nil {
			return
		}
		if err != nil && !errors.Is(err, unix.ENOBUFS) {
			n.o.Logger.Warn("what becomes of networks cannot be watched any more", "op", "watch", "err", err)
			return
		}
		about := err != nil // some were lost
		for _, m := range messages {
			about = about || ours(m)
		}
		if !about {
			continue
		}
		if err := n.restore(rules); err != nil && n.ctx.Err() == nil {
			n.o.Logger.Error("what somebody removed of the networks cannot be restored", "op", "watch", "err", err)
		}
	}
}

// isOurRule tells whether something of one of our tables went.
func (n *Networks) isOurRule(m netlink.Message) bool {
	const header = 4 // struct nfgenmsg
	if m.Header.PID == n.tables.socket.Load() {
		return false // the writer's own doing
	}
	switch uint16(m.Header.Type) & 0xff {
	case delTable, delChain, delRule, delSet:
	default:
		return false
	}
	if len(m.Data) < header {
		return false
	}
	d, err := netlink.NewAttributeDecoder(m.Data[header:])
	if err != nil {
		return false
	}
	for d.Next() {
		if d.Type() == unix.NFTA_TABLE_NAME { // the same in all four
			name := d.String()
			return name == n.tables.name || name == routerTable
		}
	}
	return false
}

// isOurAddress tells whether an address of one of our bridges went.
func (n *Networks) isOurAddress(m netlink.Message) bool {
	if m.Header.Type != unix.RTM_DELADDR || len(m.Data) < unix.SizeofIfAddrmsg {
		return false
	}
	index := int(binary.NativeEndian.Uint32(m.Data[unsafe.Offsetof(unix.IfAddrmsg{}.Index):]))
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, h := range n.networks {
		if h.up && h.index == index {
			return true
		}
	}
	return false
}
