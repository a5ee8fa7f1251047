package layers

import (
	"log/slog"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"hull/layers/registry"
)

// Options are what the store needs to know beyond its directory. The zero
// value is fit for use.
type Options struct {
	Keychain     registry.Keychain                  // credentials; nil = none
	Logins       func(uid uint32) registry.Keychain // a user's credentials, for his pulls that are taken up again; nil = Keychain
	Insecure     func(domain string) bool           // registries that may be spoken to in plain http; loopback always may
	Retries      int                                // of a request, 0 = the client's default
	Backoff      time.Duration                      // before the first retry, 0 = the client's default
	Stall        time.Duration                      // without progress before giving up, 0 = the client's default
	Downloads    int                                // blobs at once per pull, 0 = 6
	FreePercent  int                                // of the disk that pulls leave free, 0 = 5, negative = no check
	Mirrors      func(domain string) []string       // servers to be asked before a domain's own; nil = none
	Search       func(domain string) string         // where a domain is searched; nil or empty = at itself
	Certificates string                             // a directory like Docker's /etc/docker/certs.d, empty = none
	Platform     v1.Platform                        // zero = this machine's
	UserAgent    string                             // told to registries
	Logger       *slog.Logger                       // nil = none
	Notify       func(Event)                        // told what happened, one event at a time, never under a lock
	Swept        func(id string)                    // told of each layer that goes because nothing has it any more
	Crash        func(point string)                 // tests: called at each named crash point
	ViewIdle     time.Duration                      // how long an unused View stays mounted, 0 = a minute
	Limits       Limits                             // of one layer, zero fields = defaults
}

// Limits bound what a layer may unpack to; zero fields take unpack's defaults.
type Limits struct {
	Bytes   int64
	Entries int64
}

// CrashPoints are the names that Options.Crash is called with.
func CrashPoints() []string {
	return []string{
		"record.temporary", // a record is written, but has not its name yet
		"record.renamed",   // it has, but its directory is not synced
		"ingest.begun",     // a blob is about to be fetched
		"ingest.arrived",   // it is here, but not verified
		"layer.unpacked",   // a layer is verified in staging/
		"pull.synced",      // everything is on the disk, nothing in its place
		"blob.placed",      // one blob is in its place
		"layer.placed",     // one layer is in its place
		"pull.placed",      // all is in its place, but no record says so
		"commit.packed",    // a container's changes are a blob in staging/
		"remove.record",    // the record is gone, what it reached is not
		"push.begun",       // a push is accepted
		"push.sent",        // everything is at the registry, and nobody knows yet
		"layer.replaced",   // a damaged layer has been replaced
		"trash.moved",      // something is in trash/
		"trash.emptying",   // what is in trash/ is about to be unlinked
	}
}
