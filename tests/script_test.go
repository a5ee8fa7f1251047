package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"hull/tests/need"
)

// TestScripts runs every script of testdata on a mount of its own, pulling
// from the in-process registry.
func TestScripts(t *testing.T) {
	needs(t)
	scripts(t, addr, locked, all(t, "testdata/*.txtar"))
}

// TestScriptsShareNoBigImage: scripts run beside each other, and what one has the registry do to an image, or counts
// there, would be another's too.
func TestScriptsShareNoBigImage(t *testing.T) {
	owner := map[string]string{}
	for _, file := range all(t, "testdata/*.txtar") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range strings.Split(string(text), "big/")[1:] {
			name := part[:len(part)-len(strings.TrimLeft(part, "abcdefghijklmnopqrstuvwxyz"))]
			if first := owner[name]; name != "" && first != "" && first != file {
				t.Errorf("big/%s is in %s and in %s: take another of the set's", name, first, file)
			}
			owner[name] = file
		}
	}
}

// all lists the scripts of a pattern.
func all(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts match %s (%v)", pattern, err)
	}
	return files
}

// scripts runs scripts against the registry at addr, and against one at auth that
// admits only alice, whose password is "secret".
//
// A script starts with nothing mounted. In its environment: H, where `mount`
// mounts; REG, the registry's address; I, the registry's directory of images
// ($H/images/$REG); AUTH, the address of the registry with a password; HULL, the binary; STORE and RUN, hull's directories.
// More variables, as "NAME=value", come with more. The condition [without:PROGRAM] holds where a program is not
// installed, and fails the script where it must be.
func scripts(t *testing.T, addr, auth string, files []string, more ...string) {
	t.Helper()
	testscript.Run(t, testscript.Params{
		Files: files,
		Setup: func(e *testscript.Env) error {
			// The mount must not lie below the script's own directory, which is removed whole.
			base, err := os.MkdirTemp("", "hull-script-")
			if err != nil {
				return err
			}
			if err := os.Chmod(base, 0o755); err != nil { // other users come by
				return err
			}
			m := &mounted{base: base}
			e.Values[mountKey{}] = m
			e.Defer(func() {
				for _, problem := range m.end() {
					t.Errorf("%s: left behind: %s", filepath.Base(e.WorkDir), problem)
				}
			})
			e.Setenv("HULL", hull)
			e.Setenv("H", m.path("hull"))
			e.Setenv("STORE", m.path("store"))
			e.Setenv("RUN", m.path("run"))
			e.Setenv("REG", addr)
			e.Setenv("AUTH", auth)
			e.Setenv("I", m.path("hull")+"/images/"+addr)
			// The system's own programs, whatever the caller has put before them.
			e.Setenv("PATH", filepath.Dir(hull)+":/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin")
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("TERM", "xterm")
			e.Setenv("LANG", "C.UTF-8")
			for _, pair := range more {
				name, value, _ := strings.Cut(pair, "=")
				e.Setenv(name, value)
			}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"mount":  cmdMount,
			"umount": cmdUmount,
			"sh":     cmdShell,
			"await":  cmdAwait,
			"pty":    cmdPTY,
			"crash":  cmdCrash,
			"fault":  cmdFault,
			"served": cmdServed,
			"as":     cmdAs,
		},
		Condition: func(cond string) (bool, error) {
			name, ok := strings.CutPrefix(cond, "without:")
			if !ok {
				return false, fmt.Errorf("there is no condition %q", cond)
			}
			_, err := exec.LookPath(name)
			if err != nil && need.Everything() {
				return false, fmt.Errorf("HULL_TEST_PRIVILEGED is set, and %s is not installed", name)
			}
			return err != nil, nil
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}
