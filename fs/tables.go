package fs

import (
	"bytes"
	"context"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
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
	all := append([]*Container(nil), t.Containers.List()...)
	sort.SliceStable(all, func(i, j int) bool { return all[i].Created.After(all[j].Created) })
	now := time.Now()
	return columns("CONTAINER ID\tIMAGE\tCOMMAND\tCREATED\tSTATUS\tPORTS\tNAMES\n", func(w *tabwriter.Writer) {
		for _, c := range all {
			if want(c) {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s ago\t%s\t\t%s\n", short(c.ID), c.Image, t.shownCommand(by, c), ago(now.Sub(c.Created)), statusText(c, now), c.Name)
			}
		}
	})
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
	r := t.table.find("containers").rows[0].find("command")
	return may(by, &entry{
		t: t, row: r, obj: object{kind: containerObject, id: c.ID}, name: r.name, dir: "containers/" + c.Name, rel: r.name,
	}, Read) == nil
}

// ellipsis cuts a text to a width, as docker does.
func ellipsis(s string, width int) string {
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
	all := append([]*Image(nil), t.Images.List()...)
	sort.SliceStable(all, func(i, j int) bool { return all[i].Created.After(all[j].Created) })
	by, _ := By(ctx)
	now := time.Now()
	return columns("REPOSITORY\tTAG\tIMAGE ID\tCREATED\tSIZE\n", func(w *tabwriter.Writer) {
		for _, i := range all {
			if i.Status != "ready" && i.ID == "" {
				continue // as docker, which shows what it has
			}
			repository, tag := splitReference(i.Reference)
			if !t.seen(by, i) {
				fmt.Fprintf(w, "%s\t%s\t<private>\tN/A\tN/A\n", repository, tag)
				continue
			}
			created := "N/A"
			if !i.Created.IsZero() {
				created = ago(now.Sub(i.Created)) + " ago"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", repository, tag, short(i.ID), created, size(i.Size))
		}
	})
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

// columns aligns rows as docker's client does: at least ten wide, three apart.
func columns(head string, rows func(*tabwriter.Writer)) ([]byte, error) {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 10, 1, 3, ' ', 0)
	fmt.Fprint(w, head)
	rows(w)
	err := w.Flush()
	return b.Bytes(), err
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
		return fmt.Sprintf("%d seconds", seconds)
	case minutes == 1:
		return "About a minute"
	case minutes < 60:
		return fmt.Sprintf("%d minutes", minutes)
	case hours == 1:
		return "About an hour"
	case hours < 48:
		return fmt.Sprintf("%d hours", hours)
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
