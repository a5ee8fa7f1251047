package fs

import "slices"

import "context"

// Credential is who asks: taken when a file is opened or a path operation is made, never later.
type Credential struct {
	UID, GID uint32
	Groups   []uint32 // supplementary groups
	PID      uint32   // the thread that asks, 0 if it cannot be named
}

// Root tells whether the credential is the administrator's.
func (c Credential) Root() bool { return c.UID == 0 }

// In tells whether the credential is a member of a group.
func (c Credential) In(gid uint32) bool {
	if c.GID == gid {
		return true
	}
	return slices.Contains(c.Groups, gid)
}

type callerKey struct{}

// WithCaller returns a context that carries who asks.
func WithCaller(ctx context.Context, c Credential) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// By returns who asked for what is done under the context; false if nobody did, as in a daemon's own work.
func By(ctx context.Context) (Credential, bool) {
	c, ok := ctx.Value(callerKey{}).(Credential)
	return c, ok
}
