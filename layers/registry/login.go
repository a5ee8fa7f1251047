package registry

import (
	"context"
	"net/http"
	"strings"

	"hull/layers/reference"
)

// Login asks a registry whether it accepts a credential, and returns what to
// keep: the credential, or in place of its password the token that some give for
// it. Nothing is stored. A wrong password is an *Error of Kind Denied.
//
// A registry that admits everybody is asked again with the login, since it may
// have more for those who have one.
func (c *Client) Login(ctx context.Context, domain string, cred Credential) (Credential, error) {
	r := &request{
		op: opLogin, ref: reference.Reference{Domain: domain}, name: printable(domain),
		method: http.MethodGet, path: "/v2/",
	}
	switch {
	case strings.Contains(cred.User, ":"):
		return Credential{}, r.fail(Denied, "a user's name has no colon", nil)
	case cred.User == "" && cred.IdentityToken == "" && cred.RegistryToken == "":
		return Credential{}, r.fail(Denied, "a login needs a user's name", nil)
	}
	asking := c.With(only{domainOf(r.host()), cred})
	again := retrier{c: c}
	for {
		err := asking.knock(ctx, r, cred)
		if err == nil {
			break
		}
		if err := again.next(ctx, err); err != nil {
			return Credential{}, err
		}
	}
	if r.refresh != "" && cred.IdentityToken == "" {
		cred.IdentityToken, cred.Password = r.refresh, ""
	}
	return cred, nil
}

// knock makes one attempt.
func (c *Client) knock(ctx context.Context, r *request, cred Credential) error {
	if _, err := c.ask(ctx, r, http.StatusOK); err != nil {
		return err
	}
	key := tokenKey{r.host(), r.scope}
	if cred.User == "" || cred.Password == "" || c.tokens.get(key) != "" {
		return nil
	}
	c.tokens.put(key, basic(cred), minTokenLife)
	_, err := c.ask(ctx, r, http.StatusOK)
	return err
}

// only is a Keychain with one credential.
type only struct {
	domain string
	cred   Credential
}

// Credential gives it to its registry alone.
func (o only) Credential(_ context.Context, domain string) (Credential, error) {
	if domain != o.domain {
		return Credential{}, nil
	}
	return o.cred, nil
}
