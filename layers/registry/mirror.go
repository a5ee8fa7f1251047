package registry

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"hull/layers/reference"
)

// mirror is a server that has what another registry has. It is asked once for
// each thing, with less patience than the registry itself, and whatever it gets
// wrong is the registry's to get right. Its logins are its own.
type mirror struct {
	host   string
	scheme string // "" is whichever it speaks
}

// How a mirror that failed is treated: for this long it is not asked again.
const (
	mirrorRest  = time.Minute
	mirrorStall = 3 // a third of Options.Stall
	maxResting  = 4096
	maxMirrors  = 8
)

const mirrorForm = "a mirror is written as https://mirror.example.com"

// CheckMirror says what is wrong with the address of a mirror, as a clause in an
// error, or nil.
func CheckMirror(address string) error {
	_, err := parseMirror(address)
	return err
}

// parseMirror reads "https://host:port" or "host:port". Plain http is only
// spoken if it is written out, which is the user's word that it may be.
func parseMirror(address string) (*mirror, error) {
	bare := !strings.Contains(address, "://")
	if bare {
		address = "//" + address
	}
	u, err := url.Parse(address)
	switch {
	case err != nil, u.Host == "", u.Opaque != "":
		return nil, errors.New(mirrorForm)
	case u.Scheme != "" && u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("a mirror is reached over https or http")
	case u.User != nil:
		return nil, errors.New("a mirror's address holds no login; log in to it by its host")
	case strings.Trim(u.Path, "/") != "", u.RawQuery != "", u.Fragment != "":
		return nil, errors.New("a mirror's address ends after its host")
	}
	_, err = reference.Parse(u.Host + "/x")
	if err != nil || hostname(u.Host) == "" || bare && !reference.IsDomain(u.Host) && u.Port() == "" {
		return nil, errors.New(mirrorForm)
	}
	return &mirror{host: u.Host, scheme: u.Scheme}, nil
}

// mirrors lists the mirrors to ask for something in a repository, and tells of those
// that rest.
func (c *Client) mirrors(ref reference.Reference) (all []*mirror, o passedOver) {
	if c.opt.Mirrors == nil {
		return nil, nil
	}
	for _, address := range c.opt.Mirrors(ref.Domain) {
		m, err := parseMirror(address)
		if err != nil {
			c.opt.Logger.Warn("a mirror is not used", "registry", ref.Domain, "mirror", address, "err", err)
			continue
		}
		why, rests := c.resting.rests(m, ref)
		switch {
		case m.host == hostOf(ref.Domain) || len(all)+len(o) == maxMirrors:
		case rests:
			o = append(o, m.host+": "+why)
		default:
			all = append(all, m)
		}
	}
	return all, o
}

// passedOver are the mirrors that did not help, with what was wrong: for the sentence
// in which the registry fails as well, because it may be the mirror that was meant to
// be used.
type passedOver []string

// add tells of one more.
func (o *passedOver) add(m *mirror, err error) {
	if e, ok := errors.AsType[*Error](err); ok {
		*o = append(*o, m.host+": "+e.Why())
	}
}

// told is the registry's failure, with theirs. What is the caller's own doing has
// nothing to do with them.
func (o passedOver) told(err error) error {
	var e *Error
	if len(o) == 0 || !errors.As(err, &e) || e.Kind == Write || e.Kind == Cancelled {
		return err
	}
	with := *e
	with.Mirrors = o
	return &with
}

// at turns a request to a mirror. Nil is the registry itself.
func (r *request) at(m *mirror) *request {
	if m != nil {
		r.server, r.scheme = m.host, m.scheme
	}
	return r
}

// hasty is the client for a mirror: it does not repeat, nor wait for long.
func (c *Client) hasty() *Client {
	other := *c
	other.opt.Retries = 0
	other.opt.Stall /= mirrorStall
	return &other
}

// passOver decides what a mirror's failure means: true that the next is to be
// asked, false that it was not the mirror's.
func (c *Client) passOver(ctx context.Context, m *mirror, ref reference.Reference, err error) bool {
	var e *Error
	if ctx.Err() != nil || !errors.As(err, &e) || e.Kind == Write {
		return false
	}
	c.resting.send(m, ref, e)
	c.opt.Logger.Debug("passing over a mirror", "image", ref.Familiar(), "op", e.Op, "mirror", m.host, "err", e)
	return true
}

// resting remembers which mirrors are not worth asking at the moment, so that one
// that is down delays a pull once and not for each layer.
type resting struct {
	rest time.Duration

	mu    sync.Mutex
	until map[string]rest // by host, or host and repository
}

type rest struct {
	until time.Time
	why   string
}

// rests tells whether a mirror rests, what was wrong with it, and how long it is not asked: somebody may have mended it.
func (r *resting) rests(m *mirror, ref reference.Reference) (why string, rests bool) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range []string{m.host, m.host + "/" + ref.Path} {
		if t, ok := r.until[key]; ok && now.Before(t.until) {
			left := max(1, int(t.until.Sub(now).Round(time.Second)/time.Second))
			return fmt.Sprintf("%s; it is asked again in %d s", t.why, left), true
		}
	}
	return "", false
}

// send lets a mirror rest: altogether if it is out of order, else for what it has
// not got.
func (r *resting) send(m *mirror, ref reference.Reference, e *Error) {
	key := m.host + "/" + ref.Path
	if e.Kind == Unavailable || e.Kind == Timeout || e.Kind == Rate {
		key = m.host
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.until) >= maxResting {
		clear(r.until)
	}
	r.until[key] = rest{now.Add(r.rest), e.Why()}
}
