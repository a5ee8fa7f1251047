package network

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheck: a record that is damaged is found, whether hull knew what it said or not, and written anew.
func TestCheck(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	open := func() *Networks {
		n, err := Open(context.WithoutCancel(ctx), Options{Dir: dir, Key: "check"})
		check(t, err)
		return n
	}
	n := open()
	for _, name := range []string{"known", "lost", "fine"} {
		_, err := n.Create(ctx, New{Name: name, UID: 7})
		check(t, err)
	}
	known, _ := n.Find("known")
	find := func(mend bool) (flaws int, lines string) {
		flaws, err := n.Check(ctx, mend, func(line string) { lines += line + "\n" })
		check(t, err)
		return flaws, lines
	}
	if flaws, lines := find(true); flaws != 0 || lines != "" {
		t.Errorf("nothing is wrong, and %d: %s", flaws, lines)
	}
	check(t, n.Close())
	damage := func(name, text string) { check(t, os.WriteFile(filepath.Join(dir, name+".json"), []byte(text), 0o600)) }
	damage("lost", "x")
	n = open()
	damage("known", "{}")
	damage("default", "x")
	flaws, lines := find(false)
	if flaws != 3 || !strings.Contains(lines, "network known cannot be read") || !strings.Contains(lines, "containers on it cannot start") {
		t.Errorf("%d: %s", flaws, lines)
	}
	if flaws, lines := find(true); flaws != 0 || strings.Count(lines, "written anew") != 3 {
		t.Errorf("%d: %s", flaws, lines)
	}
	if flaws, lines := find(false); flaws != 0 || lines != "" {
		t.Errorf("after the repair %d: %s", flaws, lines)
	}
	check(t, n.Close())
	n = open()
	if now, _ := n.Find("known"); now == nil || now.Subnet != known.Subnet || now.UID != 7 {
		t.Errorf("%+v, was %+v", now, known)
	}
	if now, _ := n.Find("lost"); now == nil || !now.Subnet.IsValid() || now.UID != 0 {
		t.Errorf("%+v", now)
	}
	if _, err := os.Stat(filepath.Join(dir, "lost.json.bad")); err != nil {
		t.Error(err)
	}
	check(t, n.Close())
}
