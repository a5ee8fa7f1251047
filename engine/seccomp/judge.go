package seccomp

import (
	"errors"
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// instruction is one of classic BPF.
type instruction struct {
	code   uint16
	jt, jf uint8
	k      uint32
}

const (
	opLoad           = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	opAnd            = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	opReturn         = unix.BPF_RET | unix.BPF_K
	opJump           = unix.BPF_JMP | unix.BPF_JA
	jumpEqual        = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	jumpGreater      = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
	jumpGreaterEqual = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K

	maxProgram = 4096

	// Offsets in struct seccomp_data.
	numberOffset = 0
	archOffset   = 4
	argsOffset   = 16

	archAMD64 = 0xc000003e
	arch386   = 0x40000003

	allow       = 0x7fff0000
	refuse      = 0x00050000 // with an errno
	killProcess = 0x80000000
	killThread  = 0x00000000
	trap        = 0x00030000
	trace       = 0x7ff00000
	logged      = 0x7ffc0000
)

func load(offset uint32) instruction { return instruction{code: opLoad, k: offset} }

func give(result uint32) instruction { return instruction{code: opReturn, k: result} }

func always(skip int) instruction { return instruction{code: opJump, k: uint32(skip)} }

func jump(code uint16, k uint32, jt, jf uint8) instruction {
	return instruction{code: code, jt: jt, jf: jf, k: k}
}

// action is what the kernel is told to do.
func action(a specs.LinuxSeccompAction, errno *uint) (uint32, error) {
	switch a {
	case specs.ActAllow:
		return allow, nil
	case specs.ActErrno:
		return withErrno(refuse, errno)
	case specs.ActTrace:
		return withErrno(trace, errno)
	case specs.ActKillProcess:
		return killProcess, nil
	case specs.ActKill, specs.ActKillThread:
		return killThread, nil
	case specs.ActTrap:
		return trap, nil
	case specs.ActLog:
		return logged, nil
	case specs.ActNotify:
		return 0, errors.New("the profile wants a listener that decides, which hull has not got")
	}
	return 0, fmt.Errorf("the profile's action %q is unknown", a)
}

// withErrno adds the errno of a result, EPERM if none is given.
func withErrno(result uint32, errno *uint) (uint32, error) {
	const most = 4095
	switch {
	case errno == nil:
		return result | uint32(unix.EPERM), nil
	case *errno > most:
		return 0, fmt.Errorf("the profile gives the errno %d, which is none", *errno)
	}
	return result | uint32(*errno), nil
}

// judge makes the body for one number: the first rule whose arguments fit
// decides.
func judge(rules []specs.LinuxSyscall, otherwise uint32) ([]instruction, error) {
	var out []instruction
	for _, r := range rules {
		result, err := action(r.Action, r.ErrnoRet)
		if err != nil {
			return nil, err
		}
		if len(r.Args) == 0 {
			return append(out, give(result)), nil
		}
		for _, args := range alternatives(r.Args) {
			b := &builder{}
			for _, a := range args {
				if err := b.condition(a); err != nil {
					return nil, err
				}
			}
			b.out = append(b.out, give(result))
			out = append(out, b.finish()...)
		}
	}
	return append(out, give(otherwise)), nil
}

// alternatives are the conditions of a rule, which must all hold; but if two
// are about one argument, any of them is enough, as runc has it.
func alternatives(args []specs.LinuxSeccompArg) [][]specs.LinuxSeccompArg {
	var single [][]specs.LinuxSeccompArg
	seen, double := map[uint]bool{}, false
	for _, a := range args {
		double = double || seen[a.Index]
		seen[a.Index] = true
		single = append(single, []specs.LinuxSeccompArg{a})
	}
	if double {
		return single
	}
	return [][]specs.LinuxSeccompArg{args}
}

// builder makes the conditions of one rule. A jump to no goes past the rule,
// one to yes to the next condition.
type builder struct {
	out  []instruction
	no   []place
	open []place // to yes, of the condition at work
}

// place is one of the two targets of a jump.
type place struct {
	at   int
	then bool
}

func (b *builder) patch(places []place) {
	for _, p := range places {
		skip := uint8(len(b.out) - p.at - 1)
		if p.then {
			b.out[p.at].jt = skip
		} else {
			b.out[p.at].jf = skip
		}
	}
}

func (b *builder) finish() []instruction {
	b.patch(b.no)
	return b.out
}

// want adds a jump that goes on if it holds, unless negated.
func (b *builder) want(code uint16, k uint32, negated bool) {
	b.no = append(b.no, place{len(b.out), negated})
	b.out = append(b.out, jump(code, k, 0, 0))
}

// enough adds a jump that settles the condition if it holds, unless negated.
func (b *builder) enough(code uint16, k uint32, negated bool) {
	b.open = append(b.open, place{len(b.out), !negated})
	b.out = append(b.out, jump(code, k, 0, 0))
}

// condition adds the comparison of an argument of 64 bits, which BPF sees as
// two halves.
func (b *builder) condition(a specs.LinuxSeccompArg) error {
	if a.Index > 5 {
		return fmt.Errorf("the profile has a rule for argument %d", a.Index)
	}
	low := uint32(argsOffset + 8*a.Index)
	high := low + 4
	v, lo, hi := a.Value, uint32(a.Value), uint32(a.Value>>32)
	switch a.Op {
	case specs.OpEqualTo:
		b.masked(high, ^uint32(0), hi)
		b.masked(low, ^uint32(0), lo)
	case specs.OpMaskedEqual: // Value is the mask
		b.masked(high, hi, uint32(a.ValueTwo>>32))
		b.masked(low, lo, uint32(a.ValueTwo))
	case specs.OpNotEqual:
		b.out = append(b.out, load(high))
		b.enough(jumpEqual, hi, true)
		b.out = append(b.out, load(low))
		b.want(jumpEqual, lo, true)
	case specs.OpGreaterThan, specs.OpGreaterEqual:
		b.out = append(b.out, load(high))
		b.enough(jumpGreater, hi, false)
		b.want(jumpEqual, hi, false)
		b.out = append(b.out, load(low))
		code := uint16(jumpGreater)
		if a.Op == specs.OpGreaterEqual {
			code = jumpGreaterEqual
		}
		b.want(code, lo, false)
	case specs.OpLessThan, specs.OpLessEqual:
		b.out = append(b.out, load(high))
		b.want(jumpGreater, hi, true)
		b.enough(jumpEqual, hi, true)
		b.out = append(b.out, load(low))
		code := uint16(jumpGreaterEqual)
		if a.Op == specs.OpLessEqual {
			code = jumpGreater
		}
		b.want(code, lo, true)
	default:
		return fmt.Errorf("the profile compares %d by the unknown %q", v, a.Op)
	}
	b.patch(b.open)
	b.open = nil
	return nil
}

// masked adds the comparison of half an argument.
func (b *builder) masked(offset, mask, value uint32) {
	if mask == 0 && value == 0 {
		return
	}
	b.out = append(b.out, load(offset))
	if mask != ^uint32(0) {
		b.out = append(b.out, instruction{code: opAnd, k: mask})
	}
	b.want(jumpEqual, value, false)
}
