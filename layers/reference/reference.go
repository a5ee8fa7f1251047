// Package reference reads the names of images as Docker writes them.
//
// A name such as "redis", "acme/app:1.2" or "ghcr.io/acme/app@sha256:…" has
// four parts: the domain of the registry, the path of the repository there, and
// a tag or a digest. What is left out has Docker's defaults: the domain
// docker.io, the path's "library/" for one component on docker.io, the tag
// latest. Two spellings of one image parse to equal References.
//
// The grammar is the one of github.com/distribution/reference, which Docker,
// containerd and Podman share, written as a hand-made reader: that package
// compiles its regular expressions when a program starts, which would cost every
// command of hull more than the rest of its start.
//
//	reference  = name [ ":" tag ] [ "@" digest ]
//	name       = [ domain "/" ] component { "/" component }
//	domain     = host [ ":" digits ]          host: DNS labels, or [IPv6]
//	component  = alnum { separator alnum }    separator: . _ __ or any number of -
//	tag        = word { word | "." | "-" }    at most 128 characters
//	digest     = "sha256:" 64 hex digits
//
// The first component is a domain if it has a dot, a colon or an upper-case
// letter, or is "localhost"; of the path, lower case is demanded.
package reference

import "strings"

// Names that Docker treats specially.
const (
	DefaultDomain = "docker.io"
	DefaultTag    = "latest"

	legacyDomain = "index.docker.io" // an older name of docker.io, still in use
	officialPath = "library/"        // where docker.io keeps what is asked for by one word
	localhost    = "localhost"
)

// The longest path and tag that registries accept.
const (
	maxPath = 255
	maxTag  = 128
)

// Reference is a parsed image reference. Of Tag and Digest exactly one is set.
// References are comparable: equal ones name the same thing.
type Reference struct {
	Domain string // of the registry, with its port if one was given: "docker.io", "localhost:5000"
	Path   string // of the repository in the registry: "library/redis"
	Tag    string // "7"; empty if there is a digest
	Digest string // "sha256:" and 64 hex digits; empty if there is a tag
}

// Parse reads a reference as a user types it. A name without tag and digest
// means its latest; with both, the digest decides and the tag is dropped, as a
// digest alone says which bytes are meant. Errors are of type *Error.
func Parse(s string) (Reference, error) {
	if s == "" {
		return Reference{}, fail(s, "it is empty")
	}
	if isHex(s, 64) {
		return Reference{}, fail(s, "64 hex digits are an image's ID, which no registry knows; use a name")
	}
	rest, digest, hasDigest := strings.Cut(s, "@")
	if hasDigest {
		if reason := checkDigest(digest); reason != "" {
			return Reference{}, fail(s, reason)
		}
	}
	domain, rest := splitDomain(rest)
	if reason := checkDomain(domain); reason != "" {
		return Reference{}, fail(s, reason)
	}
	path, tag, hasTag := strings.Cut(rest, ":")
	if hasTag {
		if reason := checkTag(tag); reason != "" {
			return Reference{}, fail(s, reason)
		}
	}
	if domain == DefaultDomain && path != "" && !strings.Contains(path, "/") {
		path = officialPath + path
	}
	if reason := checkPath(path); reason != "" {
		return Reference{}, fail(s, reason)
	}
	switch {
	case hasDigest:
		tag = ""
	case !hasTag:
		tag = DefaultTag
	}
	return Reference{Domain: domain, Path: path, Tag: tag, Digest: digest}, nil
}

// splitDomain separates the registry's domain from the rest by Docker's rule.
func splitDomain(s string) (domain, rest string) {
	first, rest, found := strings.Cut(s, "/")
	if !found || !looksLikeDomain(first) {
		return DefaultDomain, s
	}
	if first == legacyDomain {
		first = DefaultDomain
	}
	return first, rest
}

// looksLikeDomain is Docker's rule for the component before the first slash.
func looksLikeDomain(first string) bool {
	return strings.ContainsAny(first, ".:") || first == localhost || hasUpper(first)
}

// String is the canonical form, with nothing left out:
// "docker.io/library/redis:7".
func (r Reference) String() string {
	return r.Repository() + r.suffix()
}

// Repository is the canonical form without tag and digest:
// "docker.io/library/redis".
func (r Reference) Repository() string {
	return r.Domain + "/" + r.Path
}

// Familiar is the form that Docker prints, the shortest that Parse reads back
// to the same Reference: "redis:7", "ghcr.io/acme/app:1.2", "redis@sha256:…".
func (r Reference) Familiar() string {
	return r.FamiliarName() + r.suffix()
}

// FamiliarName is Familiar without tag and digest: "redis", the REPOSITORY
// column of docker image ls.
func (r Reference) FamiliarName() string {
	if r.Domain != DefaultDomain {
		return r.Repository()
	}
	short, official := strings.CutPrefix(r.Path, officialPath)
	if official && !strings.Contains(short, "/") {
		return short
	}
	// docker.io/an.org/app must keep its domain: without, an.org were one.
	if first, _, _ := strings.Cut(r.Path, "/"); looksLikeDomain(first) {
		return r.Repository()
	}
	return r.Path
}

// suffix is the part that says which version: ":tag" or "@digest".
func (r Reference) suffix() string {
	switch {
	case r.Digest != "":
		return "@" + r.Digest
	case r.Tag != "":
		return ":" + r.Tag
	}
	return ""
}

// WithDigest is the same repository's image of that digest.
func (r Reference) WithDigest(digest string) Reference {
	r.Tag, r.Digest = "", digest
	return r
}
