package verb

import (
	"errors"
	"strings"
)

// defaultDetach are the keys that leave a container's terminal without ending it, as docker has them.
const defaultDetach = "ctrl-p,ctrl-q"

// DetachKeys reads a sequence of keys as docker writes it: letters, or ctrl- and one of a to z, @, [, \, ], ^ and _, with
// commas between them. Empty stands for ctrl-p,ctrl-q.
func DetachKeys(s string) (string, error) {
	if s == "" {
		s = defaultDetach
	}
	var keys []byte
	for _, word := range strings.Split(s, ",") {
		switch c, ctrl := strings.CutPrefix(strings.ToLower(word), "ctrl-"); {
		case ctrl && len(c) == 1 && (c[0] >= 'a' && c[0] <= 'z'):
			keys = append(keys, c[0]-'a'+1)
		case ctrl && len(c) == 1 && strings.Contains(`@[\]^_`, c):
			keys = append(keys, c[0]&0x1f)
		case len(word) == 1 && word[0] >= ' ' && word[0] <= '~':
			keys = append(keys, word[0])
		default:
			return "", errors.New("detach keys are letters, or ctrl- and a letter, with commas between them, as in ctrl-p,ctrl-q; not " + s)
		}
	}
	return string(keys), nil
}

// detacher looks for the keys that detach.
type detacher struct {
	keys string // none if empty
	seen int    // how many of them have come, and were not passed on yet
}

// filter gives what of b is for the command, and whether the keys have come.
func (d *detacher) filter(b []byte) ([]byte, bool) {
	if d.keys == "" {
		return b, false
	}
	var out []byte
	for _, c := range b {
		// What was held back is not the keys after all, but for its own end, which may be their beginning.
		for d.seen > 0 && c != d.keys[d.seen] {
			held := d.keys[:d.seen]
			d.seen--
			for d.seen > 0 && d.keys[:d.seen] != held[len(held)-d.seen:] {
				d.seen--
			}
			out = append(out, held[:len(held)-d.seen]...)
		}
		if c != d.keys[d.seen] {
			out = append(out, c)
			continue
		}
		if d.seen++; d.seen == len(d.keys) {
			return out, true
		}
	}
	return out, false
}
