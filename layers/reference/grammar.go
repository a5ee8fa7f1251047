package reference

import (
	"fmt"
	"strconv"
	"strings"
)

// Error says why a string is not an image reference.
type Error struct {
	Input  string // as it was given
	Reason string // a clause: "a repository's name is lower case"
}

// Error is one sentence that is safe to print whatever the input was.
func (e *Error) Error() string {
	input := e.Input
	if len(input) > 100 {
		input = strings.ToValidUTF8(input[:100], "") + "…"
	}
	return fmt.Sprintf("%q is not an image reference: %s", input, e.Reason)
}

func fail(input, reason string) error {
	return &Error{Input: input, Reason: reason}
}

// The check functions return what is wrong, or nothing.

func checkDomain(s string) string {
	var host, port string
	var hasPort bool
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "the registry's IPv6 address lacks its closing bracket"
		}
		for i := 1; i < end; i++ {
			if !isHexDigit(s[i]) && s[i] != ':' {
				return "the registry's IPv6 address may hold hex digits and colons only"
			}
		}
		if end < 3 {
			return "the registry's IPv6 address is too short"
		}
		if s[end+1:] == "" {
			return ""
		}
		if s[end+1] != ':' {
			return "after the registry's IPv6 address comes a colon and a port, or nothing"
		}
		port, hasPort = s[end+2:], true
	} else {
		host, port, hasPort = strings.Cut(s, ":")
		for label := range strings.SplitSeq(host, ".") {
			if reason := checkLabel(label); reason != "" {
				return reason
			}
		}
	}
	if len(host) > 253 {
		return "the registry's name is longer than DNS allows (253 characters)"
	}
	if hasPort {
		// Five digits and no more, so that a port can always be converted.
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || len(port) > 5 {
			return "the registry's port must be a number from 1 to 65535"
		}
	}
	return ""
}

func checkLabel(s string) string {
	if s == "" {
		return "the registry's name has an empty part"
	}
	if s[0] == '-' || s[len(s)-1] == '-' {
		return "no part of a registry's name may begin or end with a hyphen"
	}
	for i := range len(s) {
		if !isAlnum(s[i]) && s[i] != '-' {
			return "a registry's name may hold letters, digits, hyphens and dots only"
		}
	}
	return ""
}

func checkPath(s string) string {
	if s == "" {
		return "the repository's name is missing"
	}
	if len(s) > maxPath {
		return fmt.Sprintf("the repository's name is longer than %d characters", maxPath)
	}
	if hasUpper(s) {
		return "a repository's name must be lower case"
	}
	for component := range strings.SplitSeq(s, "/") {
		if reason := checkComponent(component); reason != "" {
			return reason
		}
	}
	return ""
}

// checkComponent demands runs of a–z and 0–9 with one separator between each
// two: a dot, one or two underscores, or any number of hyphens.
func checkComponent(s string) string {
	if s == "" {
		return "the repository's name has an empty part"
	}
	for i := 0; i < len(s); {
		if isLowerAlnum(s[i]) {
			i++
			continue
		}
		run := i + 1
		for run < len(s) && s[run] == s[i] {
			run++
		}
		n := run - i
		switch {
		case s[i] != '.' && s[i] != '_' && s[i] != '-':
			return "a repository's name may hold a-z, 0-9, and between them dots, underscores and hyphens"
		case i == 0 || run == len(s):
			return "each part of a repository's name must begin and end with a letter or digit"
		case s[i] == '.' && n > 1, s[i] == '_' && n > 2, !isLowerAlnum(s[run]):
			return "a repository's name has too many separators in a row"
		}
		i = run
	}
	return ""
}

func checkTag(s string) string {
	if s == "" {
		return "the tag after the colon is missing"
	}
	if len(s) > maxTag {
		return fmt.Sprintf("the tag is longer than %d characters", maxTag)
	}
	if !isAlnum(s[0]) && s[0] != '_' {
		return "a tag must begin with a letter, a digit or an underscore"
	}
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && c != '_' && c != '.' && c != '-' {
			return "a tag may hold letters, digits, underscores, dots and hyphens only"
		}
	}
	return ""
}

func checkDigest(s string) string {
	algorithm, hex, _ := strings.Cut(s, ":")
	if algorithm != "sha256" {
		return "the digest after the @ must begin with sha256:, the only kind that hull reads"
	}
	if !isHex(hex, 64) {
		return "after sha256: there must be 64 hex digits in lower case"
	}
	return ""
}

// IsDigest reports whether s is "sha256:" and 64 hex digits in lower case, and
// so safe as the name of a file.
func IsDigest(s string) bool { return checkDigest(s) == "" }

// IsDomain reports whether the first component of a path in the tree names a
// registry: localhost, a name with a dot, either with a port, or a bracketed
// IPv6 address. A bare name:digits is an image there, unlike in Parse, which
// sees that more follows.
func IsDomain(first string) bool {
	host, _, _ := strings.Cut(first, ":")
	if !strings.HasPrefix(first, "[") && host != localhost && !strings.Contains(host, ".") {
		return false
	}
	return checkDomain(first) == ""
}

// ID reads an image's ID: 12 or 64 hex digits in lower case, with or without
// "sha256:". The digest it returns has the prefix; short says that it has 12.
func ID(s string) (digest string, short, ok bool) {
	hex := strings.TrimPrefix(s, "sha256:")
	switch {
	case isHex(hex, 12):
		return "sha256:" + hex, true, true
	case isHex(hex, 64):
		return "sha256:" + hex, false, true
	}
	return "", false, false
}

func isHex(s string, n int) bool {
	if len(s) != n {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func hasUpper(s string) bool {
	for i := range len(s) {
		if s[i] >= 'A' && s[i] <= 'Z' {
			return true
		}
	}
	return false
}

func isHexDigit(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func isLowerAlnum(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' }

func isAlnum(c byte) bool { return isLowerAlnum(c) || c >= 'A' && c <= 'Z' }
