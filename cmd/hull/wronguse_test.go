package main

import (
	"strings"
	"testing"
)

// TestWrongUse: what is called wrongly says so in hull's own words, before anything is done.
func TestWrongUse(t *testing.T) {
	for line, want := range map[string]string{
		"mount --nosuch /x":        "hull mount has no flag --nosuch; hull mount --help lists those there are",
		"umount -x":                "hull umount has no flag -x; hull umount --help lists those there are",
		"mount --warm many":        `--warm takes a number, not "many"`,
		"mount --stall long":       `--stall takes a time such as 30s, not "long"`,
		"mount --background=maybe": `--background takes true or false, not "maybe"`,
		"mount --store":            "--store needs a value",
		"mount /a /b":              "hull mount takes one directory, not 2",
		"umount /a /b /c":          "hull umount takes one directory, not 3",
		"upgrade /a /b":            "hull upgrade takes one directory, not 2",
	} {
		root := rootCommand()
		root.SetArgs(strings.Fields(line))
		err := root.ExecuteContext(t.Context())
		switch {
		case err == nil:
			t.Errorf("hull %s does something", line)
		case want != "" && err.Error() != want:
			t.Errorf("hull %s says %q, want %q", line, err, want)
		}
	}
}
