package fs

import (
	"context"
	"encoding/json"
	"strings"
	"time"
)

// containers.json and images.json: the same as the tables, for scripts. They are arrays of objects in the order of
// names; what is not known is left out.

type containerItem struct {
	ID       string        `json:"id"`
	Name     string        `json:"name"`
	Image    string        `json:"image,omitempty"`
	ImageID  string        `json:"image_id,omitempty"`
	Command  string        `json:"command,omitempty"`
	Status   string        `json:"status"`
	Error    string        `json:"error,omitempty"`
	PID      string        `json:"pid,omitempty"`
	Exit     *int          `json:"exit,omitempty"` // of one that has ended
	Restarts int           `json:"restarts,omitempty"`
	Health   string        `json:"health,omitempty"`
	OOM      bool          `json:"oom,omitempty"`
	Networks []networkItem `json:"networks,omitempty"`
	Ports    []portItem    `json:"ports,omitempty"` // what is published
	Owner    uint32        `json:"owner"`
	Created  time.Time     `json:"created"`
	Started  time.Time     `json:"started,omitzero"`
	Ended    time.Time     `json:"finished,omitzero"`
}

type networkItem struct {
	Network string `json:"network"`
	IP      string `json:"ip"`
	IP6     string `json:"ip6,omitempty"`
}

type portItem struct {
	Host     string `json:"host"` // 127.0.0.1:8080
	Port     uint16 `json:"port"`
	Protocol string `json:"protocol"`
}

func containersJSON(ctx context.Context, t *Tree, _ *entry) ([]byte, error) {
	by, _ := By(ctx)
	all := t.Containers.List()
	items := make([]containerItem, 0, len(all))
	for _, c := range all {
		item := containerItem{
			ID: c.ID, Name: c.Name, Image: c.Image, ImageID: c.ImageID, Command: c.Command, Status: c.Status, Error: c.Error,
			PID: c.Process, OOM: c.OOM, Restarts: c.Restarts, Owner: c.Owner, Created: c.Created, Started: c.Started,
		}
		if c.Health != "none" {
			item.Health = c.Health
		}
		for _, a := range c.Addresses {
			item.Networks = append(item.Networks, networkItem(a))
		}
		for _, p := range sorted(c.Ports) {
			if p.Host.IsValid() {
				item.Ports = append(item.Ports, portItem{p.Host.String(), p.Port, p.Proto})
			}
		}
		if exitCode(c) != "" {
			item.Exit, item.Ended = &c.Exit, c.Ended
		}
		if !t.tells(by, c) {
			item.Command, _, _ = strings.Cut(c.Command, " ") // as in the table
			item.Error = ""
		}
		items = append(items, item)
	}
	return array(items)
}

type imageItem struct {
	Reference string    `json:"reference,omitempty"` // none of one without a name
	ID        string    `json:"id,omitempty"`
	Digest    string    `json:"digest,omitempty"`
	Platform  string    `json:"platform,omitempty"`
	Size      int64     `json:"size,omitempty"`
	Created   time.Time `json:"created,omitzero"`
	Status    string    `json:"status"`
	Error     string    `json:"error,omitempty"`
	Tags      []string  `json:"tags,omitempty"`
	Layers    []string  `json:"layers,omitempty"` // lowest first
}

func imagesJSON(ctx context.Context, t *Tree, _ *entry) ([]byte, error) {
	by, _ := By(ctx)
	all := t.Images.List()
	items := make([]imageItem, 0, len(all))
	for _, i := range all {
		item := imageItem{
			Reference: i.Reference, ID: i.ID, Digest: i.Digest, Platform: i.Platform, Size: i.Size, Created: i.Created,
			Status: i.Status, Error: sentence(i.Error), Tags: i.Tags, Layers: i.Layers,
		}
		if i.nameless() {
			item.Reference = ""
		}
		if !t.seen(by, i) {
			item = imageItem{Reference: item.Reference, Status: "private"}
		}
		items = append(items, item)
	}
	return array(items)
}

// array is a document that people can read, too.
func array(items any) ([]byte, error) {
	b, err := json.MarshalIndent(items, "", "  ")
	return append(b, '\n'), err
}
