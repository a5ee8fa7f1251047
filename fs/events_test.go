package fs_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"hull/fs"
	"hull/fs/journal"
)

// lines reads events, each of which must be as described.
func lines(t *testing.T, text string) (events []journal.Event) {
	t.Helper()
	for l := range strings.Lines(text) {
		var e journal.Event
		err := json.Unmarshal([]byte(l), &e)
		if err == nil {
			err = journal.Check(e)
		}
		if err != nil {
			t.Errorf("%s: %v", l, err)
		}
		events = append(events, e)
	}
	return events
}

// Everybody reads events: root and the group all of them, others those of what is theirs and of what they asked for.
func TestEventsOfOnesOwn(t *testing.T) {
	m := mountWith(t, func(o *fs.Options) { o.Group = 5555 }, "redis:7")
	open(t, m)
	m.ok("mkdir images/redis:7 && mkdir images/redis:7/containers/web containers/far; mkdir images/not/there:1; echo x > containers/far/config/nothing; true")
	as := func(uid, gid uint32, script string) string {
		t.Helper()
		out, code := m.as(uid, gid, script)
		if code != 0 {
			t.Errorf("%s as %d: %s", script, uid, out)
		}
		return out
	}
	if out := as(4242, 4242, "cat events; stat -c %s events"); out != "0\n" {
		t.Errorf("a stranger sees %q", out)
	}
	m.ok("chown -R 4242:4242 containers/web; chmod 600 containers/far/ctl")
	as(4242, 4242, "chmod 640 containers/web/ctl; echo nonsense > containers/web/ctl; chown 0 containers/web/ctl; true")
	all := m.ok("cat events")
	seen := map[string]bool{}
	for _, e := range lines(t, all) {
		seen[e.Type+" "+e.Action] = true
	}
	for _, want := range []string{"call create", "access chown", "access chmod"} {
		if !seen[want] {
			t.Errorf("no %s in %s", want, all)
		}
	}
	if out := as(4343, 5555, "cat events"); out != all {
		t.Errorf("the group sees %s of %s", out, all)
	}
	hers := as(4242, 4242, "cat events")
	if out := as(4242, 4242, "stat -c %s events; wc -c < events; tail -c +1 events"); out != strconv.Itoa(len(hers))+"\n"+strconv.Itoa(len(hers))+"\n"+hers {
		t.Errorf("%s\nof\n%s", out, hers)
	}
	asked := 0
	for _, e := range lines(t, hers) {
		mine := e.UID != nil && *e.UID == 4242
		if !mine && e.Owner != 4242 || strings.Contains(e.Object, "far") {
			t.Errorf("she sees %+v", e)
		}
		if mine {
			asked++
		}
	}
	if asked < 2 || !strings.Contains(hers, `"action":"chmod"`) || !strings.Contains(hers, `"object":"containers/web","uid":0`) {
		t.Errorf("she sees only %s", hers)
	}
	if out := as(4444, 4444, "cat events"); out != "" {
		t.Errorf("a stranger sees %s", out)
	}
}
