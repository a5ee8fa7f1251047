package archive

import (
	"strings"
)

// clean makes of a name in an archive, as seen from dir ("" or ending in "/"), the
// one name that all spellings of it share. Names are only ever compared; still, one
// that leads out says what the archive is for.
func clean(dir, raw string) (string, error) {
	if strings.IndexByte(raw, 0) >= 0 {
		return "", problem(Corrupt, raw, "a name may not hold a NUL byte")
	}
	if len(dir)+len(raw) > maxPath {
		return "", problem(TooLarge, raw, "the name has %d bytes", len(raw))
	}
	var parts []string
	for part := range strings.SplitSeq(dir+raw, "/") {
		switch part {
		case "", ".":
		case "..":
			if len(parts) == 0 {
				return "", problem(Hostile, raw, "the name leads out of the archive")
			}
			parts = parts[:len(parts)-1]
		default:
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "/"), nil
}

// find follows a name, by way of links, to the content it has. ok is false if there
// is none.
func (s *spool) find(name string) (digest string, ok bool, err error) {
	for range maxLinks {
		f, ok := s.files[name]
		if !ok {
			return "", false, nil
		}
		if f.link == "" {
			return f.digest, f.digest != "", nil
		}
		name = f.link
	}
	return "", false, problem(Hostile, name, "links lead to links, perhaps in a circle")
}

// isDigest says whether s is "sha256:" and 64 lower-case hex digits.
func isDigest(s string) bool {
	hex, ok := strings.CutPrefix(s, "sha256:")
	return ok && len(hex) == 64 && strings.Trim(hex, "0123456789abcdef") == ""
}
