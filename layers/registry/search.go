package registry

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"hull/layers/reference"
)

// How many results a search brings, unless it is told otherwise, and at most.
const (
	searchLimit    = 25
	maxSearchLimit = 100
)

// maxCatalogPages is how far a search reads a list of all repositories.
const maxCatalogPages = 20

// Result is a repository that a search has found.
type Result struct {
	Name        string // "redis", "acme/app"
	Description string // one line, may be empty
	Stars       int
	Official    bool
}

// Search asks a registry for repositories whose name or description has a term;
// limit 0 means 25, and a hundred are the most. Docker's index answers for
// docker.io. Other registries that cannot be searched are asked for the list of
// their repositories, which small ones give. Errors are of type *Error.
func (c *Client) Search(ctx context.Context, domain, term string, limit int) ([]Result, error) {
	if limit <= 0 {
		limit = searchLimit
	}
	limit = min(limit, maxSearchLimit)
	r := &request{
		op: opSearch, ref: reference.Reference{Domain: domain}, name: strconv.Quote(printable(term)),
		method: http.MethodGet, path: "/v1/search",
	}
	if domain == hubDomain {
		r.server = hubIndex
		term = strings.TrimPrefix(term, "library/")
	}
	configured, err := c.searchedAt(r, domain)
	if err != nil {
		return nil, err
	}
	c = c.impatient()
	query := url.Values{"q": {term}, "n": {strconv.Itoa(limit)}}
	if r.query != "" {
		r.query += "&"
	}
	r.query += query.Encode()
	body, _, err := c.answer(ctx, r, "the list")
	var e *Error
	var all []Result
	if err == nil {
		all, err = readResults(r, body, limit)
	}
	if errors.As(err, &e) && (e.Kind == NotFound || e.Kind == Protocol) && domain != hubDomain && !configured {
		return c.searchCatalog(ctx, r, term, limit)
	}
	return all, err
}

// searchRetries is how often a search that failed is repeated: a person waits.
const searchRetries = 2

func (c *Client) impatient() *Client {
	other := *c
	other.opt.Retries = min(c.opt.Retries, searchRetries)
	return &other
}

// searchedAt turns a search to where the user says.
func (c *Client) searchedAt(r *request, domain string) (configured bool, err error) {
	if c.opt.Search == nil {
		return false, nil
	}
	address := c.opt.Search(domain)
	if address == "" {
		return false, nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return false, r.fail(Protocol, "the address at which it is searched is not one", err)
	}
	r.server, r.scheme, r.path, r.query = u.Host, u.Scheme, u.Path, u.RawQuery
	return true, nil
}

// readResults reads what Docker's index and those after its pattern answer.
func readResults(r *request, body []byte, limit int) ([]Result, error) {
	var answer struct {
		Results results `json:"results"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, r.fail(Protocol, "it answers something else than a list", nil)
	}
	var all []Result
	for _, one := range answer.Results {
		name := printable(one.Name)
		if name == "" || len(all) == limit {
			continue
		}
		all = append(all, Result{
			Name: name, Description: printable(one.Description),
			Stars: max(one.Stars, 0), Official: one.Official,
		})
	}
	return all, nil
}

// found is a repository in an index's answer.
type found struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Stars       int    `json:"star_count"`
	Official    bool   `json:"is_official"`
}

// results is the list of them, up to what is read of it.
type results []found

// UnmarshalJSON reads no more than a hundred, however many come.
func (l *results) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	err := decodeList(b, maxSearchLimit, func(dec *json.Decoder) error {
		var one found
		err := dec.Decode(&one)
		*l = append(*l, one)
		return err
	})
	if errors.Is(err, errTooMany) {
		return nil
	}
	return err
}

// searchCatalog looks through the names of all repositories, as far as they are
// told; at least one match in what was read is an answer.
func (c *Client) searchCatalog(ctx context.Context, asked *request, term string, limit int) ([]Result, error) {
	r := &request{
		op: opSearch, ref: asked.ref, name: asked.name, method: http.MethodGet,
		path: "/v2/_catalog", scope: "registry:catalog:*",
	}
	var all []Result
	read := 0
	err := c.pages(ctx, r, func(body []byte) error {
		var page struct {
			Repositories names `json:"repositories"`
		}
		if err := readList(body, &page); err != nil {
			return err
		}
		for _, name := range page.Repositories {
			if strings.Contains(name, strings.ToLower(term)) {
				all = append(all, Result{Name: printable(name)})
			}
		}
		if read++; len(all) >= limit || read == maxCatalogPages {
			return errEnough
		}
		return nil
	})
	all = slices.Clip(all[:min(len(all), limit)])
	if len(all) > 0 {
		return all, nil
	}
	return nil, err
}

// errEnough ends the reading of pages.
var errEnough = errors.New("enough")
