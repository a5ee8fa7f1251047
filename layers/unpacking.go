package layers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"

	"hull/layers/registry"
	"hull/layers/unpack"
)

// unpacking is one layer on its way into staging/. It is shared by the pulls
// that want that layer, and what it made is thrown away when the last of them
// gives it back uncommitted.
type unpacking struct {
	chain  string
	layer  registry.Layer
	lender func(ctx context.Context, wait bool) ([]loan, error) // of the layers below
	loans  []loan                                               // its own goroutine's: given up when it ends
	wide   bool                                                 // its own goroutine's: the stream asks for more memory than most
	kept   *fetch                                               // its own goroutine's: between two attempts
	phases phases
	done   chan struct{}
	err    error // valid once done is closed
	cancel context.CancelFunc
	fetch  atomic.Pointer[fetch] // of its blob, once there is one

	// Valid once done is closed without err.
	record *layer
	dir    string   // in staging/, holding diff/ and layer.json
	tree   *os.File // diff/, to be looked through by layers above

	// bound is closed when the layer turns out to take from those below it, and so
	// to be of use on its own chain only. Who waits for it with another chain stops:
	// only so can no circle of layers wait for each other, whatever the order of the
	// same layers in images that arrive at the same time. (A bound one waits for
	// shorter chains, an unbound one for nothing.)
	bound chan struct{}

	key       string // guarded by the store's mu: the diff ID, or the chain ID once bound
	refs      int    // guarded by the store's mu
	committed bool   // guarded by the change lock: dir is a layer now
}

// wantLayer joins the unpacking of a layer under a key, or starts it for a
// pull. Give it back with releaseUnpacking.
func (s *Store) wantLayer(p *pull, key, chain string, l registry.Layer, lender func(ctx context.Context, wait bool) ([]loan, error)) (u *unpacking, started bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.unpacks[key]; u != nil {
		u.refs++
		return u, false, nil
	}
	if s.closed {
		return nil, false, errClosed
	}
	ctx, cancel := context.WithCancel(s.ctx)
	u = &unpacking{key: key, chain: chain, layer: l, lender: lender, done: make(chan struct{}), bound: make(chan struct{}), cancel: cancel, refs: 1}
	s.unpacks[key] = u
	s.work.Go(func() {
		u.err = s.runUnpacking(ctx, p, u)
		u.returnLoans()
		if u.err != nil {
			s.forgetUnpacking(u) // who comes now tries anew
		}
		close(u.done)
	})
	return u, true, nil
}

// below opens the layers below for an unpacking, which from now on is of use above
// these only.
func (s *Store) below(ctx context.Context, u *unpacking, wait bool) ([]*os.File, error) {
	s.bind(u)
	loans, err := u.lender(ctx, wait)
	u.loans = append(u.loans, loans...)
	trees := make([]*os.File, len(loans))
	for i, l := range loans {
		trees[i] = l.tree
	}
	return trees, err
}

// returnLoans gives back what below has opened.
func (u *unpacking) returnLoans() {
	for _, l := range u.loans {
		l.giveUp()
	}
}

// bind lets only those find the unpacking from now on who have the same chain.
func (s *Store) bind(u *unpacking) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unpacks[u.key] == u && u.key != u.chain {
		delete(s.unpacks, u.key)
		if s.unpacks[u.chain] == nil {
			s.unpacks[u.chain] = u
		}
	}
	u.key = u.chain
	select {
	case <-u.bound: // a second attempt at a damaged blob
	default:
		close(u.bound)
	}
}

func (s *Store) forgetUnpacking(u *unpacking) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unpacks[u.key] == u {
		delete(s.unpacks, u.key)
	}
}

// releaseUnpacking gives one back. The last one ends it; what it unpacked goes
// unless a commit has taken it.
func (s *Store) releaseUnpacking(u *unpacking) {
	s.mu.Lock()
	u.refs--
	last := u.refs == 0
	if last && s.unpacks[u.key] == u {
		delete(s.unpacks, u.key)
	}
	s.mu.Unlock()
	if !last {
		return
	}
	u.cancel()
	<-u.done
	if u.tree != nil {
		_ = u.tree.Close() // only a place in a tree
	}
	if u.dir != "" && !u.committed {
		s.discard(u.dir)
	}
}

// runUnpacking fetches and unpacks a layer. If what the store had of its blob
// from earlier turns out to be damaged, it starts once more from nothing.
func (s *Store) runUnpacking(ctx context.Context, p *pull, u *unpacking) error {
	again, err := s.unpackWithin(ctx, p, u)
	if !again && KindOf(err) == Corrupt && s.o.Mirrors != nil && u.fetch.Load() != nil && p.direct.CompareAndSwap(false, true) {
		again = true // not from a mirror this time
	}
	if again {
		s.log.Warn("what was there of a blob is damaged, fetching it anew", "image", p.name, "blob", u.layer.Digest, "err", err)
		_, err = s.unpackWithin(ctx, p, u)
	}
	return err
}

// tryAgain says that an attempt would need more memory than most layers do, or would
// wait for a layer below while it holds some: it has to begin anew.
func (u *unpacking) tryAgain(err error) bool {
	return errors.Is(err, errWaits) || errors.Is(err, unpack.ErrWindow) && !u.wide
}

// unpackWithin unpacks with the memory that there is, in up to three attempts.
func (s *Store) unpackWithin(ctx context.Context, p *pull, u *unpacking) (again bool, err error) {
	defer func() {
		if u.kept != nil {
			s.releaseFetch(u.kept)
			u.kept = nil
		}
	}()
	for {
		again, err = s.unpackOnce(ctx, p, u)
		if !u.tryAgain(err) {
			return again, err
		}
		if !errors.Is(err, errWaits) {
			u.wide = true
			continue
		}
		if _, err := s.below(ctx, u, true); err != nil {
			return false, wrap(p.op, p.name, err)
		}
	}
}

func (s *Store) unpackOnce(ctx context.Context, p *pull, u *unpacking) (again bool, err error) {
	blob, end, err := s.openBlob(ctx, p, u)
	if err != nil {
		return false, wrap(p.op, p.name, err)
	}
	if f := u.fetch.Load(); f != nil && u.wide {
		// It will have all the memory there is, and not while it waits for a network.
		select {
		case <-f.done:
		case <-ctx.Done():
		}
	}
	var record *layer
	dir, tree, err := s.stage()
	if err == nil {
		record, err = s.unpackInto(ctx, p, u, blob, tree)
	}
	if err == nil {
		err = writeLayerRecord(dir, record)
	}
	again, err = end(err)
	if err != nil {
		if tree != nil {
			_ = tree.Close() // only a place in a tree
		}
		if dir != "" {
			s.discard(dir)
		}
		return again, wrap(p.op, p.name, err)
	}
	s.crash("layer.unpacked")
	u.record, u.dir, u.tree = record, dir, tree
	return false, nil
}

// stage makes a directory in staging/ with an empty diff/ in it.
func (s *Store) stage() (dir string, tree *os.File, err error) {
	dir, err = os.MkdirTemp(s.path("staging"), "layer-")
	if err != nil {
		return "", nil, err
	}
	diff := filepath.Join(dir, "diff")
	if err := os.Mkdir(diff, 0o755); err != nil {
		return dir, nil, err
	}
	if err := os.Chmod(diff, 0o755); err != nil { // whatever the umask
		return dir, nil, err
	}
	tree, err = openTree(diff)
	return dir, tree, err
}

// unpackInto unpacks the blob and checks that it is the layer that the image's
// config names.
func (s *Store) unpackInto(ctx context.Context, p *pull, u *unpacking, blob io.Reader, tree *os.File) (*layer, error) {
	c := &claim{m: s.memory, wide: u.wide}
	tar, err := decode(ctx, blob, c)
	if err != nil {
		return nil, err
	}
	result, err := unpack.Layer(ctx, &watched{r: tar, room: func() error { return s.room(p.op, p.name, 0) }}, tree, unpack.Options{
		Below:      func(ctx context.Context) ([]*os.File, error) { return s.below(ctx, u, !c.held()) },
		Compressed: u.layer.Size,
		Limits:     unpack.Limits{Bytes: s.o.Limits.Bytes, Entries: s.o.Limits.Entries},
	})
	if e := tar.Close(); err == nil {
		err = e
	}
	if err != nil {
		return nil, fmt.Errorf("its layer %s cannot be unpacked: %w", shortDigest(u.layer.Digest), err)
	}
	if result.DiffID != u.layer.DiffID {
		return nil, failf(p.op, p.name, Corrupt,
			"its layer %s unpacks to %s, but its config says %s; the image was built wrongly or tampered with",
			shortDigest(u.layer.Digest), result.DiffID, u.layer.DiffID)
	}
	return &layer{
		DiffID: result.DiffID, ChainID: u.chain, FromBelow: result.FromBelow,
		Size: result.Bytes, Entries: result.Entries,
	}, nil
}

func writeLayerRecord(dir string, l *layer) error {
	text, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "layer.json"), append(text, '\n'), 0o600)
}

// chainIDs are the OCI image-spec's identities of stacks: of layers 0 to i.
func chainIDs(layers []registry.Layer) []string {
	chains := make([]string, len(layers))
	for i, l := range layers {
		if i == 0 {
			chains[i] = l.DiffID
			continue
		}
		sum := sha256.Sum256([]byte(chains[i-1] + " " + l.DiffID))
		chains[i] = "sha256:" + hex.EncodeToString(sum[:])
	}
	return chains
}

// shortDigest is how progress and sentences call a blob.
func shortDigest(digest string) string { return digest[len("sha256:"):][:12] }
