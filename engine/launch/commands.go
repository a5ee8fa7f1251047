package launch

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"
)

// maxCommands is how many names Commands looks at: a root may have
// directories without end.
const maxCommands = 1 << 16

// Commands are the names of the executables in the given directories of a
// root, sorted, each once. Links are followed inside the root. Directories
// that are missing, or are none, are passed over, as are those that command
// would not look into.
func Commands(root *os.File, search []string) ([]string, error) {
	t := &tree{dir: root}
	seen := map[string]bool{}
	left := maxCommands
	visited := map[string]bool{}
	for _, dir := range search[:min(len(search), maxPath)] {
		if !path.IsAbs(dir) || visited[dir] {
			continue
		}
		visited[dir] = true
		d, err := t.open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			continue
		}
		err = t.commandsIn(d, dir, seen, &left)
		_ = d.Close()
		if err != nil {
			return nil, &Error{Op: "list " + dir, Kind: kindOf(err), Text: fmt.Sprintf("hull cannot list %s in the container: %v", dir, err), Err: err}
		}
	}
	names := make([]string, 0, len(seen))
	for n := range seen {
		names = append(names, n)
	}
	slices.Sort(names)
	return names, nil
}

// commandsIn adds the executables of one directory.
func (t *tree) commandsIn(d *os.File, dir string, seen map[string]bool, left *int) error {
	for *left > 0 {
		names, err := d.Readdirnames(min(*left, 1024))
		*left -= len(names)
		for _, n := range names {
			if seen[n] {
				continue
			}
			st, err := t.stat(path.Join(dir, n))
			if err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Mode&0o111 != 0 {
				seen[n] = true
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}
