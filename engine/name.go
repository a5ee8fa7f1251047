package engine

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"

	petname "github.com/dustinkirkland/golang-petname"

	"hull/engine/internal/naming"
)

// maxName leaves room for what the tree adds to a name in a path component.
const maxName = 200

// checkName answers why a text is not a name for a container, in Docker's rule: [a-zA-Z0-9][a-zA-Z0-9_.-]*.
func checkName(op, name string) error {
	switch ok := naming.Plain(name); {
	case len(name) > maxName:
		return fail(op, "", Invalid, "the name is %d characters long and may have %d", len(name), maxName)
	case !ok:
		return fail(op, "", Invalid,
			"%q is not a name for a container: it begins with a letter or a digit, and goes on with those, '_', '.' and '-'",
			clip(name))
	case isHex(name, 12) || isHex(name, 64):
		// The tree takes such a name for an ID.
		return fail(op, "", Invalid, "%q is not a name for a container: it could be the ID of one", name)
	}
	return nil
}

func isHex(s string, digits int) bool {
	return len(s) == digits && strings.Trim(s, "0123456789abcdef") == ""
}

// Short is the first twelve digits of an ID, as Docker shows it.
func Short(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}

// newID makes 64 hex digits, of which the first twelve are never all decimal: as a host name they would be a number.
func newID() string {
	for {
		var b [32]byte
		rand.Read(b[:])
		id := hex.EncodeToString(b[:])
		if strings.Trim(id[:12], "0123456789") != "" {
			return id
		}
	}
}

// makeName makes up a name like brave_otter that taken does not have.
func makeName(taken func(string) bool) string {
	for try := 0; ; try++ {
		name := petname.Generate(2, "_")
		if try >= 8 {
			name += strconv.Itoa(try)
		}
		if !taken(name) {
			return name
		}
	}
}
