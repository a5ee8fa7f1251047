package fs

import (
	"context"
	"io"
	"os"
	"time"
)

// Images is what the tree needs of a store of images. All methods may be called from many goroutines at once; those
// that return snapshots must not wait for anything. The context of a method is for waiting only: when it ends, the
// method answers Interrupted, and work that was accepted goes on. [By] tells from the context who asked.
//
// A name is a reference as Docker prints it ("redis:7", "ghcr.io/acme/app:1.2", "redis@sha256:…"), one of its
// aliases ("redis", "docker.io/library/redis:7"), or an image's ID of 12 or 64 hex digits, with or without "sha256:".
type Images interface {
	// List returns every reference of the store, sorted by Reference. Neither slice nor images ever change.
	List() []*Image
	// Find returns the image of a name, by map look-up.
	Find(name string) (*Image, bool)
	// Parse returns the familiar form of a reference, with its tag or digest: "redis" becomes "redis:latest".
	Parse(ref string) (string, error)

	// Pull accepts a pull. Within budget it asks the registry whether the image exists and may be had: such an answer
	// is its error, and then nothing is left. A budget of 0 keeps it off the network. A pull under way is joined, unless it
	// is for another platform: then it is Busy. An empty platform is this machine's.
	Pull(ctx context.Context, ref, platform string, budget time.Duration) error
	// Push accepts a push of ref's image to where target says; target becomes one of its names. A push under way is
	// joined.
	Push(ctx context.Context, ref, target string) error
	// Wait returns when a pull or push has ended, with its failure.
	Wait(ctx context.Context, ref string) error
	// Cancel ends a pull or push under way, and of a pull drops the reference if it had no image before.
	Cancel(ctx context.Context, ref string) error
	// Tag gives the image of source the name target. Without move it is an Exists error if target is taken.
	Tag(ctx context.Context, source, target string, move bool) error
	// Untag drops one reference, and with an image's last one the image. An ID as name is Busy while several references
	// lead to it. It is Busy, naming the container, if that would take the image from one.
	Untag(ctx context.Context, name string) error
	// Remove drops the image a name leads to. It is Busy while the image has several references, or containers use it;
	// with force all of them go, and containers keep its layers.
	Remove(ctx context.Context, name string, force bool) error

	// Load makes images of the archive that r gives, to its end. What it loads and by which names is told by events. When
	// it fails, nothing is left of the image that was being loaded. r has a method Ended, which is called when the
	// archive's end mark has been read.
	Load(ctx context.Context, r io.Reader) error

	// Documents returns the texts of an image.
	Documents(ref string) (*Documents, error)
	// Progress opens the lines a pull or push has printed, which may still grow; nil without error if there are none.
	Progress(ref string) (Growing, error)
}

// Image is an immutable snapshot of one reference to an image.
type Image struct {
	Reference string // familiar: "redis:7"; the ID of an image without a name
	ID        string // "sha256:…" of the config; empty until it is known
	Digest    string // "sha256:…" of what the reference named; empty until it is known
	Platform  string // "linux/amd64"
	For       string // the platform it was asked for, if that was not this machine's
	Size      int64
	Created   time.Time // from the image's config
	Made      time.Time // when the reference came into this store
	Status    string    // waiting pulling ready failed pushing
	Error     string    // the sentence of the last failure
	Done      int64     // bytes of a pull or push under way
	Total     int64     // of Done, as far as is known
	Tags      []string  // every reference to this ID, sorted
	Layers    []string  // IDs of its layers, lowest first; empty until they are here
	Private   bool      // pulled with a login: not for everybody to read
	Reader    uint32    // uid whose login it was, who may read it beside root and the group
}

// Whole tells whether all of an image is here, and it has a file system, whatever a newer pull is doing: only then it
// has an ID.
func (i *Image) Whole() bool { return i.ID != "" }

// nameless tells that no reference leads to the image: its name moved on, or it came without one.
func (i *Image) nameless() bool { return i.Reference == i.ID }

// Documents are the texts of an image. They are empty while it has none.
type Documents struct {
	Config   []byte // the OCI image config, as the registry gave it
	Manifest []byte // the manifest, as the registry gave it
	History  []byte // docker history's lines
}

// Growing is an append-only text. Size and ReadAt only ever show more of it.
type Growing interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Dropping is a Growing of which the beginning may be dropped: it then goes on as it is, and those that are opened later
// begin later and have another Number.
type Dropping interface{ Number() int64 }

// Registries is what the tree needs of what is known of registries. What is said of [Images] about contexts and
// snapshots holds here.
type Registries interface {
	// List returns every registry, sorted by Domain. Neither slice nor registries ever change.
	List() []*Registry
	// Find returns the registry of a domain, by map look-up.
	Find(domain string) (*Registry, bool)
	// Add makes a registry known.
	Add(ctx context.Context, domain string) (*Registry, error)
	// Remove logs who asks out, and forgets the registry. That Docker's own stays is Forbidden.
	Remove(ctx context.Context, domain string) error
	// Login asks the registry whether it accepts the login, and then keeps it where Docker keeps that of who asks.
	Login(ctx context.Context, domain, user, password string) error
	// Logout forgets the login of who asks; that there is none is no error.
	Logout(ctx context.Context, domain string) error
	// Get returns "insecure" or "mirror" exactly as it was written, empty if it never was.
	Get(domain, setting string) (string, error)
	// Set checks and keeps "insecure" or "mirror"; empty is the default.
	Set(ctx context.Context, domain, setting, value string) error
}

// Registry is an immutable snapshot of what is known of one registry.
type Registry struct {
	Domain string            // "docker.io", "localhost:5000"
	Made   time.Time         // when it became known
	Users  map[uint32]string // by what name users have logged in, by uid
}

// Layers is what the tree needs of the store's layers. They come and go with images; what is said of [Images] about
// snapshots holds here.
type Layers interface {
	// List returns every layer that is stored, sorted by ID.
	List() []*Layer
	// Find returns the layer of an ID, by map look-up.
	Find(id string) (*Layer, bool)
	// Images are the references of the images that have a layer, or the IDs of those without one.
	Images(id string) []string
	// Digests are what manifests call a layer in its compressed form.
	Digests(id string) []string
}

// Layer is an immutable snapshot of a stored layer.
type Layer struct {
	ID      string // "sha256:…", its name in the store
	DiffID  string // "sha256:…" of its tar, as an image's config names it
	Size    int64  // bytes of its files
	Entries int64
	Made    time.Time // when it came into this store
}

// Volumes is what the tree needs of directories that outlive containers. What is said of [Images] about contexts and
// snapshots holds here.
type Volumes interface {
	// List returns every volume, sorted by Name. Neither slice nor volumes ever change.
	List() []*Volume
	// Find returns the volume of a name, by map look-up.
	Find(name string) (*Volume, bool)
	Create(ctx context.Context, name string, owner Credential) (*Volume, error)
	// Remove removes a volume that no container uses: that one does is Busy. That there are files in it is NotEmpty,
	// unless all is set.
	Remove(ctx context.Context, name string, all bool) error
	// Chown gives a volume to another user.
	Chown(ctx context.Context, name string, uid uint32) error
	// Spare is what Remove would say now, of a volume with all its files.
	Spare(name string) error
	// Size is how many bytes its files take; false while they are being counted. It is cheap.
	Size(name string) (int64, bool)
}

// Volume is an immutable snapshot of a volume.
type Volume struct {
	Name  string
	Owner uint32
	Made  time.Time
	Users []string // names of the containers that have it among their mounts, sorted
}

// Networks is what the tree needs of what containers talk over. What is said of [Images] about contexts and snapshots
// holds here.
type Networks interface {
	// List returns every network, sorted by Name: those that were made, and default, host and none, which always are. Neither
	// slice nor networks ever change.
	List() []*Network
	// Find returns the network of a name, by map look-up.
	Find(name string) (*Network, bool)
	Create(ctx context.Context, name string, owner Credential) (*Network, error)
	// Remove removes a network: that a container is on it, or is to be, is Busy, and that it always is, Forbidden.
	Remove(ctx context.Context, name string) error
	// Spare is what Remove would say now.
	Spare(name string) error
	// Chown gives a network to another user; those that always are stay root's, which is Forbidden.
	Chown(ctx context.Context, name string, uid uint32) error
	// SetSubnet gives a network other subnets, a line for each of IPv4 and IPv6 or for one of them. That a container is on it
	// is Busy, that the host or another network has addresses of it InUse.
	SetSubnet(ctx context.Context, name, value string) error
	// Members returns the containers that are on a network or are to be, sorted by Name.
	Members(name string) []Member
}

// Network is an immutable snapshot of a network.
type Network struct {
	Name     string
	Owner    uint32
	Made     time.Time // not after 1970 of host and none, which nobody made
	Subnets  []string  // "10.89.0.0/24"; IPv4 before IPv6; none of host and none
	Gateways []string  // the addresses by which containers reach the host
}

// Member is a container on a network.
type Member struct {
	Name      string
	Addresses []string // none if it has none now
}

// Roots gives the file systems of images, layers, containers and volumes to look into.
type Roots interface {
	// ImageRoot is the merged read-only file system of an image, by ID.
	ImageRoot(ctx context.Context, id string) (*Root, error)
	// LayerRoot is one layer's own tree, read-only and with its whiteouts, by ID.
	LayerRoot(ctx context.Context, id string) (*Root, error)
	// ContainerRoot is the file system of a container, by ID, whether it runs or not.
	ContainerRoot(ctx context.Context, id string) (*Root, error)
	// VolumeRoot is the files of a volume, by name.
	VolumeRoot(ctx context.Context, name string) (*Root, error)
}

// Root is a file system lent to the tree until Release.
type Root struct {
	Dir      *os.File // O_PATH descriptor of its top; stays the lender's
	Base     uint32   // what to take from the owners' ids it shows to get those inside
	ReadOnly bool
	Mark     uint64      // another one means that what is beneath is other files than before, though of the same object
	Gone     func() bool // tells that the object is no more, though the tree is still lent; nil: it is not known
	Release  func()
}

// Upkeep looks after the store. The methods return when it is done.
type Upkeep interface {
	// Check verifies everything in the store; flaws are a Corrupt error that names them.
	Check(ctx context.Context) error
	// Repair mends what it can; what is left is a Corrupt error.
	Repair(ctx context.Context) error
	// Prune removes what nobody uses of "containers", "images" (those without a name, or with all every one), "volumes"
	// (those that containers have left, or with all every one), or "all" of the first two.
	Prune(ctx context.Context, what string, all bool) error
	// Run makes and starts a container by what would follow run -d in a shell. It waits for no image: a container whose
	// image is not here starts when that is.
	Run(ctx context.Context, line string) error
}

// Host tells about this hull and the machine it runs on.
type Host interface {
	// Version is one word.
	Version() string
	// Info is flat "key value" text.
	Info() string
	// Disk is flat "key value" text about what takes the disk, without a walk over it. [By] tells who asks.
	Disk(ctx context.Context) string
}
