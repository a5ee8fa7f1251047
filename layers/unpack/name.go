package unpack

import (
	"strings"
)

const (
	maxPath = 4095 // PATH_MAX without its NUL: what any other unpacker can do
	maxName = 255  // NAME_MAX

	whiteoutPrefix = ".wh."
	opaqueName     = ".wh..wh..opq"
)

// name is where an entry goes, cleaned: parent and base have no "." or "..", and
// parent is "" for the layer's root. The root itself has an empty base.
type name struct {
	parent, base string
	white        bool // base is what the layer says is gone from those below
	opaque       bool // all that those below have in parent is gone
	skip         bool // AUFS's own notes, which old layers carry: not content
}

func (n name) path() string { return join(n.parent, n.base) }

func join(parent, base string) string {
	if parent == "" {
		return base
	}
	return parent + "/" + base
}

// parseName cleans an entry's name and reads what ".wh." in it means.
func parseName(raw string, depth int) (name, error) {
	p, err := clean(raw, depth)
	if err != nil {
		return name{}, err
	}
	n := name{base: p}
	if i := strings.LastIndexByte(p, '/'); i >= 0 {
		n.parent, n.base = p[:i], p[i+1:]
	}
	if strings.Contains(p, whiteoutPrefix) {
		if n, err = n.whiteout(raw); err != nil {
			return n, err
		}
	}
	if size := len(n.parent) + len("/") + len(n.base); size > maxPath {
		return n, tooLarge(raw[:64]+"…", "the name has %d bytes, the most is %d", size, maxPath)
	}
	return n, nil
}

// whiteout reads the ".wh." names.
func (n name) whiteout(raw string) (name, error) {
	switch first, _, _ := strings.Cut(n.path(), "/"); first {
	case ".wh..wh.aufs", ".wh..wh.orph", ".wh..wh.plnk":
		n.skip = true
		return n, nil
	}
	for part := range strings.SplitSeq(n.parent, "/") {
		if strings.HasPrefix(part, whiteoutPrefix) {
			return n, hostile(raw, "a directory may not have a whiteout's name")
		}
	}
	gone, isWhiteout := strings.CutPrefix(n.base, whiteoutPrefix)
	switch {
	case !isWhiteout:
	case n.base == opaqueName:
		n.opaque = true
	case gone == "" || gone == "." || gone == "..":
		return n, hostile(raw, "the whiteout names no file")
	case strings.HasPrefix(gone, whiteoutPrefix):
		return n, hostile(raw, "a whiteout may not name a whiteout")
	default:
		n.base, n.white = gone, true
	}
	return n, nil
}

// clean makes a path relative to the layer's root: leading "/" and "." and ".."
// go away, without a look at the disk (as Docker does it). A path that would
// leave the root is refused. A whiteout may have a longer name than any file: it is
// the file's, after ".wh.".
func clean(raw string, depth int) (string, error) {
	if strings.IndexByte(raw, 0) >= 0 {
		return "", corrupt(raw, "a name may not hold a NUL byte")
	}
	if most := maxPath + len(whiteoutPrefix); len(raw) > most {
		return "", tooLarge(raw[:64]+"…", "the name has %d bytes, the most is %d", len(raw), most)
	}
	var parts []string
	rest := raw
	for rest != "" {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		switch {
		case part == "" || part == ".":
		case part == "..":
			if len(parts) == 0 {
				return "", hostile(raw, "the name leads out of the layer")
			}
			parts = parts[:len(parts)-1]
		case len(strings.TrimPrefix(part, whiteoutPrefix)) > maxName:
			return "", tooLarge(raw, "a name may have %d bytes", maxName)
		default:
			if parts == nil {
				parts = make([]string, 0, 16)
			}
			parts = append(parts, part)
		}
	}
	if len(parts) > depth {
		return "", tooLarge(raw, "it lies %d directories deep, the most is %d", len(parts), depth)
	}
	return joinParts(raw, parts), nil
}

// joinParts joins the parts, by cutting them out of raw where it was clean.
func joinParts(raw string, parts []string) string {
	size := len(parts) - 1
	for _, p := range parts {
		size += len(p)
	}
	if size <= 0 {
		return ""
	}
	trimmed := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(raw, "."), "/"), "/")
	if len(trimmed) == size && strings.HasPrefix(trimmed, parts[0]) {
		return trimmed
	}
	return strings.Join(parts, "/")
}
