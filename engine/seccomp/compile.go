package seccomp

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A profile becomes a program: a tree of comparisons of the call's number, and behind each the judgement of that call.

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
