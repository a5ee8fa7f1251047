package main

import (
	"context"
	"net"
	"sync"
	"time"
)

// What the slow link is like, in each direction.
const (
	linkDelay = 10 * time.Millisecond
	linkRate  = 100_000_000 / 8 // bytes a second, for all connections together
	linkChunk = 16 << 10
	linkQueue = 64 // chunks on their way: more than rate and delay need
)

// link is a relay to the registry that is as slow as a link of 100 Mbit/s with a
// round trip of 20 ms. It is made here because not each kernel can delay packets
// (netem). All connections share the rate; what TCP's slow start would add over a
// real link is not in it.
type link struct {
	listener net.Listener
	addr, to string
	down, up pipe
	work     sync.WaitGroup
	cancel   context.CancelFunc
}

func newLink(ctx context.Context, to string) (*link, error) {
	ctx, cancel := context.WithCancel(ctx)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		cancel()
		return nil, err
	}
	l := &link{listener: listener, addr: listener.Addr().String(), to: to, cancel: cancel}
	l.work.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return // closed
			}
			l.work.Go(func() { l.relay(ctx, near) })
		}
	})
	return l, nil
}

func (l *link) close() {
	l.cancel()
	_ = l.listener.Close()
	l.work.Wait()
}

// relay serves one connection until either end closes it.
func (l *link) relay(ctx context.Context, near net.Conn) {
	defer near.Close()
	far, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.to)
	if err != nil {
		return
	}
	defer far.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		_ = near.Close()
		_ = far.Close()
	})
	defer stop()
	var both sync.WaitGroup
	both.Go(func() { defer cancel(); l.up.carry(ctx, far, near) })
	both.Go(func() { defer cancel(); l.down.carry(ctx, near, far) })
	both.Wait()
}

// pipe is one direction of the link.
type pipe struct {
	mu   sync.Mutex
	free time.Time // when what has been sent so far has left
}

// leaves says when n more bytes will have left.
func (p *pipe) leaves(n int) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(time.Duration(n) * time.Second / linkRate)
	return p.free
}

type chunk struct {
	b  []byte
	at time.Time // when it arrives
}

func (p *pipe) carry(ctx context.Context, to, from net.Conn) {
	queue := make(chan chunk, linkQueue)
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(queue)
		for {
			b := make([]byte, linkChunk)
			n, err := from.Read(b)
			if n > 0 {
				leaves := p.leaves(n)
				select {
				case queue <- chunk{b[:n], leaves.Add(linkDelay)}:
				case <-ctx.Done():
					return
				}
				time.Sleep(time.Until(leaves)) // the link is busy until then
			}
			if err != nil {
				return
			}
		}
	})
	for c := range queue {
		time.Sleep(time.Until(c.at))
		if _, err := to.Write(c.b); err != nil {
			break
		}
	}
	_ = from.Close() // ends the reader
	for range queue {
	}
	reader.Wait()
}
