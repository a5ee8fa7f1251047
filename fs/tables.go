package fs

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// containers.txt, running.txt and images.txt: docker's columns and wording, newest first.

func allContainers(ctx context.Context, t *Tree, _ *entry) ([]byte, error) {
	return t.containerTable(ctx, func(*Container) bool { return true })
}

func runningContainers(ctx context.Context, t *Tree, _ *entry) ([]byte, error) {
	return t.containerTable(ctx, (*Container).Lives)
}

func (t *Tree) containerTable(ctx context.Context, want func(*Container) bool) ([]byte, error) {
	by, _ := By(ctx)
	all := slices.Clone(t.Containers.List())
	slices.SortStableFunc(all, func(a, b *Container) int { return b.Created.Compare(a.Created) })
	now := time.Now()
	lines := newColumns("CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES")
	for _, c := range all {
		if want(c) {
			lines.add(short(c.ID), c.Image, t.shownCommand(by, c), ago(now.Sub(c.Created))+" ago", statusText(c, now), portColumn(c.shownPorts()), c.Name)
		}
	}
	return lines.text(), nil
}

// shownCommand is a command line as docker shows it, without its arguments to those who may not see them.
func (t *Tree) shownCommand(by Credential, c *Container) string {
	command := c.Command
	if !t.tells(by, c) {
		command, _, _ = strings.Cut(command, " ")
	}
	return strconv.Quote(ellipsis(command, 20))
}

// tells tells whether somebody may see with what arguments a container runs, and what may quote them: who may read its
// command.
func (t *Tree) tells(by Credential, c *Container) bool {
	if by.Root() {
		return true
	}
	r := t.table.find("containers").rows[0].find("command")
	return may(by, &entry{
		t: t, row: r, obj: c.object(), name: r.name, dir: "containers/" + c.Name, rel: r.name,
	}, Read) == nil
}

// ellipsis cuts a text to a width, as docker does.
func ellipsis(s string, width int) string {
	if len(s) <= width {
		return s
	}
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	return string(r[:width-1]) + "…"
}

func short(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	return id[:min(12, len(id))]
}

// statusText is docker's STATUS, and how often a restart policy was at work. hull's waiting is shown as Created, with what
// it waits for.
func statusText(c *Container, now time.Time) string {
	text := statusNow(c, now)
	switch {
	case !c.Lives() || c.Restarts == 0:
		return text
	case c.Restarts == 1:
		return text + ", 1 restart"
	}
	return text + ", " + strconv.Itoa(c.Restarts) + " restarts"
}

func statusNow(c *Container, now time.Time) string {
	switch c.Status {
	case "running":
		return "Up " + ago(now.Sub(c.Started)) + healthText(c)
	case "stopping":
		return "Up " + ago(now.Sub(c.Started)) + " (Stopping)"
	case "paused":
		return "Up " + ago(now.Sub(c.Started)) + " (Paused)"
	case "exited":
		return fmt.Sprintf("Exited (%d) %s ago", c.Exit, ago(now.Sub(c.Ended)))
	case "restarting":
		return fmt.Sprintf("Restarting (%d) %s ago", c.Exit, ago(now.Sub(c.Ended)))
	case "dead":
		return "Dead"
	case "waiting":
		return "Created (Waiting for its image)"
	}
	return "Created"
}

// healthText is docker's word for a container's health in its STATUS.
func healthText(c *Container) string {
	switch c.Health {
	case "starting":
		return " (health: starting)"
	case "healthy", "unhealthy":
		return " (" + c.Health + ")"
	}
	return ""
}

func allImages(ctx context.Context, t *Tree, _ *entry) ([]byte, error) {
	all := slices.Clone(t.Images.List())
	slices.SortStableFunc(all, func(a, b *Image) int { return b.Created.Compare(a.Created) })
	by, _ := By(ctx)
	now := time.Now()
	lines := newColumns("REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE")
	for _, i := range all {
		if i.Status != "ready" && i.ID == "" {
			continue // as docker, which shows what it has
		}
		repository, tag := splitReference(i.Reference)
		if !t.seen(by, i) {
			lines.add(repository, tag, "<private>", "N/A", "N/A")
			continue
		}
		created := "N/A"
		if !i.Created.IsZero() {
			created = ago(now.Sub(i.Created)) + " ago"
		}
		lines.add(repository, tag, short(i.ID), created, size(i.Size))
	}
	return lines.text(), nil
}

// splitReference is a familiar reference's repository and tag; a digest is shown as no tag.
func splitReference(ref string) (repository, tag string) {
	if strings.HasPrefix(ref, "sha256:") { // no name leads to it
		return "<none>", "<none>"
	}
	if name, _, ok := strings.Cut(ref, "@"); ok {
		return name, "<none>"
	}
	i := strings.LastIndexByte(ref, ':')
	if i < strings.LastIndexByte(ref, '/') || i < 0 {
		return ref, "<none>"
	}
	return ref[:i], ref[i+1:]
}

// columns are rows that are aligned as docker's client does: at least ten wide, three apart.
type columns struct {
	width []int // of each column, in characters
	cells []string
	bytes int
}

func newColumns(head ...string) *columns {
	t := &columns{width: make([]int, len(head))}
	t.add(head...)
	return t
}

func (t *columns) add(cells ...string) {
	for i, c := range cells {
		t.width[i] = max(t.width[i], utf8.RuneCountInString(c))
		t.bytes += len(c)
	}
	t.cells = append(t.cells, cells...)
}

func (t *columns) text() []byte {
	const least, apart = 10, 3
	n, line := len(t.width), 0
	for _, w := range t.width {
		line += max(least, w+apart)
	}
	b := make([]byte, 0, t.bytes+len(t.cells)/n*line)
	for i, c := range t.cells {
		b = append(b, c...)
		if i%n == n-1 { // nothing is to the right of the last one
			b = append(b, '\n')
			continue
		}
		for range max(least, t.width[i%n]+apart) - utf8.RuneCountInString(c) {
			b = append(b, ' ')
		}
	}
	return b
}

// ago is docker's wording of a duration: "Less than a second", "5 seconds", "About a minute", "3 weeks".
func ago(d time.Duration) string {
	seconds, minutes := int(d.Seconds()), int(d.Minutes())
	hours := int(d.Hours() + 0.5)
	switch {
	case seconds < 1:
		return "Less than a second"
	case seconds == 1:
		return "1 second"
	case seconds < 60:
		return strconv.Itoa(seconds) + " seconds"
	case minutes == 1:
		return "About a minute"
	case minutes < 60:
		return strconv.Itoa(minutes) + " minutes"
	case hours == 1:
		return "About an hour"
	case hours < 48:
		return strconv.Itoa(hours) + " hours"
	case hours < 24*7*2:
		return fmt.Sprintf("%d days", hours/24)
	case hours < 24*30*2:
		return fmt.Sprintf("%d weeks", hours/24/7)
	case hours < 24*365*2:
		return fmt.Sprintf("%d months", hours/24/30)
	}
	return fmt.Sprintf("%d years", int(d.Hours())/24/365)
}

// size is docker's wording of a number of bytes: three digits, powers of 1000.
func size(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}
	f, u := float64(n), 0
	for f >= 1000 && u < len(units)-1 {
		f /= 1000
		u++
	}
	return fmt.Sprintf("%.3g%s", f, units[u])
}
