package registry

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Caps on what a token server may answer, in bytes and in trust: a token is
// kept at least as long as servers that do not say mean, and at most an hour.
const (
	maxTokenAnswer = 256 << 10
	minTokenLife   = 60 * time.Second
	maxTokenLife   = time.Hour
)

// tokens keeps what made a registry agree, so that an image's layers need not be
// negotiated one by one.
type tokens struct {
	mu   sync.Mutex
	held map[tokenKey]token
}

// tokenKey is what a token is good for.
type tokenKey struct{ host, scope string }

// token is the value of an Authorization header.
type token struct {
	header  string
	expires time.Time
}

func (t *tokens) get(k tokenKey) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	held, ok := t.held[k]
	if !ok || time.Now().After(held.expires) {
		delete(t.held, k)
		return ""
	}
	return held.header
}

func (t *tokens) put(k tokenKey, header string, life time.Duration) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, held := range t.held {
		if now.After(held.expires) {
			delete(t.held, key)
		}
	}
	t.held[k] = token{header, now.Add(life)}
}

// drop forgets a token that was refused, unless it has been replaced meanwhile.
func (t *tokens) drop(k tokenKey, header string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held[k].header == header {
		delete(t.held, k)
	}
}

// authorize answers a registry's challenge: it finds the user's credential, gets
// a token for it if tokens are asked for, and returns the Authorization header.
// Without a credential it gets an anonymous token, as most public images need.
func (c *Client) authorize(ctx context.Context, r *request, scheme string, all []challenge) (string, error) {
	ch, ok := pick(all)
	if !ok {
		return "", r.fail(Denied, "it wants a kind of login that hull does not know", nil)
	}
	cred, err := c.credential(ctx, r)
	if err != nil {
		return "", err
	}
	key := tokenKey{r.host(), r.scope}
	switch {
	case cred.RegistryToken != "":
		header := "Bearer " + cred.RegistryToken
		c.tokens.put(key, header, minTokenLife)
		return header, nil
	case ch.scheme == "bearer":
		header, life, err := c.fetchToken(ctx, r, scheme, ch.params, cred)
		if err != nil {
			return "", err
		}
		c.tokens.put(key, header, life)
		return header, nil
	case cred.User == "":
		return "", r.fail(Denied, "it wants a login, and there is none stored for it", nil)
	}
	header := basic(cred)
	c.tokens.put(key, header, minTokenLife)
	return header, nil
}

// credential asks the keychain, whose helpers may take their time.
func (c *Client) credential(ctx context.Context, r *request) (Credential, error) {
	if c.opt.Keychain == nil {
		return Credential{}, nil
	}
	defer pause(ctx)()
	cred, err := c.opt.Keychain.Credential(ctx, domainOf(r.host()))
	if err != nil {
		return Credential{}, r.fail(Denied, "the login stored for it cannot be read: "+printable(err.Error()), err)
	}
	return cred, nil
}

func basic(cred Credential) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(cred.User+":"+cred.Password))
}

// fetchToken gets a token from the server that a challenge names.
func (c *Client) fetchToken(ctx context.Context, r *request, scheme string, params map[string]string, cred Credential) (header string, life time.Duration, err error) {
	realm, err := url.Parse(params["realm"])
	if err != nil || realm.Host == "" {
		return "", 0, r.fail(Protocol, "it names no usable token server", err)
	}
	if reason := c.mistrust(r, scheme, realm); reason != "" {
		return "", 0, r.fail(Protocol, "it names the token server "+printable(realm.Host)+", and "+reason, nil)
	}
	form := url.Values{"scope": strings.Fields(r.scope), "service": {params["service"]}}
	if cred.IdentityToken != "" {
		status, answer, err := c.postForm(ctx, r, realm, form, cred.IdentityToken)
		if err != nil {
			return "", 0, err
		}
		// Servers that know no OAuth2 do not have this door; they take passwords.
		if cred.Password == "" || status != http.StatusNotFound && status != http.StatusMethodNotAllowed {
			return readTokenAnswer(r, realm, status, answer)
		}
	}
	u := *realm
	u.User = nil
	query := u.Query()
	maps.Copy(query, form)
	if r.op == opLogin {
		// Some servers give a token that can be kept in the password's place.
		query.Set("account", cred.User)
		query.Set("client_id", "hull")
		query.Set("offline_token", "true")
	}
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", 0, r.fail(Protocol, "it names no usable token server", err)
	}
	if cred.User != "" {
		req.Header.Set("Authorization", basic(cred))
	}
	status, answer, err := c.askTokenServer(ctx, r, req)
	if err != nil {
		return "", 0, err
	}
	return readTokenAnswer(r, realm, status, answer)
}

// mistrust says why a token server should not get the user's password. It may be
// any host that is reached over https, as Docker Hub's is; a registry that is
// itself spoken to in plain http may have its own beside it.
func (c *Client) mistrust(r *request, scheme string, realm *url.URL) (reason string) {
	if realm.Scheme != "https" && (realm.Scheme != "http" || scheme != "http" || !c.transports.lax(realm.Host, r.host())) {
		return "that is not reached over https"
	}
	if realm.Host != r.host() && !isLoopback(r.host()) {
		return inward(realm.Host)
	}
	return ""
}

// postForm is the OAuth2 way, for which the user's secret is a refresh token.
func (c *Client) postForm(ctx context.Context, r *request, realm *url.URL, form url.Values, refresh string) (int, []byte, error) {
	body := url.Values{
		"grant_type": {"refresh_token"}, "client_id": {"hull"}, "refresh_token": {refresh},
		"service": form["service"],
	}
	if scopes := form["scope"]; len(scopes) > 0 {
		body.Set("scope", strings.Join(scopes, " "))
	}
	u := *realm
	u.User = nil
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), strings.NewReader(body.Encode()))
	if err != nil {
		return 0, nil, r.fail(Protocol, "it names no usable token server", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.askTokenServer(ctx, r, req)
}

// askTokenServer returns the answer's status and its body.
func (c *Client) askTokenServer(ctx context.Context, r *request, req *http.Request) (int, []byte, error) {
	req = req.WithContext(onBehalf(ctx, r.host()))
	req.Header.Set("User-Agent", c.opt.UserAgent)
	client := *c.http
	if req.Body != nil {
		// A redirect would take the body along, and the secret in it.
		client.CheckRedirect = func(*http.Request, []*http.Request) error {
			return refusef("its token server redirects what holds a secret")
		}
	}
	progress(ctx)
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, r.broken(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK && !noOAuth(req, resp) {
		return 0, nil, r.unauthorized(resp)
	}
	body, err := readAll(ctx, resp.Body, maxTokenAnswer)
	if err != nil {
		return 0, nil, r.unread(ctx, "its token server's answer", err)
	}
	return resp.StatusCode, body, nil
}

// noOAuth reports whether an answer only says that there is no OAuth2 here.
func noOAuth(req *http.Request, resp *http.Response) bool {
	return req.Method == http.MethodPost &&
		(resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusMethodNotAllowed)
}

// readTokenAnswer takes the token out of a token server's answer.
func readTokenAnswer(r *request, realm *url.URL, status int, body []byte) (header string, life time.Duration, err error) {
	if status != http.StatusOK {
		return "", 0, r.fail(Denied, "the token server "+printable(realm.Host)+" does not take the stored login", nil)
	}
	var answer struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
		Refresh     string `json:"refresh_token"`
		ExpiresIn   int64  `json:"expires_in"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", 0, r.fail(Protocol, "the token server "+printable(realm.Host)+" answers something else than JSON", nil)
	}
	value := answer.Token
	if value == "" {
		value = answer.AccessToken
	}
	if !isPlain(value) {
		return "", 0, r.fail(Protocol, "the token server "+printable(realm.Host)+" gives no usable token", nil)
	}
	if r.op == opLogin && isPlain(answer.Refresh) {
		r.refresh = answer.Refresh
	}
	life = minTokenLife
	if answer.ExpiresIn > 0 {
		life = min(max(time.Duration(min(answer.ExpiresIn, 1<<20))*time.Second, minTokenLife), maxTokenLife)
	}
	// Some of it is lost on the way, and a request takes a while.
	return "Bearer " + value, life - life/6, nil
}

// isPlain reports whether s can be a header's value as it is.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}
