package registry

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"
)

// The hosts where docker.io's repositories are, and the names they go by.
const (
	hubDomain = "docker.io"
	hubHost   = "registry-1.docker.io"
	hubIndex  = "index.docker.io" // where they are searched
)

// hostOf is the host that serves a domain's repositories.
func hostOf(domain string) string {
	if domain == hubDomain {
		return hubHost
	}
	return domain
}

// domainOf is what the user calls a host.
func domainOf(host string) string {
	if host == hubHost || host == hubIndex {
		return hubDomain
	}
	return host
}

// transports keeps a connection pool for each way of trusting: one for hosts that
// are nothing special, one for each set of certificates, one for whatever goes.
// As a RoundTripper it is the gate through which every request passes, redirected
// ones too, and the one place that refuses plain http.
type transports struct {
	insecure     func(domain string) bool
	certificates string
	proxy        func(*http.Request) (*url.URL, error)
	stall        time.Duration

	mu   sync.Mutex
	held map[string]*http.Transport // by the fingerprint of the trust
}

// maxTransports bounds what changing certificates leave behind.
const maxTransports = 64

func newTransports(o Options) *transports {
	return &transports{
		insecure:     o.Insecure,
		certificates: o.Certificates,
		proxy:        o.Proxy,
		stall:        o.Stall,
		held:         map[string]*http.Transport{},
	}
}

type (
	behalfKey struct{}
	plainKey  struct{}
)

// plainly marks a context as of requests to a host that may be spoken to in
// plain http, because the user wrote its address so.
func plainly(ctx context.Context, host string) context.Context {
	return context.WithValue(ctx, plainKey{}, host)
}

// onBehalf marks a context as a registry's. What the user has said of a registry
// covers the hosts that it leads to, as in Docker: its authorities are believed
// about its token server and its storage.
func onBehalf(ctx context.Context, registry string) context.Context {
	return context.WithValue(ctx, behalfKey{}, registry)
}

// RoundTrip sends a request over the transport for its host.
func (t *transports) RoundTrip(req *http.Request) (*http.Response, error) {
	host := req.URL.Host
	registry, _ := req.Context().Value(behalfKey{}).(string)
	plain, _ := req.Context().Value(plainKey{}).(string)
	switch {
	case req.URL.Scheme == "https":
	case req.URL.Scheme != "http":
		closeBody(req)
		return nil, refusef("it redirects to an address of the kind %s, and hull speaks https", printable(req.URL.Scheme))
	case req.URL.Scheme == "http" && (t.lax(host, registry) || plain == host && host != ""):
	default:
		closeBody(req)
		return nil, refusef("hull does not send %s to %s unencrypted", req.Method, printable(host))
	}
	trust, err := t.trust(host, registry)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	return t.transport(trust).RoundTrip(req)
}

// closeBody does for a request that is not sent what sending it would.
func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// lax reports whether plain http and unknown certificates are acceptable of a
// host: of this machine, of an insecure registry, and of that registry's other
// ports, where its token server may be.
func (t *transports) lax(host, registry string) bool {
	if isLoopback(host) || t.insecure(domainOf(host)) {
		return true
	}
	return registry != "" && hostname(host) == hostname(registry) && t.insecure(domainOf(registry))
}

// transport finds or makes the transport for a way of trusting.
func (t *transports) transport(trust *trust) *http.Transport {
	key := trust.fingerprint()
	var old map[string]*http.Transport
	t.mu.Lock()
	tr, ok := t.held[key]
	if !ok {
		if len(t.held) >= maxTransports {
			old, t.held = t.held, map[string]*http.Transport{}
		}
		tr = t.make(trust)
		t.held[key] = tr
	}
	t.mu.Unlock()
	closeIdle(old)
	return tr
}

// make sets up a transport. It speaks HTTP/1.1 only, so that each layer has a
// connection to itself: over HTTP/2 all layers would share one connection's
// congestion window, and break together.
func (t *transports) make(trust *trust) *http.Transport {
	return &http.Transport{
		Proxy: t.proxy,
		// Half the patience, so that who cannot be connected to is told from who
		// connects and then says nothing.
		DialContext:            (&net.Dialer{Timeout: t.stall / 2, KeepAlive: 15 * time.Second}).DialContext,
		OnProxyConnectResponse: proxyAnswer,
		TLSClientConfig:        trust.config(),
		TLSHandshakeTimeout:    t.stall,
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		// Bytes must arrive as their digest was taken; never inflate them.
		DisableCompression: true,
		WriteBufferSize:    4 << 10,
		ReadBufferSize:     64 << 10,
	}
}

// proxyError is a proxy's refusal to connect.
type proxyError struct{ status int }

func (e *proxyError) Error() string {
	return fmt.Sprintf("the proxy on the way to it answers %d %s", e.status, http.StatusText(e.status))
}

func proxyAnswer(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return &proxyError{resp.StatusCode}
	}
	return nil
}

func (t *transports) close() {
	t.mu.Lock()
	old := t.held
	t.held = map[string]*http.Transport{}
	t.mu.Unlock()
	closeIdle(old)
}

func closeIdle(all map[string]*http.Transport) {
	for _, tr := range all {
		tr.CloseIdleConnections()
	}
}

// hostname is a URL's host without port and brackets.
func hostname(host string) string {
	return (&url.URL{Host: host}).Hostname()
}

// isLoopback reports whether a host, with or without port, is written as this
// machine itself. What a DNS name leads to is not looked up.
func isLoopback(host string) bool {
	name := hostname(host)
	if strings.EqualFold(name, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && addr.Unmap().IsLoopback()
}

// inward says why a host that a registry names should not be called from this
// machine on the registry's behalf: it leads to the machine itself, or to
// addresses such as 169.254.169.254, where clouds give machines their secrets.
// Private networks are allowed, because registries in them keep their blobs and
// token servers there. Names that resolve to such addresses are not seen here.
func inward(host string) (reason string) {
	name := strings.TrimSuffix(strings.ToLower(hostname(host)), ".")
	if name == "" {
		return "that has no host"
	}
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return "that is this machine itself"
	}
	addr, err := netip.ParseAddr(name)
	if err != nil {
		// 127.1, 0x7f000001, 017700000001: some resolvers take these for
		// addresses. No top-level domain begins with a digit.
		last := name[strings.LastIndexByte(name, '.')+1:]
		if last != "" && last[0] >= '0' && last[0] <= '9' {
			return "that is an address in disguise"
		}
		return ""
	}
	addr = addr.Unmap()
	switch {
	case addr.IsLoopback(), addr.IsUnspecified():
		return "that is this machine itself"
	case addr.IsLinkLocalUnicast(), addr.IsMulticast():
		return "that is a link-local address"
	}
	return ""
}
