// Package child is what runs between the clone of a container and its command:
// not a Go program, but a list of system calls.
//
// A [Program] is such a list. Each record is a system call's number, its six
// arguments, where its result goes, and what to do if it fails; some forty
// instructions (interpret_amd64.s) execute them. They do so in two places:
//
//   - In a child that shares this process's memory ([Spawner]): a few calls
//     that arrange descriptors and execute the stub.
//   - In the stub: an 8 KiB ELF file of those instructions and one program,
//     which waits on a socket (descriptor 3) for the next. It is executed from
//     a sealed memfd, so nothing in a container can write to what runs, and
//     hull's own file is never /proc/self/exe of a process in a container
//     (the class of CVE-2019-5736).
//
// A program comes as a memfd, which the stub maps at the address it was made
// for: arguments and environment may be as long as the kernel takes them.
// Descriptors come with it: the memfd is descriptor 4, the others follow in
// order from 5.
//
// The stub has no threads, no heap and no libc; it lives in 32 KiB. When its
// socket is closed (this process died) it exits. When a call fails it sends
// the address of the record with the error, and exits: with 127 or 126 if the
// call was execve, otherwise with 125.
package child

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Step names what a run of calls is for; a [Failure] carries it. Kind means
// something to whoever wrote the program, and nothing here.
type Step struct {
	Kind uint8
	What string // "mount /proc"
}

func (s Step) String() string { return s.What }

// Program is a list of system calls. The zero value is empty.
type Program struct {
	calls []call
	step  Step
	kept  *kept
}

type call struct {
	nr    uint64
	flags uint64
	args  []Arg // six at most
	step  Step
}

// maxArgs is how many arguments a system call has at most.
const maxArgs = 6

// What happens when a call fails or gives 0; the interpreter knows them too.
const (
	flagTry    = 1 // any failure is ignored
	flagAwait  = 2 // 0 means that nobody is there any more: exit
	flagAbsent = 4 // ENOENT and ENOTDIR are ignored
	flagExists = 8 // EEXIST is ignored
	opJump     = 0x10000
	recordSize = 72
)

// Expect makes room for so many calls.
func (p *Program) Expect(calls int) { p.calls = slices.Grow(p.calls, calls) }

// Step names the calls that follow.
func (p *Program) Step(s Step) { p.step = s }

// Call adds a call that must succeed.
func (p *Program) Call(nr uintptr, args ...Arg) Arg { return p.add(0, nr, args) }

// Try adds a call that may fail.
func (p *Program) Try(nr uintptr, args ...Arg) Arg { return p.add(flagTry, nr, args) }

// Present adds a call on something that need not exist.
func (p *Program) Present(nr uintptr, args ...Arg) Arg { return p.add(flagAbsent, nr, args) }

// Make adds a call that makes something which may be there already.
func (p *Program) Make(nr uintptr, args ...Arg) Arg { return p.add(flagExists, nr, args) }

// Await adds a call that reads from the socket: at its end the program ends.
func (p *Program) Await(nr uintptr, args ...Arg) Arg { return p.add(flagAwait, nr, args) }

func (p *Program) add(flags uint64, nr uintptr, args []Arg) Arg {
	if len(args) > maxArgs {
		panic(fmt.Sprintf("system call %d with %d arguments", nr, len(args)))
	}
	p.calls = append(p.calls, call{nr: uint64(nr), flags: flags, args: args, step: p.step})
	return Arg{kind: argResult, value: uint64(len(p.calls) - 1)}
}

// Arg is an argument of a call, or a field of a structure it points to.
type Arg struct {
	kind  argKind
	arg   uint8
	value uint64 // the number, or which call
	data  []byte
	parts []Arg
}

type argKind uint8

const (
	argInt    argKind = iota
	argBytes          // pointer to data
	argBuffer         // pointer to memory of its own
	argStruct         // pointer to parts, 8 bytes each
	argResult         // what an earlier call gave
	argPlace          // pointer to an argument of a later call
)

// Int is a number.
func Int[T ~int | ~int32 | ~int64 | ~uint32 | ~uint64 | ~uintptr](n T) Arg {
	return Arg{value: uint64(n)}
}

// Str points to a string that ends in a zero byte. Whoever makes a program
// sees to it that s has none inside.
func Str(s string) Arg { return Arg{kind: argBytes, data: append([]byte(s), 0)} }

// Bytes points to b.
func Bytes(b []byte) Arg { return Arg{kind: argBytes, data: b} }

// Buffer points to n zero bytes that the kernel may write to.
func Buffer(n int) Arg { return Arg{kind: argBuffer, data: make([]byte, n)} }

// Struct points to its fields, each of 8 bytes.
func Struct(fields ...Arg) Arg { return Arg{kind: argStruct, parts: fields} }

// Strs points to an array of strings that ends in a null pointer, as execve
// takes it.
func Strs(s []string) Arg {
	a := Arg{kind: argStruct, parts: make([]Arg, len(s)+1)}
	for i := range s {
		a.parts[i] = Str(s[i])
	}
	return a
}

// place points to argument arg of the call-th call: the kernel writes there.
func place(call, arg int) Arg { return Arg{kind: argPlace, value: uint64(call), arg: uint8(arg)} }

// image lays the program out for the address base: records, then data.
func (p *Program) image(base uint64) []byte {
	records := len(p.calls) * recordSize
	l := layout{base: base, out: make([]byte, records, 2*records), seen: map[string]uint64{}}
	for i, c := range p.calls {
		at := i * recordSize
		l.put(at, c.nr)
		l.put(at+16, c.flags)
		for j, a := range c.args {
			l.arg(at+24+8*j, a)
		}
	}
	return l.out
}

type layout struct {
	base uint64
	out  []byte
	seen map[string]uint64 // data that is there already
}

func (l *layout) put(at int, v uint64) { binary.LittleEndian.PutUint64(l.out[at:], v) }

// arg writes an argument at offset at.
func (l *layout) arg(at int, a Arg) {
	switch a.kind {
	case argInt:
		l.put(at, a.value)
	case argBytes:
		key := string(a.data)
		addr, ok := l.seen[key]
		if !ok {
			addr = l.data(a.data)
			l.seen[key] = addr
		}
		l.put(at, addr)
	case argBuffer:
		l.put(at, l.data(a.data))
	case argStruct:
		addr := l.data(make([]byte, 8*len(a.parts)))
		l.put(at, addr)
		for i, f := range a.parts {
			l.arg(int(addr-l.base)+8*i, f)
		}
	case argResult:
		where := a.value*recordSize + 8
		if binary.LittleEndian.Uint64(l.out[where:]) != 0 {
			panic("the result of a call goes to one place only")
		}
		l.put(int(where), l.base+uint64(at))
	case argPlace:
		l.put(at, l.base+a.value*recordSize+24+8*uint64(a.arg))
	}
}

// data appends b, aligned, and gives its address.
func (l *layout) data(b []byte) uint64 {
	for len(l.out)%8 != 0 {
		l.out = append(l.out, 0)
	}
	addr := l.base + uint64(len(l.out))
	l.out = append(l.out, b...)
	return addr
}
