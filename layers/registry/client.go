// Package registry fetches images from OCI and Docker v2 registries, brings them
// there, and asks what else is there.
//
// A Client asks a registry for the manifest that a reference names (Resolve),
// chooses the host's platform if that is an index, and fetches the manifest and
// the configuration, both small, capped and verified against their digests. The
// layers, large, are streamed by the caller one by one (Blob): into any writer,
// from any offset, over as many connections as it takes. What a layer's bytes
// are is the caller's to verify, who hashes them on their way to the disk.
//
// Push goes the other way, with the bytes as they were fetched, so that digests
// stay what they were: layers that the registry has are not sent, the manifest
// comes last. Tags, Search and Login answer a person's questions.
//
// The rules it keeps, of whatever a registry says:
//
//   - Plain http is spoken only with loopback addresses and with the registries
//     that Options.Insecure names; https goes on in https.
//   - Credentials go to the registry they are for and to the token server it
//     names, over https, and to no host that either redirects to, nor to a mirror.
//   - Whatever is read into memory has a cap. Whatever is waited for has a limit
//     on the time without progress, but none on the whole.
//   - Failures are typed: *Error says by Kind what sort it is, and carries the
//     registry's own words.
//
// Of the library go-containerregistry only plain data types are used here. Its
// transport can not resume, asks one request more, sends plain http to private
// networks, refuses the token servers that many of those have, and compiles
// regular expressions at start; see transport.go and token.go for what is done
// instead.
package registry

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Options are what a Client needs to know of its surroundings. All have
// defaults.
type Options struct {
	// Keychain finds the credentials for a registry. Nil means none.
	Keychain Keychain
	// Insecure says whether a registry may be spoken to in plain http, or with
	// a certificate that nobody vouches for. Loopback addresses always may.
	Insecure func(domain string) bool
	// Certificates is a directory as Docker's /etc/docker/certs.d: in HOST or
	// HOST:PORT, *.crt are authorities to trust for that host, and NAME.cert
	// with NAME.key a certificate to show it. Empty means none.
	Certificates string
	// Retries is how often a failed request is repeated; 0 means 5, negative
	// never. A download that makes progress starts counting anew.
	Retries int
	// Backoff is the wait before the first repetition, doubled for each more;
	// 0 means half a second.
	Backoff time.Duration
	// Stall is how long a connection may bring nothing; 0 means 30 seconds.
	Stall time.Duration
	// Platform is chosen from an index; zero means the host's.
	Platform v1.Platform
	// UserAgent is how hull introduces itself; empty means "hull".
	UserAgent string
	// Mirrors lists the servers that are asked before a domain's own, best first:
	// "https://mirror.gcr.io", or only a host. Those that fail are passed over.
	// Nil means none.
	Mirrors func(domain string) []string
	// Search gives the address at which a domain is searched, if it is another
	// than /v1/search at that host. Nil, and an empty answer, mean that it is not.
	Search func(domain string) string
	// Logger gets a line for what is repeated. Nil means none.
	Logger *slog.Logger
	// Proxy chooses the proxy of a request; nil means HTTPS_PROXY, HTTP_PROXY
	// and NO_PROXY.
	Proxy func(*http.Request) (*url.URL, error)
}

// Keychain finds credentials. It is asked only when a registry demands some,
// and by whichever goroutine needs them.
type Keychain interface {
	// Credential returns what the user has for the registry of that domain; the
	// zero Credential if nothing.
	Credential(ctx context.Context, domain string) (Credential, error)
}

// Credential is what proves a user to a registry: a name and a password, or one
// of the tokens. It never prints.
type Credential struct {
	User, Password string
	IdentityToken  string // a refresh token, as docker login stores for some
	RegistryToken  string // a bearer token, used as it is
}

// String keeps secrets out of logs and messages.
func (Credential) String() string { return "(credential)" }

// GoString keeps secrets out of logs and messages.
func (Credential) GoString() string { return "(credential)" }

// LogValue keeps secrets out of logs.
func (Credential) LogValue() slog.Value { return slog.StringValue("(credential)") }

// Client talks to registries. Its methods may be called from any goroutine.
type Client struct {
	opt        Options
	transports *transports
	http       *http.Client
	schemes    *schemes
	tokens     *tokens
	resting    *resting
	repeat     func(wait time.Duration, err *Error) // told before each wait; nil = nobody is
}

// New makes a Client. It does not connect to anything yet.
func New(o Options) *Client {
	if o.Insecure == nil {
		o.Insecure = func(string) bool { return false }
	}
	if o.Retries == 0 {
		o.Retries = 5
	}
	o.Retries = max(o.Retries, 0)
	if o.Backoff <= 0 {
		o.Backoff = 500 * time.Millisecond
	}
	if o.Stall <= 0 {
		o.Stall = 30 * time.Second
	}
	if o.Platform.OS == "" {
		o.Platform = HostPlatform()
	}
	if o.UserAgent == "" {
		o.UserAgent = "hull"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Proxy == nil {
		o.Proxy = http.ProxyFromEnvironment
	}
	t := newTransports(o)
	return &Client{
		opt:        o,
		transports: t,
		http:       &http.Client{Transport: t, CheckRedirect: t.checkRedirect},
		schemes:    &schemes{known: map[string]string{}},
		tokens:     &tokens{held: map[tokenKey]token{}},
		resting:    &resting{rest: mirrorRest, until: map[string]rest{}},
	}
}

// With is a Client for somebody else's credentials: it shares the connections,
// but no token.
func (c *Client) With(k Keychain) *Client {
	other := *c
	other.opt.Keychain = k
	other.tokens = &tokens{held: map[tokenKey]token{}}
	return &other
}

// For is a Client that chooses another platform; it shares all else.
func (c *Client) For(p v1.Platform) *Client {
	other := *c
	other.opt.Platform = p
	return &other
}

// Direct is a Client that asks no mirrors, for when one has sent other bytes than
// it should; it shares all else.
func (c *Client) Direct() *Client {
	other := *c
	other.opt.Mirrors = nil
	return &other
}

// Telling is a Client that says when it is going to try something again, after
// which wait, and what went wrong; it shares all else. f must not block, and is
// called by the goroutine of the call that is repeated.
func (c *Client) Telling(f func(wait time.Duration, err *Error)) *Client {
	other := *c
	other.repeat = f
	return &other
}

// Close gives up the idle connections, also of Clients made by With. Calls under
// way go on.
func (c *Client) Close() { c.transports.close() }
