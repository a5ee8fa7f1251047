package credentials

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Role is the first argument that makes hull's binary run Main.
const Role = "credentials"

// How long things may take: all of it as the parent sees it, the grace in which
// the child ends its helper, and the helper itself.
const (
	callLimit   = 30 * time.Second
	callGrace   = 3 * time.Second
	helperLimit = 25 * time.Second
)

// Caps on what passes between parent, child and helper.
const (
	maxMessage = 1 << 20
	maxSecret  = 64 << 10
)

// What the child can be told to do.
const (
	opGet   = "get"
	opStore = "store"
	opErase = "erase"
)

// order is what the child reads: one JSON document.
type order struct {
	Op      string `json:"op"`
	Domain  string `json:"domain"`
	Config  string `json:"config,omitempty"`  // directory
	Runtime string `json:"runtime,omitempty"` // directory
	Secret  secret `json:"secret"`
}

// secret is a registry.Credential that can be written down.
type secret struct {
	User, Password string
	IdentityToken  string
	RegistryToken  string
}

// String keeps secrets out of logs and messages.
func (secret) String() string { return "(secret)" }

// GoString keeps secrets out of logs and messages.
func (secret) GoString() string { return "(secret)" }

// answer is what the child writes: one JSON document.
type answer struct {
	Secret secret `json:"secret"`
	File   string `json:"file,omitempty"`
	Helper string `json:"helper,omitempty"`
	Kind   string `json:"kind,omitempty"` // of a failure
	Reason string `json:"reason,omitempty"`
}

// call has an order carried out by a child with the user's rights.
func call(ctx context.Context, u User, o order) (*answer, error) {
	fail := func(k Kind, reason string, err error) error {
		return &Error{Op: o.Op, Domain: o.Domain, Kind: k, Reason: reason, Err: err}
	}
	o.Config, o.Runtime = u.Config, u.Runtime
	if err := o.check(u); err != nil {
		return nil, fail(err.kind, err.reason, nil)
	}
	in, err := json.Marshal(o)
	if err != nil {
		return nil, fail(System, "it cannot be passed on", err)
	}
	limited, stop := context.WithTimeout(ctx, callLimit)
	defer stop()
	out := &capped{left: maxMessage}
	cmd := u.child(limited)
	cmd.Stdin, cmd.Stdout = bytes.NewReader(in), out
	err = cmd.Run()
	switch {
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled):
		return nil, fail(Cancelled, "it was cancelled", context.Cause(ctx))
	case limited.Err() != nil:
		return nil, fail(Timeout, "it takes too long", limited.Err())
	case err != nil:
		return nil, fail(System, "the process that acts for the user ended early: "+printable(err.Error()), err)
	}
	a := &answer{}
	if json.Unmarshal(out.buf.Bytes(), a) != nil {
		return nil, fail(System, "the process that acts for the user makes no sense", nil)
	}
	if a.Kind != "" {
		return nil, fail(kindNamed(a.Kind), printable(a.Reason), nil)
	}
	return a, nil
}

// child is hull's own binary with a user's ids and home. It is found by the
// kernel's link to it, which also works where the user could not reach it by name
// and when it has been replaced meanwhile.
func (u User) child(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", Role)
	cmd.Args[0] = "hull"
	cmd.Env = []string{"HOME=" + u.Home, "PATH=" + u.path()}
	cmd.Dir = "/"
	// A session of its own: no terminal for a helper to ask at.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups}
	}
	// It ends its helper before itself.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = callGrace
	return cmd
}

// check refuses what cannot be carried out before a process is made for it.
func (o *order) check(u User) *fault {
	switch {
	case os.Geteuid() != 0 && uint32(os.Geteuid()) != u.UID:
		return &fault{Denied, "hull does not run as root, and so only handles the logins of who runs it"}
	case !isDomain(o.Domain):
		return &fault{Malformed, "that is not a registry's name"}
	case u.Home == "" && u.Config == "":
		return &fault{Homeless, fmt.Sprintf("the user %d has no home directory", u.UID)}
	}
	s := o.Secret
	if len(s.User)+len(s.Password)+len(s.IdentityToken)+len(s.RegistryToken) > maxSecret {
		return &fault{Malformed, "it is too long"}
	}
	return nil
}

// isDomain reports whether s can be a host with or without port. What it means is
// for others to say; here it becomes a line of a helper's input, and a key.
func isDomain(s string) bool {
	for i := range len(s) {
		c := s[i]
		alnum := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !alnum && c != '.' && c != '-' && c != '_' && c != ':' && c != '[' && c != ']' {
			return false
		}
	}
	return s != "" && len(s) <= 300
}

// capped is a buffer that takes only so much. It has no ReadFrom, by which a
// bytes.Buffer would be filled past the cap.
type capped struct {
	buf  bytes.Buffer
	left int
}

// Write fails when it is full, which ends who writes.
func (c *capped) Write(p []byte) (int, error) {
	n := min(len(p), c.left)
	c.left -= n
	c.buf.Write(p[:n])
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}
