package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// removals are what is done to two images, A (rule/a:1) and B (rule/b:1), with docker and with hull: the same must be
// refused, the same names be left, and the same be told.
var removals = []struct{ docker, hull string }{
	{"tag rule/a:1 rule/a:2", "ln -s images/rule/a:1 images/rule/a:2"},
	{"rmi $A", "rmdir images/$A"},
	{"rmi rule/a:2", "rmdir images/rule/a:2"},
	{"rmi rule/a:2", "rmdir images/rule/a:2"},
	// A container is made of it.
	{"create --name rule-c --network none rule/a:1 true", "./run --name c rule/a:1 true"},
	{"rmi rule/a:1", "rmdir images/rule/a:1"},
	{"rmi $A", "rmdir images/$A"},
	{"tag rule/a:1 rule/a:3", "ln -s images/rule/a:1 images/rule/a:3"},
	{"rmi rule/a:1", "rmdir images/rule/a:1"},
	{"rmi rule/a:3", "rmdir images/rule/a:3"},
	{"rm rule-c", "rmdir containers/c"},
	// A name moves on, and leaves an image without one.
	{"tag rule/b:1 rule/m:1", "ln -s images/rule/b:1 images/rule/m:1"},
	{"tag rule/a:3 rule/m:1", "echo 'tag rule/m:1' > images/rule/a:3/ctl"},
	{"tag rule/a:3 rule/b:1", "echo 'tag rule/b:1' > images/rule/a:3/ctl"},
	{"rmi $B", "rmdir images/$B"},
	// All names at once, and the last one.
	{"rmi -f $A", "echo 'remove force' > images/rule/a:3/ctl"},
	{"rmi $A", "rmdir images/$A"},
}

// TestRemovalAsDocker compares what removing does with Docker itself.
func TestRemovalAsDocker(t *testing.T) {
	client := docker(t)
	m := ground(t, "removal")
	m.mount(t)
	ids := map[string]string{}
	for name, from := range map[string]string{"a": "host", "b": "sleeper"} {
		// Images of its own: other tests have theirs in the same docker.
		m.must(t, fmt.Sprintf("mkdir -p $I/%[2]s:1 && $I/%[2]s:1/wait && mkdir containers/made && echo $I/%[2]s:1 | sed 's|.*images/||' > containers/made/config/image"+
			" && echo 'commit rule/%[1]s:1' > containers/made/ctl && rmdir containers/made && rmdir $I/%[2]s:1", name, from))
		m.must(t, fmt.Sprintf("images/rule/%[1]s:1/save > $T/%[1]s.tar", name))
		client("load", "-q", "-i", m.path(name+".tar"))
		out, err := m.shell(fmt.Sprintf("cat images/rule/%s:1/id", name))
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		ids[strings.ToUpper(name)] = strings.TrimSpace(out)
	}
	expand := func(s string) string {
		return os.Expand(s, func(name string) string { return ids[name] })
	}
	begun := fmt.Sprintf("%d.%09d", time.Now().Unix(), time.Now().Nanosecond())
	before, err := m.shell("wc -c < events")
	if err != nil {
		t.Fatal(before)
	}
	for _, r := range removals {
		theirs, whyTheirs := dockerd.client(dockerClient(t), strings.Fields(expand(r.docker))...).CombinedOutput()
		ours, whyOurs := m.shell(expand(r.hull))
		if (whyTheirs == nil) != (whyOurs == nil) {
			t.Fatalf("docker %s: %v, %s\nhull %s: %v, %s", r.docker, whyTheirs, theirs, r.hull, whyOurs, ours)
		}
		if got, want := m.namesOf(t, ids), dockerNamesOf(t, ids); !slices.Equal(got, want) {
			t.Fatalf("after docker %s there are %q, after hull %s there are %q", r.docker, want, r.hull, got)
		}
	}
	want := slices.DeleteFunc(strings.Fields(client("events", "--since", begun, "--until", fmt.Sprint(time.Now().Unix()+1),
		"--filter", "type=image", "--format", "{{.Action}}/{{.Actor.ID}}")), func(s string) bool { return !told(s, ids) })
	got := slices.DeleteFunc(m.imageEvents(t, strings.TrimSpace(before)), func(s string) bool { return !told(s, ids) })
	if !slices.Equal(got, want) {
		t.Errorf("docker tells\n%s\nhull tells\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
}

// told picks the events of the images that are compared.
func told(event string, ids map[string]string) bool {
	action, id, _ := strings.Cut(event, "/")
	return slices.Contains([]string{"tag", "untag", "delete"}, action) && (id == ids["A"] || id == ids["B"])
}

// namesOf are the names in hull of images by their IDs.
func (m *mounted) namesOf(t *testing.T, ids map[string]string) (names []string) {
	t.Helper()
	out, err := m.shell("cat images.json")
	if err != nil {
		t.Fatal(out)
	}
	var list []struct{ Reference, ID string }
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	for _, i := range list {
		if i.Reference == "" {
			i.Reference = "<none>:<none>"
		}
		if i.ID == ids["A"] || i.ID == ids["B"] {
			names = append(names, i.Reference+" "+i.ID)
		}
	}
	slices.Sort(names)
	return names
}

func dockerNamesOf(t *testing.T, ids map[string]string) (names []string) {
	t.Helper()
	for line := range strings.Lines(docker(t)("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}")) {
		_, id, _ := strings.Cut(strings.TrimSpace(line), " ")
		if id == ids["A"] || id == ids["B"] {
			names = append(names, strings.TrimSpace(line))
		}
	}
	slices.Sort(names)
	return names
}

// imageEvents are hull's, from a place in the file on. They are told behind the caller's back, so the last is awaited.
func (m *mounted) imageEvents(t *testing.T, from string) (events []string) {
	t.Helper()
	m.must(t, fmt.Sprintf("for i in $(seq 600); do tail -c +$((%s + 1)) events | grep -c '\"action\":\"delete\"' | grep -q 2 && exit; sleep 0.1; done; false", from))
	out, err := m.shell(fmt.Sprintf("tail -c +$((%s + 1)) events", from))
	if err != nil {
		t.Fatal(out)
	}
	for line := range strings.Lines(out) {
		var e struct{ Type, Action, ID string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e.Type == "image" {
			events = append(events, e.Action+"/"+e.ID)
		}
	}
	return events
}
