package tests

import (
	"os/exec"
	"strings"
	"testing"
)

// TestImportsGoOneWay holds the layout: cmd → fs → (interfaces) ← engine, layers.
func TestImportsGoOneWay(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "hull/engine/...", "hull/layers/...", "hull/fs/...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) < 10 {
		t.Fatalf("only %d packages were listed", len(lines))
	}
	for _, line := range lines {
		fields := strings.Fields(line)
		pkg := part(fields[0])
		for _, i := range fields[1:] {
			if other := part(i); other != "" && other != pkg {
				t.Errorf("%s imports %s: %s must not know %s", fields[0], i, pkg, other)
			}
		}
	}
}

// part is the room of the house that a package of hull's is in.
func part(pkg string) string {
	rest, ours := strings.CutPrefix(pkg, "hull/")
	if !ours {
		return ""
	}
	room, _, _ := strings.Cut(rest, "/")
	return room
}
