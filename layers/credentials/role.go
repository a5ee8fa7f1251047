package credentials

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Main is the child: it carries out the one order on its standard input, writes
// the answer to its standard output, and returns the exit status, which is 0 also
// for failures that it could answer.
func Main(_ []string) int {
	// The engine's umask is 0, which no file of a user's should have.
	unix.Umask(0o077)
	// No core dump with a secret in it.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	// Whatever the engine was started with and has not closed is nobody's here.
	// Linux 5.11; before, helpers get what the engine leaves open.
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	// A helper dies with the thread that began it, see program.Output.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	var o order
	in, err := io.ReadAll(io.LimitReader(os.Stdin, maxMessage))
	if err != nil || json.Unmarshal(in, &o) != nil {
		return 1
	}
	setRuntime(o.Runtime)
	a, err := o.carryOut(ctx, os.Getenv("HOME"))
	if err != nil {
		a = &answer{Kind: System.String(), Reason: printable(err.Error())}
		if f, ok := errors.AsType[*fault](err); ok {
			a.Kind, a.Reason = f.kind.String(), f.reason
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(a); err != nil {
		return 1
	}
	return 0
}

// carryOut does what the order says in the home of who runs it.
func (o *order) carryOut(ctx context.Context, home string) (*answer, error) {
	dir := o.Config
	if dir == "" {
		dir = filepath.Join(home, ".docker")
	}
	if !filepath.IsAbs(dir) || !isDomain(o.Domain) {
		return nil, faultf(Malformed, "the directory %q, or the registry %q, cannot be right", dir, o.Domain)
	}
	own := filepath.Join(dir, "config.json")
	files := append([]string{own}, podmanFiles(home, o.Runtime)...)
	switch o.Op {
	case opGet:
		for _, path := range files {
			s, found, err := get(ctx, path, o.Domain)
			if err != nil || found {
				return &answer{Secret: s}, err
			}
		}
		return &answer{}, nil
	case opStore:
		helper, err := store(ctx, own, o.Domain, o.Secret)
		return &answer{File: own, Helper: helper}, err
	case opErase:
		var failures []error
		for _, path := range files {
			failures = append(failures, erase(ctx, path, o.Domain))
		}
		return &answer{}, errors.Join(failures...)
	}
	return nil, faultf(System, "the order %q is unknown", o.Op)
}
