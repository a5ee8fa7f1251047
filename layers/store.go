// Package layers is the image side of hull: a store of images and their
// layers in plain directories, the pulls that fill it, and the unions that
// containers and readers see.
//
// # On disk
//
//	lock                    held by the one daemon of the store
//	blobs/sha256/<hex>      manifests, configs and compressed layers, as fetched
//	layers/<hex>/           diff/ and layer.json; the directory's existence is the commit
//	images/<reference>.json what each reference points to, or the pull that is to make it;
//	                        with a checksum, and if that is wrong made anew from blobs/
//	ingest/<hex>            blobs that are arriving; they survive a daemon and are resumed
//	staging/                what is being unpacked or written; emptied at each start
//	trash/                  what is going; emptied in the background
//	containers/             the engine's
//
// A layer is stored by its diff ID, once for all images; a layer that takes
// something from those below it (a hard link into them, the mode of a parent
// it does not bring itself) is stored by its chain ID.
//
// # Commit order
//
// Whatever a record names is durable before the record is: blobs arrive in
// ingest/ and are verified, layers are unpacked in staging/ and verified, then
// one syncfs covers all of them and its error is checked, then they are renamed
// into place, and the record is written last (temporary file, fsync, rename,
// fsync of the directory). Removal goes the other way round: the record first,
// then renames into trash/. So at every instant of a crash the store is whole
// but for things that no record reaches, and Sweep drops those.
//
// # Pulls
//
// A pull belongs to the store and not to its caller: it goes on when the caller
// is interrupted once it was accepted, a second Pull of the same reference joins
// it, and after a restart of the daemon it is taken up again. All layers arrive
// and are unpacked at once, each blob and each layer once whatever the number of
// pulls that want it (unpacking.bound says why they cannot wait for each other in a
// circle). The unpacker follows the growing file in ingest/, so a slow
// unpacker never stalls a connection, and memory is bounded whatever the size of
// the layers.
//
// # Locks
//
// Readers take no lock: List and Find read an immutable snapshot through an
// atomic pointer. Two locks order the writers, always in this order:
//
//  1. change, held while the records on disk and the directories of layers and
//     blobs change. Waiting for it ends with the caller's context.
//  2. mu, held for moments, guards the maps in memory; nothing is called and no
//     disk is touched under it, and what it guards changes together with a new
//     snapshot.
//
// The lock of a part (a layer in a pull) may be held when mu is taken. Those of
// fetches, views, events and Progress are leaves: under them no other lock is
// taken. Phases are told under their lock: a fetch's to an unpacking, an
// unpacking's to a Progress.
package layers

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"hull/layers/internal/sys"
	"hull/layers/reference"
	"hull/layers/registry"
)

// Store is an open store.
type Store struct {
	dir    string
	o      Options
	log    *slog.Logger
	client *registry.Client
	lock   *os.File

	layersDir *os.File // layers/, below which unions are put together

	ctx  context.Context //nolint:containedctx // the daemon's: accepted work lives in it
	stop context.CancelFunc
	work sync.WaitGroup // every goroutine of the store

	change chan struct{} // lock 1: full while held
	turns  chan struct{} // pulls that may fetch layers at once
	memory memory        // of layers being unpacked

	mu       sync.Mutex                     // lock 2, guards the maps
	closed   bool                           // no new goroutines
	whole    bool                           // every record could be read: sweeping is safe
	swept    bool                           // Sweep has run: what is unreachable may go
	names    map[string]*record             // by familiar reference
	images   map[string]*stored             // by ID
	holders  map[string]map[string]struct{} // by image ID: the containers that keep it
	lingers  map[string]int                 // by image ID: how many calls want it to outlast its containers, see Linger
	layers   map[string]*layer              // committed, by key
	blobs    map[string]int64               // committed, by digest: their size
	pulls    map[string]*pull               // under way, by familiar reference
	pushes   map[string]*push               // under way, by familiar reference
	arrivals map[*pull]struct{}             // what arrives otherwise than by a pull
	recent   map[string]*Progress           // of the last pull or push, by familiar reference
	unpacks  map[string]*unpacking          // layers on their way, by key
	fetches  map[string]*fetch              // blobs on their way, by digest
	snapshot atomic.Pointer[snapshot]

	views   views
	parsed  parsedConfigs
	events  queue
	rubbish chan struct{} // has a token when trash/ may have something
}

// Open opens the store in dir, making it if need be, and takes its lock. ctx is
// the daemon's context: when it ends, so do the pulls, to be taken up by the next
// daemon. Call Sweep once it is known which images containers hold.
func Open(ctx context.Context, dir string, o Options) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, &Error{Op: "open", Name: dir, Kind: System, Err: err}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Downloads <= 0 {
		o.Downloads = 6
	}
	if o.FreePercent == 0 {
		o.FreePercent = 5
	}
	if o.ViewIdle <= 0 {
		o.ViewIdle = time.Minute
	}
	s := newStore(ctx, dir, o)
	if err := s.open(); err != nil {
		s.stop()
		s.closeFiles()
		return nil, err
	}
	s.events.start(s.tell)
	s.goDo(s.runTrash)
	s.throw()
	return s, nil
}

func newStore(ctx context.Context, dir string, o Options) *Store {
	s := &Store{
		dir: dir, o: o, log: o.Logger,
		client: registry.New(registry.Options{
			Keychain: o.Keychain, Insecure: o.Insecure, Retries: o.Retries, Backoff: o.Backoff,
			Stall: o.Stall, Certificates: o.Certificates, Platform: o.Platform, UserAgent: o.UserAgent,
			Mirrors: o.Mirrors, Search: o.Search, Logger: o.Logger,
		}),
		change:   make(chan struct{}, 1),
		turns:    make(chan struct{}, pullsAtOnce),
		memory:   newMemory(),
		names:    map[string]*record{},
		images:   map[string]*stored{},
		holders:  map[string]map[string]struct{}{},
		lingers:  map[string]int{},
		layers:   map[string]*layer{},
		blobs:    map[string]int64{},
		pulls:    map[string]*pull{},
		pushes:   map[string]*push{},
		arrivals: map[*pull]struct{}{},
		recent:   map[string]*Progress{},
		unpacks:  map[string]*unpacking{},
		fetches:  map[string]*fetch{},
		rubbish:  make(chan struct{}, 1),
	}
	s.ctx, s.stop = context.WithCancel(ctx)
	s.views.idle = o.ViewIdle
	return s
}

// open makes the directories, takes the lock, and reads what is there.
func (s *Store) open() error {
	if err := s.makeDirs(); err != nil {
		return wrap("open", s.dir, err)
	}
	lock, err := takeLock(s.path(lockName))
	s.lock = lock
	if err != nil {
		return wrap("open", s.dir, err)
	}
	s.layersDir, err = openTree(s.path("layers"))
	if err == nil {
		err = s.load()
	}
	return wrap("open", s.dir, err)
}

// makeDirs makes the store's directories. Only root enters: images bring
// set-user-ID files and devices' names that no host user should reach.
func (s *Store) makeDirs() error {
	if err := os.MkdirAll(s.dir, 0o711); err != nil {
		return err
	}
	for _, name := range []string{"blobs", "blobs/sha256", "layers", "layers/" + emptyLayer, "layers/" + emptyLayer + "/diff", "images", "ingest", "staging", "trash"} {
		if err := os.Mkdir(s.path(name), 0o700); err != nil && !os.IsExist(err) {
			return err
		}
	}
	s.spreadLayers()
	// The empty layer's own directory is the root of an image without layers.
	return os.Chmod(s.path("layers", emptyLayer, "diff"), 0o755)
}

// spreadLayers keeps layers apart from each other on the disk, and from where others
// have just been removed: see [sys.Spread].
func (s *Store) spreadLayers() {
	staging, err := os.Open(s.path("staging"))
	if err == nil {
		err = sys.Spread(staging)
		_ = staging.Close() // it was only asked
	}
	if err != nil {
		s.log.Debug("the file system cannot be asked to keep layers apart", "err", err)
	}
}

// Close ends the pulls (a next Open takes them up), drops idle views, waits for
// every goroutine of the store, and gives up its lock.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.work.Wait()
	s.change <- struct{}{} // for good: another daemon may have the store now
	s.views.close()
	s.events.close()
	s.client.Close()
	s.closeFiles()
	return nil
}

// closeFiles closes what open opened; the lock goes last. Nothing was written to
// any of them.
func (s *Store) closeFiles() {
	for _, f := range []*os.File{s.layersDir, s.lock} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// goDo runs f in a goroutine that Close waits for. It says whether it could:
// a closed store starts nothing.
func (s *Store) goDo(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.work.Go(f)
	return true
}

// lockChange takes the change lock unless ctx or the store ends first.
func (s *Store) lockChange(ctx context.Context) error {
	select {
	case s.change <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ctx.Done():
		return &Error{Op: "change", Name: s.dir, Kind: Cancelled, Err: errClosed}
	}
	if s.ctx.Err() != nil {
		s.unlockChange()
		return &Error{Op: "change", Name: s.dir, Kind: Cancelled, Err: errClosed}
	}
	return nil
}

func (s *Store) unlockChange() { <-s.change }

// path is a path in the store. What it is given are names the store made up
// or digests that were checked to be hex, never anything an image brought.
func (s *Store) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// crash is a named crash point, where a test may end the process.
func (s *Store) crash(point string) {
	if s.o.Crash != nil {
		s.o.Crash(point)
	}
}

// Parse checks a reference and returns it as Docker prints it: "redis:7".
func (s *Store) Parse(text string) (string, error) {
	ref, err := parse("parse", text)
	if err != nil {
		return "", err
	}
	return ref.Familiar(), nil
}

func parse(op, text string) (reference.Reference, error) {
	ref, err := reference.Parse(text)
	if err != nil {
		return ref, &Error{Op: op, Kind: Invalid, Err: err}
	}
	return ref, nil
}

var errClosed = errors.New("the store is being closed; what was under way goes on when hull is started again")
