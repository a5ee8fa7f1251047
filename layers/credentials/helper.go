package credentials

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/docker/docker-credential-helpers/client"
	helpers "github.com/docker/docker-credential-helpers/credentials"
	"golang.org/x/sys/unix"
)

// tokenUser is the name under which helpers keep an identity token.
const tokenUser = "<token>"

// helperGet asks a helper program for the login of a server.
func helperGet(ctx context.Context, name, server string) (secret, bool, error) {
	p := newProgram(ctx, name)
	got, err := client.Get(p.with, server)
	switch {
	case p.missing():
		return secret{}, false, nil
	case p.err != nil || err != nil:
		return secret{}, false, p.fault("")
	case got.Username == "" && got.Secret == "":
		return secret{}, false, nil
	case got.Username == tokenUser:
		return secret{IdentityToken: got.Secret}, true, nil
	}
	return secret{User: got.Username, Password: got.Secret}, true, nil
}

// helperStore gives a login to a helper program.
func helperStore(ctx context.Context, name, server string, s secret) error {
	given := &helpers.Credentials{ServerURL: server, Username: s.User, Secret: s.Password}
	if s.IdentityToken != "" {
		given.Username, given.Secret = tokenUser, s.IdentityToken
	}
	p := newProgram(ctx, name)
	if err := client.Store(p.with, given); err != nil || p.err != nil {
		return p.fault(given.Secret)
	}
	return nil
}

// helperErase has a helper program forget a login.
func helperErase(ctx context.Context, name, server string) error {
	p := newProgram(ctx, name)
	if err := client.Erase(p.with, server); (err != nil || p.err != nil) && !p.missing() {
		return p.fault("")
	}
	return nil
}

// program runs a helper for the library, which knows what helpers are told and
// what they say, but not how to bound them.
type program struct {
	ctx  context.Context //nolint:containedctx // the library's interface has no room for it
	name string
	args []string
	in   io.Reader

	out capped
	err error
}

func newProgram(ctx context.Context, name string) *program {
	return &program{ctx: ctx, name: "docker-credential-" + name, out: capped{left: maxSecret + 4096}}
}

func (p *program) with(args ...string) client.Program {
	p.args = args
	return p
}

// Input takes what the helper reads.
func (p *program) Input(in io.Reader) { p.in = in }

// Output runs the helper and returns what it prints.
func (p *program) Output() ([]byte, error) {
	path, err := exec.LookPath(p.name)
	if err != nil {
		p.err = err
		return nil, err
	}
	ctx, stop := context.WithTimeout(p.ctx, helperLimit)
	defer stop()
	cmd := exec.CommandContext(ctx, path, p.args...)
	cmd.Dir = "/"
	cmd.Stdin, cmd.Stdout = p.in, &p.out
	// A group, to be ended as a whole; also if this process is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second
	p.err = cmd.Run()
	if ctx.Err() != nil {
		p.err = ctx.Err()
	}
	// One that leaves something behind which holds its output has answered.
	if errors.Is(p.err, exec.ErrWaitDelay) {
		p.err = nil
	}
	return p.out.buf.Bytes(), p.err
}

// setRuntime lets helpers find the user's directory of sockets, where keyrings
// and agents are, if it is the user's.
func setRuntime(dir string) {
	if dir == "" {
		dir = "/run/user/" + strconv.Itoa(os.Getuid())
	}
	var st unix.Stat_t
	if unix.Lstat(dir, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR && int(st.Uid) == os.Getuid() {
		os.Setenv("XDG_RUNTIME_DIR", dir)
	}
}

// missing reports whether the helper said that it has no such login, which its
// protocol has words for and nothing else.
func (p *program) missing() bool {
	var exit *exec.ExitError
	return errors.As(p.err, &exit) && helpers.IsErrCredentialsNotFoundMessage(p.out.buf.String())
}

// fault says what is wrong with the helper, in its own words if those can hold no
// secret.
func (p *program) fault(secret string) error {
	switch {
	case errors.Is(p.err, exec.ErrNotFound):
		return faultf(Helper, "the credential helper %s, which the user's Docker configuration names, is not installed", p.name)
	case errors.Is(p.err, context.DeadlineExceeded):
		return faultf(Timeout, "the credential helper %s does not answer", p.name)
	case errors.Is(p.err, context.Canceled):
		return faultf(Cancelled, "it was cancelled")
	case p.err == nil:
		return faultf(Helper, "the credential helper %s answers nonsense", p.name)
	}
	said := strings.TrimSpace(p.out.buf.String())
	if said == "" || strings.Contains(said, "{") || secret != "" && strings.Contains(said, secret) {
		return faultf(Helper, "the credential helper %s failed (%v)", p.name, p.err)
	}
	return faultf(Helper, "the credential helper %s failed: %s", p.name, said)
}
