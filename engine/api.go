package engine

import "os"

// New describes a container to create.
type New struct {
	Name     string            // empty: NewName's
	Image    string            // as for the setting; may be empty when nothing is to be started yet
	Settings map[string]string // raw values by setting name
	Owner    Owner
	// Start starts it at once; if that fails, Create fails with the start's error and nothing is left.
	Start bool
}

// View is the file system of a container or a volume as a directory to walk in.
type View struct {
	Dir  *os.File // the root; open everything beneath it by openat2
	Base uint32   // owners seen in it are the container's ids plus this
	// Mark tells the directory from another that the same object has had; Gone that the view does not show what a new one
	// would: something is mounted elsewhere now. nil: it always does.
	Mark uint64
	Gone func() bool
	// Release gives it back; Dir must not be used after.
	Release func()
}

// Change is one line of docker diff: A added, C changed, D deleted.
type Change struct {
	Kind byte
	Path string
}
