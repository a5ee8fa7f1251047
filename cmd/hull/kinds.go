package main

import (
	"context"
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"hull/engine"
	"hull/fs"
	"hull/layers"
	"hull/layers/credentials"
	"hull/layers/pack"
	"hull/layers/registries"
)

// The failures of engine and store in the words of the tree. A test demands a
// row for every Kind of both.

var engineKinds = map[engine.Kind]fs.Kind{
	engine.System:        fs.System,
	engine.Invalid:       fs.Invalid,
	engine.NotFound:      fs.NotFound,
	engine.Exists:        fs.Exists,
	engine.Busy:          fs.Busy,
	engine.Denied:        fs.Denied,
	engine.NeedsRoot:     fs.Forbidden,
	engine.NotRunning:    fs.NotRunning,
	engine.Running:       fs.Busy,
	engine.NotExecutable: fs.NotExecutable,
	engine.NotCommand:    fs.NotFound,
	engine.Space:         fs.Space,
	engine.Removed:       fs.Removed,
	engine.Interrupted:   fs.Interrupted,
	engine.NotEmpty:      fs.NotEmpty,
	engine.Unsupported:   fs.Unsupported,
	engine.InUse:         fs.InUse,
}

var layersKinds = map[layers.Kind]fs.Kind{
	layers.System:      fs.System,
	layers.Invalid:     fs.Invalid,
	layers.NotFound:    fs.NotFound,
	layers.Exists:      fs.Exists,
	layers.Busy:        fs.Busy,
	layers.Denied:      fs.Denied,
	layers.Unavailable: fs.Refused,
	layers.Timeout:     fs.Timeout,
	layers.Corrupt:     fs.Corrupt,
	layers.Platform:    fs.NotExecutable,
	layers.Space:       fs.Space,
	layers.Cancelled:   fs.Interrupted,
	layers.Rate:        fs.Busy,
	layers.Removed:     fs.Removed,
	layers.TooLarge:    fs.Space,
	layers.Unmapped:    fs.Unsupported,
}

var credentialKinds = map[credentials.Kind]fs.Kind{
	credentials.System:    fs.System,
	credentials.Malformed: fs.Invalid,
	credentials.Denied:    fs.Denied,
	credentials.Homeless:  fs.Forbidden,
	credentials.Helper:    fs.Denied,
	credentials.Space:     fs.Space,
	credentials.Timeout:   fs.Timeout,
	credentials.Cancelled: fs.Interrupted,
}

var bookKinds = map[registries.Kind]fs.Kind{
	registries.System:   fs.System,
	registries.Invalid:  fs.Invalid,
	registries.NotFound: fs.NotFound,
	registries.Exists:   fs.Exists,
	registries.Fixed:    fs.Forbidden,
	registries.Space:    fs.Space,
}

// storeInEngine gives the engine the Kind of a store's failure.
var storeInEngine = map[layers.Kind]engine.Kind{
	layers.System:      engine.System,
	layers.Invalid:     engine.Invalid,
	layers.NotFound:    engine.NotFound,
	layers.Exists:      engine.Exists,
	layers.Busy:        engine.Busy,
	layers.Denied:      engine.Denied,
	layers.Unavailable: engine.Busy,
	layers.Timeout:     engine.Busy,
	layers.Corrupt:     engine.System,
	layers.Platform:    engine.NotExecutable,
	layers.Space:       engine.Space,
	layers.Cancelled:   engine.Interrupted,
	layers.Rate:        engine.Busy,
	layers.Removed:     engine.Removed,
	layers.TooLarge:    engine.Space,
	layers.Unmapped:    engine.Unsupported,
}

// fromEngine makes a failure of the engine one of the tree. A failure of the
// store that the engine only passed on keeps its own Kind.
func fromEngine(object string, err error) error {
	var e *engine.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		kind := engineKinds[e.Kind]
		if l, ok := errors.AsType[*layers.Error](e.Err); ok {
			kind = layersKinds[l.Kind]
		}
		if kind == fs.NotExecutable && errors.Is(err, unix.EACCES) {
			kind = fs.Denied // the file's mode and not its format
		}
		return &fs.Error{Op: e.Op, Object: object, Kind: kind, Sentence: e.Error(), Err: err}
	default:
		return fromContext(object, err)
	}
}

// fromStore makes a failure of the store one of the tree.
func fromStore(object string, err error) error {
	var e *layers.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		kind := layersKinds[e.Kind]
		if e.Kind == layers.Unavailable && noWay(err) {
			kind = fs.Unreachable
		}
		return &fs.Error{Op: e.Op, Object: object, Kind: kind, Sentence: e.Error(), Err: err}
	default:
		return fromContext(object, err)
	}
}

// noWay tells that nobody was reached who could have refused.
func noWay(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) || errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH)
}

// fromVerb makes what a verb failed with one of the tree's failures. A sentence
// without a kind is about how the verb was called; what the kernel said is not.
func fromVerb(object string, err error) error {
	var (
		known *fs.Error
		e     *engine.Error
		l     *layers.Error
		errno syscall.Errno
	)
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case errors.As(err, &e):
		return fromEngine(object, err)
	case errors.As(err, &l):
		return fromStore(object, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.As(err, &errno):
		return fromContext(object, err)
	}
	return &fs.Error{Object: object, Kind: fs.Invalid, Sentence: err.Error(), Err: err}
}

func fromContext(object string, err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return &fs.Error{Object: object, Kind: fs.Interrupted, Sentence: "The call was interrupted; work that was accepted goes on.", Err: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &fs.Error{Object: object, Kind: fs.Timeout, Err: err}
	}
	return &fs.Error{Object: object, Kind: fs.System, Sentence: err.Error(), Err: err}
}

// toEngine makes a failure of the store one of the engine's.
func toEngine(op string, err error) error {
	var e *layers.Error
	if err == nil || !errors.As(err, &e) {
		return err
	}
	return &engine.Error{Op: op, Kind: storeInEngine[e.Kind], Err: err}
}

var packKinds = map[pack.Kind]fs.Kind{
	pack.System:      fs.System,
	pack.Unsupported: fs.Unsupported,
	pack.TooLarge:    fs.Space,
	pack.Space:       fs.Space,
	pack.Write:       fs.Interrupted,
	pack.Cancelled:   fs.Interrupted,
}
