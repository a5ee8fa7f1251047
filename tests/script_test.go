package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs every script of testdata on a mount of its own, pulling
// from the in-process registry.
func TestScripts(t *testing.T) {
	needs(t)
	scripts(t, "testdata", addr)
}

// scripts runs a directory's scripts against the registry at addr.
//
// A script starts with nothing mounted. In its environment: H, where `mount`
// mounts; REG, the registry's address; I, the registry's directory of images
// ($H/images/$REG); HULL, the binary; STORE and RUN, hull's directories.
func scripts(t *testing.T, dir, addr string) {
	t.Helper()
	testscript.Run(t, testscript.Params{
		Dir: dir,
		Setup: func(e *testscript.Env) error {
			// The mount must not lie below the script's own directory, which is removed whole.
			base, err := os.MkdirTemp("", "hull-script-")
			if err != nil {
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
			e.Setenv("I", m.path("hull")+"/images/"+addr)
			e.Setenv("PATH", filepath.Dir(hull)+":"+os.Getenv("PATH"))
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("TERM", "xterm")
			e.Setenv("LANG", "C.UTF-8")
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
			"as":     cmdAs,
		},
		Condition: func(cond string) (bool, error) {
			_, err := os.Stat("/usr/bin/" + strings.TrimPrefix(cond, "has:"))
			return err == nil, nil
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}
