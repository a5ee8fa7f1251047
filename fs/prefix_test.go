package fs_test

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"hull/fs"
)

// twins has of each container another whose ID begins with the same eight digits.
type twins struct{ fs.Containers }

func (c twins) List() []*fs.Container {
	list := c.Containers.List()
	for _, one := range list {
		other := *one
		other.Name, other.ID = "other", one.ID[:8]+strings.Repeat("0", len(one.ID)-8)
		list = append(list, &other)
	}
	return list
}

// TestBeginnings: what several IDs begin with leads to none of them, which is said, and is free for a name.
func TestBeginnings(t *testing.T) {
	m := mountWith(t, func(o *fs.Options) { o.Containers = twins{o.Containers} }, "redis:7")
	m.ok("mkdir containers/web")
	id := strings.TrimSpace(m.read("containers/web/id"))
	if _, err := os.Stat(m.path("containers/" + id[:8])); !os.IsNotExist(err) {
		t.Errorf("what two begin with is %v", err)
	}
	m.want("cat error", "The IDs of 2 containers begin with "+id[:8]+", as "+strings.Join(inOrder(id[:12], id[:8]+"0000"), " and ")+": write more digits.\n")
	m.want("cat containers/"+id[:9]+"/id", id+"\n")
	m.ok("mkdir containers/" + id[:8])
	errno(t, "rmdir of what two begin with", os.Remove(m.path("containers/"+id[:7])), syscall.ENOENT)
	m.ok("rmdir containers/" + id[:8])
	m.want("cat containers/web/id", id+"\n")
}

func inOrder(a, b string) []string {
	if a > b {
		a, b = b, a
	}
	return []string{a, b}
}
