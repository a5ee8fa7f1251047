// Package seccomp compiles profiles of system calls, Docker's default one or a
// user's, to filters for the kernel.
//
// A profile is data (github.com/moby/profiles/seccomp has the default one and
// the format): rules that allow or refuse system calls by name, some only with
// certain arguments, some only to processes with a certain capability. Of the
// rules for a call the first that fits decides. What hull adds to every
// profile: TIOCSTI and TIOCLINUX, which type into a terminal, are denied; to the
// default one: sockets by way of socketcall are.
//
// The filter is a binary search over the numbers, not a list: a call costs
// some ten instructions. A program for a foreign architecture is either judged
// by its own numbers (32-bit x86, if the profile has it) or killed; numbers
// newer than any in the profile, and those of x32, give ENOSYS, so that programs
// fall back, and whatever else no rule is about gives the profile's default.
package seccomp

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	moby "github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"hull/engine/plan"
)

// Profile is a profile that has been checked. It is safe for many goroutines.
type Profile struct {
	text string // empty: the default

	mu      sync.Mutex
	filters map[uint64][]byte // those made so far, by capabilities
}

// byDefault is Docker's profile.
var byDefault Profile

// Default is Docker's profile.
func Default() *Profile { return &byDefault }

// parsed are the profiles of late, which containers share.
var parsed struct {
	sync.Mutex
	profiles map[string]*Profile
}

// maxParsed bounds them.
const maxParsed = 16

// Parse reads a profile in Docker's JSON, which is also the OCI's, and checks
// that it can be compiled.
func Parse(text string) (*Profile, error) {
	parsed.Lock()
	defer parsed.Unlock()
	if p := parsed.profiles[text]; p != nil {
		return p, nil
	}
	if err := plausible(text); err != nil {
		return nil, err
	}
	p := &Profile{text: text}
	for _, caps := range []uint64{0, ^uint64(0)} {
		if _, err := p.compile(caps); err != nil {
			return nil, err
		}
	}
	if parsed.profiles == nil || len(parsed.profiles) == maxParsed {
		parsed.profiles = map[string]*Profile{}
	}
	parsed.profiles[text] = p
	return p, nil
}

// plausible refuses what Docker's reader would take for a profile that allows
// or denies everything by mistake.
func plausible(text string) error {
	var shape struct {
		DefaultAction    string   `json:"defaultAction"`
		ListenerPath     string   `json:"listenerPath"`
		ListenerMetadata string   `json:"listenerMetadata"`
		Flags            []string `json:"flags"`
		Syscalls         []json.RawMessage
	}
	if err := json.Unmarshal([]byte(text), &shape); err != nil {
		return fmt.Errorf("the profile is not the JSON it should be: %w", err)
	}
	switch {
	case shape.DefaultAction == "":
		return errors.New("the profile has no defaultAction")
	case shape.ListenerPath != "" || shape.ListenerMetadata != "":
		return errors.New("the profile wants a listener that decides, which hull has not got")
	}
	for _, rule := range shape.Syscalls {
		if string(rule) == "null" {
			return errors.New("the profile has an empty rule")
		}
	}
	for _, f := range shape.Flags {
		if f != "SECCOMP_FILTER_FLAG_TSYNC" { // of a process that is about to execute, it says nothing
			return fmt.Errorf("hull cannot load a profile with the flag %q", f)
		}
	}
	return nil
}

// Filter is the filter for a process with the given capabilities, as the
// kernel takes it. It is made once; nobody may change it.
func (p *Profile) Filter(caps uint64) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.filters[caps]; f != nil {
		return f, nil
	}
	f, err := p.compile(caps)
	if err != nil {
		return nil, err
	}
	if p.filters == nil {
		p.filters = map[uint64][]byte{}
	}
	p.filters[caps] = f
	return f, nil
}

// rules are the profile's, as far as they are for a process with the given
// capabilities on this kernel.
func (p *Profile) rules(caps uint64) (*specs.LinuxSeccomp, error) {
	process := &specs.Spec{
		Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: plan.CapabilityNames(caps)}},
		Linux:   &specs.Linux{},
	}
	if p.text == "" {
		profile, err := moby.GetDefaultProfile(process)
		if err == nil {
			profile.Syscalls = append([]specs.LinuxSyscall{hiddenSocket()}, profile.Syscalls...)
		}
		return profile, err
	}
	return moby.LoadProfile(p.text, process)
}

// hiddenSocket denies 32-bit programs the old way to make a socket, by which they
// would get one of any family, AF_ALG and AF_VSOCK among them: those are behind a
// pointer that no filter can follow. Docker's profile lets it pass, because it
// has AppArmor or SELinux to stop it later on (CVE-2026-31431). Libraries that
// know the new way (Linux 4.3) take ENOSYS as a hint.
func hiddenSocket() specs.LinuxSyscall {
	const socket = 1
	enosys := uint(unix.ENOSYS)
	return specs.LinuxSyscall{
		Names: []string{"socketcall"}, Action: specs.ActErrno, ErrnoRet: &enosys,
		Args: []specs.LinuxSeccompArg{{Index: 0, Op: specs.OpMaskedEqual, Value: 0xffffffff, ValueTwo: socket}},
	}
}

// terminalRules deny typing into a terminal. The kernel looks at 32 bits of
// the request only, and so do they (CVE-2019-10063).
func terminalRules() []specs.LinuxSyscall {
	eperm := uint(unix.EPERM)
	var rules []specs.LinuxSyscall
	for _, request := range []uint64{unix.TIOCSTI, tioclinux} {
		rules = append(rules, specs.LinuxSyscall{
			Names: []string{"ioctl"}, Action: specs.ActErrno, ErrnoRet: &eperm,
			Args: []specs.LinuxSeccompArg{{Index: 1, Op: specs.OpMaskedEqual, Value: 0xffffffff, ValueTwo: request}},
		})
	}
	return rules
}

const tioclinux = 0x541c

// Name is the name of a system call of this architecture, "" if it has none.
func Name(number uint32) string {
	for name, n := range numbersAMD64() {
		if n == number {
			return name
		}
	}
	return ""
}
