package fstest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"hull/fs"
)

// Backend is what the suites test. Its store must be empty of what they use, and its registry hold Reference.
type Backend struct {
	Images     fs.Images
	Containers fs.Containers
	Reference  string // familiar; an image that can be pulled, and whose command runs until it is stopped
	Missing    string // familiar; one that the registry does not have
	Other      string // familiar; a name that is free
	BadSetting [2]string
	Setting    [2]string // a setting, and a value it takes
}

// kind checks what a failure means.
func kind(t *testing.T, what string, err error, want fs.Kind) {
	t.Helper()
	if err == nil || fs.KindOf(err) != want {
		t.Errorf("%s: %v (%v), want %v", what, err, fs.KindOf(err), want)
		return
	}
	if s := fs.Sentence(err); len(s) < 10 || strings.Contains(s, "\n") || !strings.HasSuffix(s, ".") {
		t.Errorf("%s: %q is no sentence", what, s)
	}
}

func ok(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// budget is long, so that a slow machine gets the registry's answer.
const budget = 30 * time.Second

// Images tests what every store of images must keep.
func Images(t *testing.T, b Backend) {
	ctx, s := t.Context(), b.Images
	ref, err := s.Parse(b.Reference)
	if err != nil || ref != b.Reference {
		t.Fatalf("Parse(%s) = %s, %v", b.Reference, ref, err)
	}
	for _, bad := range []string{"", "UPPER:1", "a b", "x:", "-", "../x", "x@sha256:12"} {
		if _, err := s.Parse(bad); err == nil {
			t.Errorf("Parse(%q) is accepted", bad)
		} else {
			kind(t, "Parse("+bad+")", err, fs.Invalid)
		}
	}

	kind(t, "a pull of what is not there", s.Pull(ctx, b.Missing, "", budget), fs.NotFound)
	if _, there := s.Find(b.Missing); there || slices.ContainsFunc(s.List(), func(i *fs.Image) bool { return i.Reference == b.Missing }) {
		t.Error("a refused pull left something")
	}
	before := s.List()
	ok(t, "Pull", s.Pull(ctx, ref, "", budget))
	ok(t, "Pull while it is pulled", s.Pull(ctx, ref, "", budget))
	ok(t, "Wait", s.Wait(ctx, ref))
	if slices.ContainsFunc(before, func(i *fs.Image) bool { return i.Reference == ref }) {
		t.Error("a list changed after it was returned")
	}
	i, there := s.Find(ref)
	if !there || i.Status != "ready" || !strings.HasPrefix(i.ID, "sha256:") || len(i.ID) != 71 || i.Made.IsZero() || !slices.Equal(i.Tags, []string{ref}) {
		t.Fatalf("after the pull: %+v", i)
	}
	if !slices.IsSortedFunc(s.List(), func(a, b *fs.Image) int { return strings.Compare(a.Reference, b.Reference) }) {
		t.Error("the list is not sorted")
	}
	hex := strings.TrimPrefix(i.ID, "sha256:")
	for _, name := range []string{i.ID, hex, hex[:12], "sha256:" + hex[:12]} {
		if o, there := s.Find(name); !there || o.ID != i.ID {
			t.Errorf("Find(%s) does not find it", name)
		}
	}
	for _, name := range []string{"", hex[:11], "x" + hex[1:], strings.Repeat("0", 64)} {
		if _, there := s.Find(name); there {
			t.Errorf("Find(%q) finds something", name)
		}
	}
	d, err := s.Documents(ref)
	if err != nil || len(d.Config) == 0 || len(d.Manifest) == 0 || len(d.History) == 0 {
		t.Errorf("Documents: %v, %v", d, err)
	}
	if p, err := s.Progress(ref); err != nil {
		t.Error(err)
	} else if p != nil {
		if p.Size() == 0 {
			t.Error("a pull has no progress")
		}
		p.Close()
	}
	tags(t, b, hex)
}

func tags(t *testing.T, b Backend, hex string) {
	t.Helper()
	ctx, s := t.Context(), b.Images
	ok(t, "Tag", s.Tag(ctx, b.Reference, b.Other, false))
	kind(t, "Tag onto a name", s.Tag(ctx, b.Reference, b.Other, false), fs.Exists)
	ok(t, "Tag that moves", s.Tag(ctx, hex[:12], b.Other, true))
	kind(t, "Tag of nothing", s.Tag(ctx, b.Missing, b.Other, true), fs.NotFound)
	if i, _ := s.Find(b.Other); i == nil || len(i.Tags) != 2 {
		t.Errorf("after Tag: %+v", i)
	}
	kind(t, "Untag of an ID with two names", s.Untag(ctx, hex), fs.Busy)
	kind(t, "Remove of an image with two names", s.Remove(ctx, b.Reference, false), fs.Busy)
	ok(t, "Untag", s.Untag(ctx, b.Other))
	kind(t, "Untag again", s.Untag(ctx, b.Other), fs.NotFound)
	kind(t, "Cancel of nothing", s.Cancel(ctx, b.Missing), fs.NotFound)
}

// Containers tests what every engine must keep. The image must have been pulled; Images does that.
func Containers(t *testing.T, b Backend) {
	ctx, s := t.Context(), b.Containers
	c, err := s.Create(ctx, fs.NewContainer{Name: "contract"})
	ok(t, "Create", err)
	_, err = s.Create(ctx, fs.NewContainer{Name: "contract"})
	kind(t, "Create of a name that is taken", err, fs.Exists)
	for _, name := range []string{"contract", c.ID, c.ID[:12]} {
		if o, there := s.Find(name); !there || o.ID != c.ID {
			t.Errorf("Find(%s) does not find it", name)
		}
	}
	for _, name := range []string{"", "contrac", c.ID[:11], "nosuch"} {
		if _, there := s.Find(name); there {
			t.Errorf("Find(%q) finds something", name)
		}
	}
	if c.Status != "created" || c.Created.IsZero() || len(c.ID) != 64 {
		t.Errorf("after Create: %+v", c)
	}
	settings(t, b, c.ID)
	kind(t, "Kill of what does not run", s.Kill(ctx, c.ID, ""), fs.NotRunning)
	_, err = s.Create(ctx, fs.NewContainer{Name: "contract2", Image: b.Missing, Start: true})
	if err == nil {
		t.Error("a container of no image starts")
	}
	if _, there := s.Find("contract2"); there {
		t.Error("a refused start left a container")
	}
	lives(t, b, c.ID)
}

func settings(t *testing.T, b Backend, id string) {
	t.Helper()
	ctx, s := t.Context(), b.Containers
	if len(s.Settings()) == 0 {
		t.Error("there are no settings")
	}
	for _, r := range s.Settings() {
		if r.Name == "" || r.Summary == "" || r.Mode == 0 {
			t.Errorf("the row %+v is not whole", r)
		}
		if _, err := s.Get(id, r.Name); err != nil {
			t.Error(err)
		}
	}
	get := func() string {
		v, err := s.Get(id, b.Setting[0])
		ok(t, "Get", err)
		return v
	}
	ok(t, "Set", s.Set(ctx, id, b.Setting[0], b.Setting[1]))
	if get() != b.Setting[1] {
		t.Errorf("Get returns %q, %q was set", get(), b.Setting[1])
	}
	kind(t, "Set of a bad value", s.Set(ctx, id, b.BadSetting[0], b.BadSetting[1]), fs.Invalid)
	if get() != b.Setting[1] {
		t.Errorf("a refused value left %q", get())
	}
	ok(t, "Reset", s.Reset(ctx, id, b.Setting[0]))
	if get() != "" {
		t.Errorf("Reset left %q", get())
	}
	ok(t, "Set image", s.Set(ctx, id, "image", b.Reference+"\n"))
}

// lives is a container's life.
func lives(t *testing.T, b Backend, id string) {
	t.Helper()
	ctx, s := t.Context(), b.Containers
	ok(t, "Start", s.Start(ctx, id))
	kind(t, "Start of what runs", s.Start(ctx, id), fs.Busy)
	status(t, s, id, "running")
	kind(t, "Remove of what runs", s.Remove(ctx, id, false), fs.Busy)
	kind(t, "Kill with no signal", s.Kill(ctx, id, "NOSUCH"), fs.Invalid)
	over, cancel := context.WithCancel(ctx)
	cancel()
	kind(t, "Wait of a caller that is gone", s.Wait(over, id), fs.Interrupted)
	ok(t, "Pause", s.Pause(ctx, id))
	status(t, s, id, "paused")
	ok(t, "Unpause", s.Unpause(ctx, id))
	ok(t, "Rename", s.Rename(ctx, id, "contract3"))
	if c, there := s.Find("contract3"); !there || c.ID != id {
		t.Error("the new name does not lead to it")
	}
	if names, err := s.Commands(id); err != nil || len(names) == 0 || !slices.IsSorted(names) {
		t.Errorf("Commands: %v, %v", names, err)
	} else if there, err := s.Command(id, names[0]); !there || err != nil {
		t.Errorf("Command(%s): %v, %v", names[0], there, err)
	}
	if there, err := s.Command(id, "nosuch"); there || err != nil {
		t.Errorf("Command(nosuch): %v, %v", there, err)
	}
	for _, stream := range []string{"logs", "stdout", "stderr"} {
		if g, err := s.Logs(id, stream); err != nil || g == nil {
			t.Errorf("Logs(%s): %v", stream, err)
		} else {
			g.Close()
		}
	}
	ok(t, "Stop", s.Stop(ctx, id, 0))
	ok(t, "Wait", s.Wait(ctx, id))
	status(t, s, id, "exited")
	ok(t, "Stop of what does not run", s.Stop(ctx, id, 0))
	ok(t, "Restart", s.Restart(ctx, id, 0))
	status(t, s, id, "running")
	ok(t, "Kill", s.Kill(ctx, id, "KILL"))
	ok(t, "Wait", s.Wait(ctx, id))
	ok(t, "Remove", s.Remove(ctx, id, false))
	if _, there := s.Find(id); there {
		t.Error("a removed container is found")
	}
	for what, err := range map[string]error{"Start": s.Start(ctx, id), "Kill": s.Kill(ctx, id, ""), "Remove": s.Remove(ctx, id, true)} {
		if k := fs.KindOf(err); err == nil || k != fs.Removed && k != fs.NotFound {
			t.Errorf("%s of a removed container: %v (%v)", what, err, k)
		}
	}
}

// Networks tests what every backend's networks must keep. It makes contract-a and contract-b.
func Networks(t *testing.T, s fs.Networks, owner fs.Credential) {
	ctx := t.Context()
	for _, name := range []string{"default", "host", "none"} {
		if _, there := s.Find(name); !there {
			t.Errorf("there is no network %s", name)
		}
		kind(t, "Remove "+name, s.Remove(ctx, name), fs.Forbidden)
		kind(t, "Spare "+name, s.Spare(name), fs.Forbidden)
		kind(t, "Chown "+name, s.Chown(ctx, name, 1000), fs.Forbidden)
		_, err := s.Create(ctx, name, owner)
		kind(t, "Create "+name, err, fs.Exists)
	}
	kind(t, "SetSubnet of host", s.SetSubnet(ctx, "host", "10.201.0.0/24"), fs.Forbidden)
	before := s.List()
	a, err := s.Create(ctx, "contract-a", owner)
	ok(t, "Create", err)
	b, err := s.Create(ctx, "contract-b", owner)
	ok(t, "Create", err)
	if a.Owner != owner.UID || a.Made.Unix() <= 0 || len(a.Subnets) == 0 || len(a.Gateways) != len(a.Subnets) || a.Subnets[0] == b.Subnets[0] {
		t.Errorf("after Create: %+v and %+v", a, b)
	}
	if len(s.List()) != len(before)+2 || !slices.IsSortedFunc(s.List(), func(a, b *fs.Network) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the list is not sorted, or not whole, or changed after it was returned")
	}
	_, err = s.Create(ctx, "contract-a", owner)
	kind(t, "Create again", err, fs.Exists)
	for _, bad := range []string{"", "-x", "a/b", "a b", "ä"} {
		_, err := s.Create(ctx, bad, owner)
		kind(t, "Create "+bad, err, fs.Invalid)
	}
	ok(t, "SetSubnet", s.SetSubnet(ctx, "contract-a", "10.201.0.0/24\n"))
	for value, want := range map[string]fs.Kind{
		"": fs.Invalid, "10.201.0.1/24": fs.Invalid, "x": fs.Invalid, "10.201.0.0/33": fs.Invalid, b.Subnets[0]: fs.InUse,
	} {
		kind(t, "SetSubnet "+value, s.SetSubnet(ctx, "contract-a", value), want)
	}
	if n, _ := s.Find("contract-a"); n == nil || n.Subnets[0] != "10.201.0.0/24" || n.Gateways[0] != "10.201.0.1" || !n.Made.Equal(a.Made) {
		t.Errorf("after SetSubnet: %+v", n)
	}
	if m := s.Members("contract-a"); len(m) != 0 {
		t.Errorf("nobody is on it: %v", m)
	}
	ok(t, "Chown", s.Chown(ctx, "contract-a", 1000))
	if n, _ := s.Find("contract-a"); n == nil || n.Owner != 1000 {
		t.Errorf("after Chown: %+v", n)
	}
	ok(t, "Spare", s.Spare("contract-a"))
	for _, name := range []string{"contract-a", "contract-b"} {
		ok(t, "Remove", s.Remove(ctx, name))
	}
	if _, there := s.Find("contract-a"); there || len(s.List()) != len(before) {
		t.Error("a removed network is there")
	}
	kind(t, "Remove again", s.Remove(ctx, "contract-a"), fs.NotFound)
	kind(t, "Chown of nothing", s.Chown(ctx, "contract-a", 0), fs.NotFound)
	kind(t, "SetSubnet of nothing", s.SetSubnet(ctx, "contract-a", "10.201.0.0/24"), fs.NotFound)
}

func status(t *testing.T, s fs.Containers, id, want string) {
	t.Helper()
	c, there := s.Find(id)
	if !there || c.Status != want {
		t.Errorf("status is %+v, want %s", c, want)
	}
}
