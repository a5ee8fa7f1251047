// Package seccomp compiles Docker's default profile to a filter of system
// calls for the kernel.
//
// The profile is data (github.com/moby/profiles/seccomp): rules that allow
// system calls by name, some only with certain arguments, some only to
// processes with a certain capability. What hull adds: TIOCSTI and TIOCLINUX,
// which type into a terminal, are denied.
//
// The filter is a binary search over the numbers, not a list: a call costs
// some ten instructions. A program for a foreign architecture is either judged
// by its own numbers (32-bit x86) or killed; numbers newer than the profile
// give ENOSYS, so that programs fall back, and whatever else is not allowed
// EPERM.
package seccomp

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"sync"

	moby "github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"hull/engine/plan"
)

// compiled are the filters made so far, by capabilities.
var compiled struct {
	sync.Mutex
	filters map[uint64][]byte
}

// Default is the filter for a process with the given capabilities, as the
// kernel takes it. It is made once; nobody may change it.
func Default(caps uint64) ([]byte, error) {
	compiled.Lock()
	defer compiled.Unlock()
	if f := compiled.filters[caps]; f != nil {
		return f, nil
	}
	f, err := compile(caps)
	if err != nil {
		return nil, err
	}
	if compiled.filters == nil {
		compiled.filters = map[uint64][]byte{}
	}
	compiled.filters[caps] = f
	return f, nil
}

// compile makes the filter.
func compile(caps uint64) ([]byte, error) {
	profile, err := moby.GetDefaultProfile(&specs.Spec{
		Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: plan.CapabilityNames(caps)}},
		Linux:   &specs.Linux{},
	})
	if err != nil {
		return nil, err
	}
	profile.Syscalls = append(terminalRules(), profile.Syscalls...)
	native, err := tree(profile, numbersAMD64())
	if err != nil {
		return nil, err
	}
	compat, err := tree(profile, numbers386())
	if err != nil {
		return nil, err
	}
	// The jumps over a whole tree are too long for a conditional one.
	program := []instruction{load(archOffset), jump(jumpEqual, archAMD64, 0, 1), always(len(compat) + 2), jump(jumpEqual, arch386, 1, 0), give(killProcess)}
	program = append(append(program, compat...), native...)
	if len(program) > maxProgram {
		return nil, errors.New("the filter is too long for the kernel")
	}
	return encode(program), nil
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

// tree makes the part of the filter for one architecture: it begins with
// loading the number and ends in a return on every path.
func tree(profile *specs.LinuxSeccomp, numbers map[string]uint32) ([]instruction, error) {
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
	add(next, []instruction{give(refuse | uint32(unix.ENOSYS))})
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
