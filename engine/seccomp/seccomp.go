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
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
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

// compile makes the filter.
func (p *Profile) compile(caps uint64) ([]byte, error) {
	profile, err := p.rules(caps)
	if err != nil {
		return nil, err
	}
	profile.Syscalls = append(terminalRules(), profile.Syscalls...)
	native, err := tree(profile, numbersAMD64(), x32Bit)
	if err != nil {
		return nil, err
	}
	compat := []instruction{give(killProcess)}
	if slices.Contains(profile.Architectures, specs.ArchX86) {
		if compat, err = tree(profile, numbers386(), 0); err != nil {
			return nil, err
		}
	}
	// The jumps over a whole tree are too long for a conditional one.
	program := []instruction{load(archOffset), jump(jumpEqual, archAMD64, 0, 1), always(len(compat) + 2), jump(jumpEqual, arch386, 1, 0), give(killProcess)}
	program = append(append(program, compat...), native...)
	if len(program) > maxProgram {
		return nil, fmt.Errorf("the profile makes a filter of %d instructions, and the kernel takes %d", len(program), maxProgram)
	}
	return encode(program), nil
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

// x32Bit is where the numbers of x32 begin, which are those of amd64 with that
// bit. hull lets none of them pass: they would need a table of their own.
const x32Bit = 0x40000000

// tree makes the part of the filter for one architecture: it begins with
// loading the number and ends in a return on every path. Numbers from beyond
// on, if that is not 0, are nobody's even where all is allowed.
func tree(profile *specs.LinuxSeccomp, numbers map[string]uint32, beyond uint32) ([]instruction, error) {
	otherwise, err := action(profile.DefaultAction, profile.DefaultErrnoRet)
	if err != nil {
		return nil, err
	}
	rules := map[uint32][]specs.LinuxSyscall{}
	for _, r := range profile.Syscalls {
		for _, name := range r.Names {
			// Names without a number belong to other architectures.
			if n, ok := numbers[name]; ok {
				rules[n] = append(rules[n], r)
			}
		}
	}
	// Ranges of numbers with the same fate: from each to the next.
	var ranges []span
	add := func(from uint32, body []instruction) {
		if len(ranges) > 0 && slices.Equal(ranges[len(ranges)-1].body, body) && len(body) == 1 {
			return
		}
		ranges = append(ranges, span{from, body})
	}
	next := uint32(0)
	for _, n := range sortedKeys(rules) {
		if n > next {
			add(next, []instruction{give(otherwise)})
		}
		body, err := judge(rules[n], otherwise)
		if err != nil {
			return nil, err
		}
		add(n, body)
		next = n + 1
	}
	unknown := refuse | uint32(unix.ENOSYS)
	if otherwise == allow || otherwise == logged { // the profile lists what is refused
		add(next, []instruction{give(otherwise)})
		next = beyond
	}
	if next > 0 {
		add(next, []instruction{give(unknown)})
	}
	return append([]instruction{load(numberOffset)}, search(ranges)...), nil
}

func sortedKeys(rules map[uint32][]specs.LinuxSyscall) []uint32 {
	keys := make([]uint32, 0, len(rules))
	for n := range rules {
		keys = append(keys, n)
	}
	slices.SortFunc(keys, cmp.Compare[uint32])
	return keys
}

// span is a run of numbers that have one body.
type span struct {
	from uint32
	body []instruction
}

// search finds the range the number is in.
func search(ranges []span) []instruction {
	if len(ranges) == 1 {
		return ranges[0].body
	}
	half := len(ranges) / 2
	low, high := search(ranges[:half]), search(ranges[half:])
	from := ranges[half].from
	var out []instruction
	if len(low) <= 255 {
		out = []instruction{jump(jumpGreaterEqual, from, uint8(len(low)), 0)}
	} else {
		out = []instruction{jump(jumpGreaterEqual, from, 0, 1), always(len(low))}
	}
	return append(append(out, low...), high...)
}

// numbers reads a table of names and numbers.
func numbers(table string) map[string]uint32 {
	m := map[string]uint32{}
	name := ""
	for i, f := range strings.Fields(table) {
		if i%2 == 0 {
			name = f
			continue
		}
		n := uint32(0)
		for _, c := range []byte(f) {
			n = n*10 + uint32(c-'0')
		}
		m[name] = n
	}
	return m
}

// encode lays the instructions out as the kernel's struct sock_filter.
func encode(program []instruction) []byte {
	b := make([]byte, 0, 8*len(program))
	for _, i := range program {
		b = binary.LittleEndian.AppendUint16(b, i.code)
		b = append(b, i.jt, i.jf)
		b = binary.LittleEndian.AppendUint32(b, i.k)
	}
	return b
}

// Name is the name of a system call of this architecture, "" if it has none.
func Name(number uint32) string {
	for name, n := range numbersAMD64() {
		if n == number {
			return name
		}
	}
	return ""
}
