package registry

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// What is read of an answer that is an error, and what is shown of it.
const (
	maxErrorAnswer = 64 << 10
	maxMessage     = 400
)

// fail makes an Error of what is known before or without an answer.
func (r *request) fail(k Kind, reason string, err error) *Error {
	return &Error{
		Op: r.op, Reference: r.subject(), Host: domainOf(r.host()),
		Kind: k, Reason: reason, Err: err,
	}
}

// broken makes an Error of a request that had no answer.
func (r *request) broken(ctx context.Context, err error) *Error {
	// A url.Error tells the address, which may hold a signature.
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if e := r.ended(ctx, err); e != nil {
		return e
	}
	kind, reason, again := diagnose(err)
	e := r.fail(kind, reason, err)
	e.temporary, e.dialing = again, isDialing(err)
	return e
}

// ended makes an Error of a context that is over, whatever the failure looks
// like that this led to. Nil if it is not over.
func (r *request) ended(ctx context.Context, err error) *Error {
	if ctx.Err() == nil {
		return nil
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errStalled):
		e := r.fail(Timeout, "nothing has come from it for too long", cause)
		e.temporary, e.dialing = true, isDialing(err)
		return e
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return r.fail(Timeout, "it has not answered in the time given", cause)
	default:
		return r.fail(Cancelled, "it was cancelled", cause)
	}
}

// isDialing reports whether a failure was to connect at all.
func isDialing(err error) bool {
	var op *net.OpError
	var proxy *proxyError
	return errors.As(err, &proxy) || errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect")
}

// diagnose says what a broken connection means, and whether to try again.
func diagnose(err error) (k Kind, reason string, again bool) {
	var (
		refused *refusal
		proxy   *proxyError
		cert    *tls.CertificateVerificationError
		dns     *net.DNSError
		timeout net.Error
		op      *net.OpError
	)
	switch {
	case errors.As(err, &refused):
		return Protocol, refused.reason, false
	case errors.As(err, &cert):
		return Unavailable, "its certificate is not to be trusted: " + printable(cert.Err.Error()), false
	case errors.As(err, &proxy):
		return Unavailable, proxy.Error(), proxy.status >= 500
	case errors.As(err, &op) && op.Op == "remote error": // an alert of TLS
		return Unavailable, "it will not speak TLS with hull: " + printable(op.Err.Error()), false
	case errors.Is(err, http.ErrSchemeMismatch):
		return Unavailable, "it speaks plain http, which is used only with registries marked insecure", false
	case errors.As(err, &op) && op.Op == "proxyconnect":
		return Unavailable, "the proxy on the way to it cannot be used: " + printable(op.Err.Error()), true
	case errors.As(err, &dns) && dns.IsNotFound:
		return Unavailable, "there is no host of that name", true
	case errors.As(err, &dns):
		return Unavailable, "its name cannot be looked up at the moment", true
	case errors.Is(err, syscall.ECONNREFUSED):
		return Unavailable, "nothing answers there (connection refused)", true
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return Unavailable, "there is no way to it through the network", true
	case errors.As(err, &timeout) && timeout.Timeout():
		return Timeout, "it has not answered", true
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return Unavailable, "the connection broke", true
	}
	return Unavailable, "the request failed: " + printable(err.Error()), true
}

// unread makes an Error of a body that could not be read to its end.
func (r *request) unread(ctx context.Context, what string, err error) *Error {
	if errors.Is(err, errTooLarge) {
		return r.fail(TooLarge, what+" is larger than hull accepts", err)
	}
	return r.broken(ctx, err)
}

// refused makes an Error of an answer with a status that was not wanted.
func (r *request) refused(resp *http.Response) *Error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorAnswer))
	message, codes := readMessage(resp.Header, body)
	e := r.fail(Protocol, "it answers "+status(resp), nil)
	e.Status, e.Message, e.codes = resp.StatusCode, message, codes
	if host := resp.Request.URL.Host; host != r.host() {
		e.Host = printable(host)
	}
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		e.Kind = Denied
		e.Reason = "access is denied; there may be no such image, or it needs a login"
	case http.StatusNotFound:
		e.Kind, e.Reason = NotFound, "there is no such image or tag"
		if strings.Contains(r.path, "/blobs/") {
			e.Reason = "it has not got a part of this image"
		}
	case http.StatusTooManyRequests:
		e.Kind, e.Reason, e.temporary = Rate, "it refuses more requests for now", true
		e.after = retryAfter(resp.Header)
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		e.Kind, e.temporary = Timeout, true
	case http.StatusRequestedRangeNotSatisfiable:
		e.Kind, e.Reason = Corrupt, "it has less of this than it should"
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable:
		e.Kind, e.temporary = Unavailable, true
		e.after = retryAfter(resp.Header)
	case http.StatusBadRequest:
		if codes["NAME_INVALID"] || codes["TAG_INVALID"] {
			e.Kind, e.Reason = NotFound, "it allows no such name"
		}
	}
	e.reword(r)
	return e
}

// reword says what an answer means where it is not an image that is asked for.
func (e *Error) reword(r *request) {
	switch {
	case e.codes["DIGEST_INVALID"] || e.codes["SIZE_INVALID"]:
		e.Kind, e.Reason = Corrupt, "what arrived there does not have the digest it should"
	case r.op == opPush && e.Kind == Denied:
		e.Reason = "access is denied; it needs a login that may write there"
	case r.op == opPush && e.Kind == NotFound && r.method != http.MethodHead:
		e.Reason = "it takes nothing of that name"
	case r.op == opTags && e.Kind == NotFound:
		e.Reason = "there is no such repository"
	case r.op == opTags && e.Kind == Denied:
		e.Reason = "access is denied; there may be no such repository, or it needs a login"
	case r.op == opSearch && e.Kind == NotFound:
		e.Reason = "it cannot be searched"
	case r.op == opSearch && e.Kind == Denied:
		e.Reason = "access is denied; it may need a login"
	case r.op == opLogin && e.Kind == NotFound:
		e.Reason = "there is no registry that hull can speak with"
	case r.op == opLogin && e.Kind == Denied:
		e.Reason = "it does not accept this login"
	}
}

// unauthorized makes an Error of a token server's answer: whatever it has
// against the request, the registry is out of reach.
func (r *request) unauthorized(resp *http.Response) *Error {
	e := r.refused(resp)
	e.Host = domainOf(r.host())
	switch {
	case e.temporary:
	case e.Kind == Denied && r.op == opLogin:
		e.Reason = "its token server does not accept this login"
	case e.Kind == Denied:
		e.Reason = "its token server does not accept the login"
	default:
		e.Kind, e.Reason = Denied, "its token server gives no access ("+status(resp)+")"
	}
	return e
}

func status(resp *http.Response) string {
	s := strconv.Itoa(resp.StatusCode)
	if text := http.StatusText(resp.StatusCode); text != "" {
		s += " " + text
	}
	return s
}

// readMessage takes what a person should read out of an error's body: the
// messages of the registry's JSON, else a line of plain text.
func readMessage(h http.Header, body []byte) (message string, codes map[string]bool) {
	var answer struct {
		Errors []struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"errors"`
		Details     string `json:"details"` // Docker Hub's token server
		Message     string `json:"message"`
		Description string `json:"error_description"` // OAuth2
	}
	codes = map[string]bool{}
	if json.Unmarshal(body, &answer) != nil && answer.Errors == nil {
		kind, _, _ := strings.Cut(h.Get("Content-Type"), ";")
		if kind == "text/plain" {
			return printable(string(body)), codes
		}
		return "", codes
	}
	var parts []string
	for i, e := range answer.Errors {
		if i == 5 {
			break
		}
		codes[e.Code] = true
		switch {
		case e.Message != "":
			parts = append(parts, e.Message)
		case e.Code != "":
			parts = append(parts, strings.ToLower(strings.ReplaceAll(e.Code, "_", " ")))
		}
	}
	for _, s := range []string{answer.Details, answer.Description, answer.Message} {
		if len(parts) == 0 && s != "" {
			parts = append(parts, s)
		}
	}
	return printable(strings.Join(parts, "; ")), codes
}

// printable makes somebody else's words fit for a line on a terminal: no control
// characters, which could drive it, and not too many.
func printable(s string) string {
	if len(s) > 4*maxMessage {
		s = s[:4*maxMessage]
	}
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "?")), " ")
	s = strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, s)
	if runes := []rune(s); len(runes) > maxMessage {
		s = string(runes[:maxMessage]) + "…"
	}
	return s
}

// retryAfter reads how long a server asks to wait, as seconds or as a date.
func retryAfter(h http.Header) time.Duration {
	s := h.Get("Retry-After")
	if s == "" {
		return 0
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.Duration(min(max(n, 0), 1<<20)) * time.Second
	}
	if at, err := http.ParseTime(s); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}
