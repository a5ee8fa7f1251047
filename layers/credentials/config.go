package credentials

import (
	"encoding/base64"
	"encoding/json"
	"strings"
)

// config is a config.json. Only what is about logins is ever looked at or
// changed.
type config struct {
	path string
	all  *object
}

// hub is docker.io's key in the file, from the times of its first registry.
const hub = "https://index.docker.io/v1/"

// key is under what Docker keeps the login for a domain.
func key(domain string) string {
	if domain == "docker.io" {
		return hub
	}
	return domain
}

// names lists what a domain may be called in the file, Docker's first.
func names(domain string) []string {
	if domain == "docker.io" {
		return []string{hub, "docker.io", "index.docker.io", "registry-1.docker.io"}
	}
	return []string{domain}
}

// means reports whether a key in the file is for a domain: its host, perhaps as
// an address of the registry's root. Podman also knows keys for parts of a
// registry ("quay.io/team"); they are not for all of it.
func means(k, domain string) bool {
	rest := strings.TrimPrefix(strings.TrimPrefix(k, "https://"), "http://")
	host, path, _ := strings.Cut(rest, "/")
	switch strings.TrimSuffix(path, "/") {
	case "", "v1", "v2":
	default:
		return false
	}
	for _, name := range names(domain) {
		if strings.EqualFold(host, name) {
			return true
		}
	}
	return false
}

// section is an object within the file, empty if it is not there.
func (c *config) section(name string) (*object, error) {
	raw, ok := c.all.get(name)
	if !ok || string(raw) == "null" {
		return &object{}, nil
	}
	o := &object{}
	if err := json.Unmarshal(raw, o); err != nil {
		return nil, faultf(Malformed, "%q in %s is not an object; mend that file", name, c.path)
	}
	return o, nil
}

// helper is the name of the program that keeps a domain's login; empty means that
// the file does.
func (c *config) helper(domain string) (string, error) {
	helpers, err := c.section("credHelpers")
	if err != nil {
		return "", err
	}
	for _, name := range names(domain) {
		if raw, ok := helpers.get(name); ok {
			return c.helperName(raw)
		}
	}
	if raw, ok := c.all.get("credsStore"); ok {
		return c.helperName(raw)
	}
	return "", nil
}

func (c *config) helperName(raw json.RawMessage) (string, error) {
	var name string
	if json.Unmarshal(raw, &name) != nil || strings.ContainsAny(name, "/\x00") {
		return "", faultf(Malformed, "%s names no usable credential helper; mend that file", c.path)
	}
	return name, nil
}

// entry is a login in the file.
type entry struct {
	Auth          string `json:"auth"`
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

// find returns the key of a domain's login, Docker's before others.
func find(auths *object, domain string) (string, bool) {
	for _, name := range names(domain) {
		if _, ok := auths.get(name); ok {
			return name, true
		}
	}
	for _, m := range auths.members {
		if means(m.name, domain) {
			return m.name, true
		}
	}
	return "", false
}

// login reads a domain's login.
func (c *config) login(domain string) (secret, bool, error) {
	auths, err := c.section("auths")
	if err != nil {
		return secret{}, false, err
	}
	k, ok := find(auths, domain)
	if !ok {
		return secret{}, false, nil
	}
	raw, _ := auths.get(k)
	var e entry
	if json.Unmarshal(raw, &e) != nil {
		return secret{}, false, faultf(Malformed, "the login for %s in %s is not what it should be; mend that file", domain, c.path)
	}
	s := secret{User: e.Username, Password: e.Password, IdentityToken: e.IdentityToken, RegistryToken: e.RegistryToken}
	if e.Auth != "" {
		plain, err := base64.StdEncoding.DecodeString(e.Auth)
		user, password, colon := strings.Cut(string(plain), ":")
		if err != nil || !colon {
			return secret{}, false, faultf(Malformed, "the login for %s in %s is not what it should be; mend that file", domain, c.path)
		}
		s.User, s.Password = user, strings.TrimRight(password, "\x00")
	}
	return s, s != secret{}, nil
}

// setLogin puts a login in the place of those that there are for its domain. What
// else stands in the entry is kept. The empty secret makes an empty entry.
func (c *config) setLogin(domain string, s secret) error {
	auths, err := c.section("auths")
	if err != nil {
		return err
	}
	e := &object{}
	if raw, ok := auths.get(key(domain)); ok && json.Unmarshal(raw, e) != nil {
		e = &object{}
	}
	put := func(name, value string) {
		if value == "" {
			e.remove(name)
			return
		}
		e.set(name, quoted(value))
	}
	auth := ""
	if s.User != "" || s.Password != "" {
		auth = base64.StdEncoding.EncodeToString([]byte(s.User + ":" + s.Password))
	}
	put("auth", auth)
	put("username", "")
	put("password", "")
	put("identitytoken", s.IdentityToken)
	put("registrytoken", s.RegistryToken)
	for _, m := range auths.members {
		if m.name != key(domain) && means(m.name, domain) {
			auths.remove(m.name)
		}
	}
	auths.set(key(domain), e.bytes())
	c.all.set("auths", auths.bytes())
	return nil
}

// dropLogin forgets a domain's logins.
func (c *config) dropLogin(domain string) (changed bool, err error) {
	auths, err := c.section("auths")
	if err != nil {
		return false, err
	}
	kept := &object{}
	for _, m := range auths.members {
		if !means(m.name, domain) {
			kept.members = append(kept.members, m)
		}
	}
	if len(kept.members) == len(auths.members) {
		return false, nil
	}
	c.all.set("auths", kept.bytes())
	return true, nil
}
