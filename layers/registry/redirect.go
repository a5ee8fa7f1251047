package registry

import (
	"fmt"
	"net/http"
)

// maxRedirects is how many hops are followed; registries need one or two, to
// where their blobs are stored.
const maxRedirects = 8

// refusal is what hull declines to do though a registry asks for it.
type refusal struct{ reason string }

func (r *refusal) Error() string { return r.reason }

func refusef(format string, args ...any) error {
	return &refusal{fmt.Sprintf(format, args...)}
}

// checkRedirect decides whether a redirect is followed. Whoever controls a
// registry chooses where it leads, so it never leads from https to plain http,
// from elsewhere into this machine, in a circle, or with credentials to a host
// other than the one they are for. (net/http would let them go to subdomains.)
func (t *transports) checkRedirect(req *http.Request, via []*http.Request) error {
	first, last := via[0], via[len(via)-1]
	if first.Body != nil && first.Body != http.NoBody {
		return refusef("it redirects what is sent to it")
	}
	if len(via) > maxRedirects {
		return refusef("it redirects more than %d times", maxRedirects)
	}
	target := req.URL.String()
	for _, earlier := range via {
		if earlier.URL.String() == target {
			return refusef("it redirects in a circle")
		}
	}
	if last.URL.Scheme == "https" && req.URL.Scheme != "https" {
		return refusef("it redirects from https to %s", printable(req.URL.Scheme))
	}
	if reason := inward(req.URL.Host); reason != "" && !isLoopback(first.URL.Host) && req.URL.Host != first.URL.Host {
		return refusef("it redirects to %s, and %s", printable(req.URL.Host), reason)
	}
	if req.URL.Host != first.URL.Host || req.URL.Scheme != first.URL.Scheme {
		req.Header.Del("Authorization")
	}
	// The address left may hold a signature; it is nobody else's business.
	req.Header.Del("Referer")
	return nil
}
