package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"hull/layers/reference"
)

// Caps on lists that come in pages.
const (
	maxPages = 1000
	maxTags  = 100_000
	pageSize = 1000
)

// names is a list of tags or repositories. Some registries put all on one page.
type names []string

// UnmarshalJSON reads a list up to its limit.
func (l *names) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	return decodeList(b, maxTags, func(dec *json.Decoder) error {
		var one string
		err := dec.Decode(&one)
		*l = append(*l, one)
		return err
	})
}

// Tags lists the tags of a reference's repository, in the registry's order. What
// cannot be a tag is left out. More than a hundred thousand are an error of Kind
// TooLarge, because a part of them would pass for the whole.
func (c *Client) Tags(ctx context.Context, ref reference.Reference) ([]string, error) {
	r := pull(opTags, ref, "tags/list")
	r.name = ref.FamiliarName()
	var all []string
	seen := map[string]bool{}
	err := c.pages(ctx, r, func(body []byte) error {
		var page struct {
			Tags names `json:"tags"`
		}
		if err := readList(body, &page); err != nil {
			return err
		}
		for _, tag := range page.Tags {
			if isTag(tag) && !seen[tag] {
				seen[tag] = true
				all = append(all, tag)
			}
		}
		if len(all) > maxTags {
			return errTooMany
		}
		return nil
	})
	return all, err
}

// pages asks a question whose answer comes in pages, each of which names the next.
func (c *Client) pages(ctx context.Context, r *request, read func(body []byte) error) error {
	r.query = fmt.Sprintf("n=%d", pageSize)
	seen := map[string]bool{}
	for range maxPages {
		seen[r.path+"?"+r.query] = true
		body, header, err := c.answer(ctx, r, "the list")
		if err != nil {
			return err
		}
		switch err := read(body); {
		case errors.Is(err, errEnough):
			return nil
		case errors.Is(err, errTooMany):
			return r.fail(TooLarge, "the list has more entries than hull accepts", nil)
		case err != nil:
			return r.fail(Protocol, "it answers something else than a list", nil)
		}
		next, err := r.next(header)
		if err != nil || next == nil {
			return err
		}
		r.path, r.query = next.Path, next.RawQuery
		if seen[r.path+"?"+r.query] {
			return r.fail(Protocol, "its list leads in a circle", nil)
		}
	}
	return r.fail(TooLarge, "the list has more pages than hull reads", nil)
}

// next reads where a list goes on (RFC 8288): nil if nowhere. It must be at the
// same host, whatever scheme and address a proxy has made of it, since the login
// goes along.
func (r *request) next(header http.Header) (*url.URL, error) {
	for _, s := range header.Values("Link") {
		before, rest, ok := strings.Cut(s, ">")
		_, address, open := strings.Cut(before, "<")
		if !ok || !open || !isNext(rest) {
			continue
		}
		base := url.URL{Scheme: "https", Host: r.host(), Path: r.path}
		u, err := base.Parse(address)
		if err != nil {
			return nil, r.fail(Protocol, "its list goes on at no usable address", err)
		}
		if u.Host != r.host() || u.Opaque != "" || !strings.HasPrefix(u.Path, "/") {
			return nil, r.fail(Protocol, "its list goes on at another host, "+printable(u.Host), nil)
		}
		return u, nil
	}
	return nil, nil
}

// isNext reports whether a link's parameters say that it is the next page.
func isNext(params string) bool {
	params, _, _ = strings.Cut(params, "<") // the next link
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.Trim(p, " \t,"), "=")
		if strings.EqualFold(strings.TrimSpace(name), "rel") {
			for rel := range strings.FieldsSeq(strings.Trim(strings.TrimSpace(value), `"`)) {
				if strings.EqualFold(rel, "next") {
					return true
				}
			}
		}
	}
	return false
}

// isTag reports whether a reference may have this tag.
func isTag(s string) bool {
	r, err := reference.Parse("x:" + s)
	return err == nil && r.Tag == s && r.Digest == ""
}

// readList reads JSON with lists of limited length.
func readList(body []byte, into any) error {
	err := json.Unmarshal(body, into)
	if err != nil && !errors.Is(err, errTooMany) {
		return errors.New("not the JSON that was expected")
	}
	return err
}
