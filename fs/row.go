package fs

import (
	"context"
	"io"
	"strings"
)

// rowKind is how a row behaves as a file.
type rowKind uint8

const (
	directoryRow   rowKind = iota // a fixed list of rows
	collectionRow                 // objects that come and go
	textRow                       // a short text, fixed at open
	growingRow                    // a text that only gets longer
	ctlRow                        // takes commands, one a line
	settingRow                    // one setting of a container
	scratchRow                    // an editor's file beside the settings
	verbRow                       // describes itself, is a session, is a program
	linkRow                       // a symbolic link
	passthroughRow                // somebody else's file system
)

var rowKinds = [...]string{
	directoryRow: "directory", collectionRow: "directory", textRow: "text", growingRow: "growing text", ctlRow: "ctl",
	settingRow: "setting", scratchRow: "scratch", verbRow: "verb", linkRow: "link", passthroughRow: "file system",
}

func (k rowKind) String() string { return rowKinds[k] }

// steady tells whether the attributes stay as they are.
func (k rowKind) steady() bool {
	return k.directory() || k == linkRow || k == verbRow || k == ctlRow
}

// shows tells whether it is there to be looked at only.
func (k rowKind) shows() bool { return k.directory() || k == textRow || k == growingRow }

func (k rowKind) directory() bool {
	return k == directoryRow || k == collectionRow || k == passthroughRow
}

// row is one name of the tree. What is the same for every object of a kind is written once, with NAME or REF in its
// path for the object.
type row struct {
	name    string // as listed; in capitals where it stands for many names
	kind    rowKind
	mode    uint32 // permission bits, without the group's
	group   bool   // the group of --group may do what the owner may
	inside  bool   // who may use it decides what a container does: the group may not, if that acts on the host
	summary string // one line, for README, TREE.md and the file itself
	path    string // from the root; table fills it in
	parent  *row

	rows []*row                        // of a directory; of a collection: the one row of its members
	open func(t *Tree, e *entry) place // of a directory that is more than its rows

	text     func(ctx context.Context, t *Tree, e *entry) ([]byte, error)
	growing  func(ctx context.Context, t *Tree, e *entry) (Growing, error)
	commands []command
	target   func(t *Tree, e *entry) string
	setting  Setting
	// take does with what is written to a verb that takes its input so, line by line.
	take func(ctx context.Context, t *Tree, e *entry, line string) error
	// stream does with all that is written to a verb that takes its input so, as one.
	stream func(ctx context.Context, t *Tree, e *entry, r io.Reader) error

	when   func(e *entry) bool // the row is there; nil means always
	hidden bool                // resolves but is not listed
}

// command is one thing a ctl file understands.
type command struct {
	name, args, summary string // without args in the table, words after it are refused
	run                 func(ctx context.Context, t *Tree, e *entry, args []string) error
	// whole takes what follows the command as it was written, for one that knows quotes; then there is no run.
	whole func(ctx context.Context, t *Tree, e *entry, rest string) error
}

// usage is what reading a ctl file shows.
func usage(commands []command) []byte {
	var b strings.Builder
	b.WriteString("# one command a line, answered by the write itself; if it fails, see error\n")
	for _, c := range commands {
		line := c.name
		if c.args != "" {
			line += " " + c.args
		}
		b.WriteString("# " + line + strings.Repeat(" ", max(1, 20-len(line))) + c.summary + "\n")
	}
	return []byte(b.String())
}

// link gives each row its parent and path, once the table is whole.
func (r *row) link(parent *row) *row {
	r.parent = parent
	switch {
	case parent == nil || parent.path == "":
		r.path = r.name
	default:
		r.path = parent.path + "/" + r.name
	}
	for _, c := range r.rows {
		c.link(r)
	}
	return r
}

// find returns the row of a name in a directory row.
func (r *row) find(name string) *row {
	for _, c := range r.rows {
		if c.name == name {
			return c
		}
	}
	return nil
}
