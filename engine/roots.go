package engine

import (
	"context"
	"errors"
	"os"
)

// ErrPulling is what Roots.Image answers for an image that is on its way. A start then waits for it.
var ErrPulling = errors.New("the image is still being pulled")

// Roots is what the engine needs of a store of images: their configuration, and root file systems made from
// them. Its errors should be *Error (or wrap one); a stranger counts as System.
type Roots interface {
	// Parse answers the familiar form of an image's name, or an error that says what is wrong with it.
	Parse(name string) (string, error)
	// Platform says what is wrong with the word for a platform, as "linux/arm64"; nil if nothing is.
	Platform(word string) error
	// Image finds an image by reference, alias or ID; ErrPulling while it is being pulled. With a platform it is the one
	// for that, else NotFound.
	Image(ctx context.Context, name, platform string) (*Image, error)
	// Wait returns when the pull of an image has ended, with its failure.
	Wait(ctx context.Context, name string) error
	// Hold keeps an image's layers for a container, until Release. Both may be repeated.
	Hold(imageID, containerID string) error
	Release(imageID, containerID string)
	// Mount makes a detached overlay mount of an image with upper (a directory holding "upper" and "work") on top.
	// users is the user namespace whose mapping the layers and the upper directory are presented through, and base
	// the first host id of that mapping.
	Mount(ctx context.Context, imageID string, upper, users *os.File, base uint32, readOnly bool) (*os.File, error)
}

// Image is an image as far as a container cares: its identity, and the fields of its OCI configuration.
type Image struct {
	ID         string // sha256:…
	Reference  string // familiar name it was found by
	Platform   string `json:",omitempty"` // "linux/arm64"
	Entrypoint []string
	Cmd        []string
	Env        []string
	User       string
	WorkingDir string
	StopSignal string
	Labels     map[string]string
	Ports      []string // EXPOSE: "80/tcp"
	Volumes    []string
	Health     *Healthcheck `json:",omitempty"`
}
