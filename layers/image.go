package layers

import "time"

// Status is the state of an image as its status file shows it.
type Status string

// The states of an image.
const (
	Waiting Status = "waiting" // accepted, its manifest or its turn is awaited
	Pulling Status = "pulling" // its layers are arriving
	Pushing Status = "pushing" // it is ready, and on its way to its registry
	Ready   Status = "ready"
	Failed  Status = "failed" // Error says why; Pull tries again and resumes
)

// Image is what the store knows of one reference: an immutable snapshot. While
// a new version of a ready image is being pulled, Status is that of the pull
// and the other fields still describe the usable old version.
type Image struct {
	Reference string    // familiar, "redis:7"; empty for an image that has lost its tags and that containers keep
	ID        string    // "sha256:…" of the config; empty until first ready
	Digest    string    // "sha256:…" of what the reference named in the registry (index or manifest)
	Size      int64     // bytes of the unpacked layers, shared or not
	Created   time.Time // from the image's config; zero if it has none
	Platform  string    // "linux/amd64", "linux/arm/v7"
	For       string    // the platform it was asked for, if that was not this machine's
	Status    Status
	Error     string // sentence of the last failed pull or push, empty after a success
	Done      int64  // bytes of the pull or push under way, compressed
	Total     int64
	Tags      []string  // every familiar reference to this ID, sorted
	Layers    []string  // IDs of its layers, lowest first
	Made      time.Time // when this reference appeared here
	By        uint32    // uid of who pulled or tagged it
	Private   bool      // pulled with a login: only for Reader, and for who may see everything
	Reader    uint32    // uid whose login it was
}

// Usable says whether containers can be made of the image now, whatever a pull
// under way does.
func (i *Image) Usable() bool { return i.ID != "" }
