package fs

import (
	"fmt"
	"strings"
)

// Row is what the table says of one name, for man pages and other documents.
type Row struct {
	Path     string // from the mount: "containers/NAME/ctl"
	Kind     string // directory, text, growing text, ctl, setting, verb, link, file system
	Mode     uint32
	Summary  string
	Commands []string // of a ctl: "stop [SECONDS]: stop signal, then …"
	Hidden   bool     // resolves without being listed
}

// Rows returns the table of the tree as data. Settings are those of [Containers].
func Rows(settings []Setting) []Row {
	var rows []Row
	for _, d := range describe(table(settings)) {
		r := Row{Path: d.row.path, Kind: d.row.kind.String(), Mode: d.row.mode, Summary: d.row.summary, Hidden: d.row.hidden}
		for _, c := range d.row.commands {
			r.Commands = append(r.Commands, strings.TrimSpace(c.name+" "+c.args)+": "+c.summary)
		}
		rows = append(rows, r)
	}
	return rows
}

// Document returns TREE.md.
func Document(settings []Setting) []byte {
	var b strings.Builder
	b.WriteString("# The tree\n\nWritten by `go generate ./fs` from the table in tree.go; do not edit. NAME, REF, ID and COMMAND stand for many names.\n" +
		"Modes are those without `--group`, which gives the group what the owner has.\n\n| path | kind | mode | what it is |\n|---|---|---|---|\n")
	for _, r := range Rows(settings) {
		summary := strings.ReplaceAll(r.Summary, "|", "\\|")
		if r.Hidden {
			summary += " (resolves, is not listed)"
		}
		for _, c := range r.Commands {
			summary += "<br>`" + strings.ReplaceAll(c, "|", "\\|") + "`"
		}
		path := r.Path
		if r.Kind == "directory" || r.Kind == "file system" {
			path += "/"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %04o | %s |\n", path, r.Kind, r.Mode, summary)
	}
	return []byte(b.String())
}
