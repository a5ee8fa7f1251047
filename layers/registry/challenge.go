package registry

import (
	"net/http"
	"strings"
)

// challenge is one way a registry accepts to be convinced (RFC 9110, 11.6.1):
// a scheme, and parameters such as where tokens are to be had.
type challenge struct {
	scheme string // in lower case
	params map[string]string
}

// maxChallenges bounds what is read of one answer's headers.
const maxChallenges = 16

// challenges reads the WWW-Authenticate headers of an answer. A header may hold
// several challenges, separated by the same commas as their parameters: what
// follows a comma is a parameter if it has an equals sign after its name, else
// the next scheme. Reading a header ends where it stops making sense.
func challenges(h http.Header) []challenge {
	var all []challenge
	for _, s := range h.Values("WWW-Authenticate") {
		for s != "" && len(all) < maxChallenges {
			var c challenge
			c, s = readChallenge(s)
			if c.scheme != "" {
				all = append(all, c)
			}
		}
	}
	return all
}

// pick chooses the challenge that hull can answer, tokens before passwords.
func pick(all []challenge) (challenge, bool) {
	for _, scheme := range []string{"bearer", "basic"} {
		for _, c := range all {
			if c.scheme == scheme {
				return c, true
			}
		}
	}
	return challenge{}, false
}

// readChallenge reads one challenge and returns what follows it; nothing if what
// follows makes no sense.
func readChallenge(s string) (challenge, string) {
	scheme, s := readToken(skip(s))
	if scheme == "" {
		return challenge{}, ""
	}
	c := challenge{scheme: strings.ToLower(scheme), params: map[string]string{}}
	for {
		s = skip(s)
		name, rest := readToken(s)
		if name == "" || rest != "" && strings.IndexByte(" \t,=", rest[0]) < 0 {
			// token68, as Negotiate has, or rubbish: up to the next comma.
			_, s, _ = strings.Cut(s, ",")
			return c, s
		}
		rest = strings.TrimLeft(rest, " \t")
		if !strings.HasPrefix(rest, "=") {
			return c, s // the next challenge's scheme
		}
		value, rest, ok := readValue(strings.TrimLeft(rest[1:], " \t"))
		if !ok {
			return c, ""
		}
		if key := strings.ToLower(name); c.params[key] == "" {
			c.params[key] = value
		}
		s = rest
		if skip(s) == "" {
			return c, ""
		}
	}
}

// skip drops spaces and commas.
func skip(s string) string { return strings.TrimLeft(s, " \t,") }

// readToken reads the characters that names may have (RFC 9110, 5.6.2).
func readToken(s string) (token, rest string) {
	for i := range len(s) {
		c := s[i]
		alnum := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !alnum && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return s[:i], s[i:]
		}
	}
	return s, ""
}

// readValue reads a parameter's value, quoted or not. Some registries forget to
// quote addresses, so anything up to a comma or space is taken.
func readValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, ", \t")
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:], true
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			if i++; i < len(s) {
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", false
}
