// Package credentials reads and writes the logins of users where Docker and
// Podman keep them, so that a `docker login` counts for hull and the other way
// round.
//
// That is ~/.docker/config.json: the logins themselves, or the names of helper
// programs (docker-credential-pass and the like) that keep them. What else stands
// in that file stays as it is. Logins that are only in Podman's auth.json are
// found, too.
//
// The engine may run as root and act for many users. It never opens a user's
// files itself: everything is done by a child process that has the user's ids,
// groups and home and nothing else of the engine's (hull's own binary in a role,
// Main). A link in somebody's home leads that somebody no further than before,
// and a helper program runs with the rights of whose configuration names it. The
// child has an empty environment but for HOME and PATH, secrets pass through its
// standard input and output only, and it is ended after half a minute.
//
// A User is a registry.Keychain.
package credentials

import (
	"context"
	"fmt"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"hull/layers/registry"
)

// User is on whose behalf logins are read and written.
type User struct {
	UID, GID uint32
	Groups   []uint32
	// Home is the user's directory. Without one there are no logins.
	Home string
	// Config is what the user's DOCKER_CONFIG says; empty means .docker in Home.
	Config string
	// Runtime is what the user's XDG_RUNTIME_DIR says; empty means /run/user/UID.
	Runtime string
	// Path is the user's PATH, on which helper programs are; empty means the usual
	// directories, those in Home included.
	Path string
}

// Lookup fills a User in from the system's files: home, group and groups. A user
// that these do not know has only the uid, and no home.
func Lookup(uid uint32) User {
	u := User{UID: uid, GID: uid}
	entry, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return u
	}
	u.Home = entry.HomeDir
	if gid, err := strconv.ParseUint(entry.Gid, 10, 32); err == nil {
		u.GID = uint32(gid)
	}
	groups, err := entry.GroupIds()
	if err != nil {
		return u
	}
	for _, g := range groups {
		if gid, err := strconv.ParseUint(g, 10, 32); err == nil {
			u.Groups = append(u.Groups, uint32(gid))
		}
	}
	return u
}

// Credential makes a User a registry.Keychain.
func (u User) Credential(ctx context.Context, domain string) (registry.Credential, error) {
	return Get(ctx, u, domain)
}

// Get returns the login that a user has for a registry ("docker.io", "ghcr.io",
// "localhost:5000"), the zero Credential if there is none. Errors are of type
// *Error.
func Get(ctx context.Context, u User, domain string) (registry.Credential, error) {
	if u.Home == "" && u.Config == "" {
		return registry.Credential{}, nil
	}
	a, err := call(ctx, u, order{Op: opGet, Domain: domain})
	if err != nil {
		return registry.Credential{}, err
	}
	return registry.Credential(a.Secret), nil
}

// Store keeps a login for a user, in place of what there was for that registry.
// It should have been accepted by the registry before (registry.Client.Login).
// Errors are of type *Error.
func Store(ctx context.Context, u User, domain string, c registry.Credential) (Stored, error) {
	a, err := call(ctx, u, order{Op: opStore, Domain: domain, Secret: secret(c)})
	if err != nil {
		return Stored{}, err
	}
	return Stored{File: a.File, Helper: a.Helper}, nil
}

// Erase forgets a user's login for a registry, wherever it is found; that there is
// none is no error. Errors are of type *Error.
func Erase(ctx context.Context, u User, domain string) error {
	if u.Home == "" && u.Config == "" {
		return nil
	}
	_, err := call(ctx, u, order{Op: opErase, Domain: domain})
	return err
}

// Stored says where a login is now.
type Stored struct {
	File   string // the user's config.json
	Helper string // the helper program that keeps it; empty if the file does
}

// Warning is what the user should know about it, lines as Docker prints them;
// empty if it is well kept.
func (s Stored) Warning() string {
	if s.Helper != "" {
		return ""
	}
	return fmt.Sprintf("WARNING! Your credentials are stored unencrypted in '%s'.\n"+
		"Configure a credential helper to remove this warning. See\n"+
		"https://docs.docker.com/go/credential-store/\n", s.File)
}

// path is where the user's helper programs are looked for.
func (u User) path() string {
	if u.Path != "" {
		return u.Path
	}
	path := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin"
	if filepath.IsAbs(u.Home) && !strings.Contains(u.Home, ":") {
		path += ":" + u.Home + "/.local/bin:" + u.Home + "/bin"
	}
	return path
}
