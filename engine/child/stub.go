package child

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Where things are in the stub's memory. Programs are mapped high above, each
// at an address of its own, because one is still running while it maps the
// next.
const (
	stubText    = 0x400000
	stubBase    = 0x20000000         // the first program; interpret_amd64.s knows it
	stubFailure = stubBase + 0xf00   // the failure record
	programBase = uint64(0x30000000) // of the first program received
	programStep = uint64(0x10000000) // to the next; also the longest one
	page        = 0x1000

	// Socket is the descriptor of the stub's socket.
	Socket = 3
	// FirstFile is the descriptor of the first file sent with a program.
	FirstFile = 5
	maxFiles  = 120
)

// interpreter gives the bounds of the interpreter's text.
func interpreter() (start, end uintptr)

// receive adds the calls that wait for the next program, map it and jump to
// it. The message is three numbers: address, length, address.
func (p *Program) receive() {
	p.Step(Step{What: "wait for the next program"})
	n := len(p.calls)
	iov := Struct(place(n+1, 0), Int(16), place(n+2, 0), Int(8))
	control := unix.CmsgSpace(4 * (maxFiles + 1))
	header := Struct(Int(0), Int(0), iov, Int(2), Buffer(control), Int(control), Int(0))
	p.Await(unix.SYS_RECVMSG, Int(Socket), header, Int(0))
	p.Call(unix.SYS_MMAP, Int(0), Int(0), Int(unix.PROT_READ|unix.PROT_WRITE), Int(unix.MAP_PRIVATE|unix.MAP_FIXED), Int(Socket+1), Int(0))
	p.add(0, opJump, nil)
}

// Next tells this process that the program is done, and waits for another.
func (p *Program) Next() {
	p.Ready()
	p.Wait()
}

// Wait closes the program's descriptors and waits for the next program.
func (p *Program) Wait() {
	p.Call(unix.SYS_CLOSE_RANGE, Int(Socket+1), Int(^uint32(0)), Int(0))
	p.receive()
}

// Ready tells this process that all calls so far have succeeded. If it is gone,
// the wait for its next word ends the program.
func (p *Program) Ready() {
	p.Step(Step{What: "say that it is done"})
	p.Try(unix.SYS_SENDTO, Int(Socket), Str("r"), Int(1), Int(unix.MSG_NOSIGNAL), Int(0), Int(0))
}

// ReadyWith is Ready, and hands over the descriptor an earlier call gave.
func (p *Program) ReadyWith(fd Arg) {
	p.Step(Step{What: "hand over a descriptor"})
	control := Struct(Int(unix.CmsgLen(4)), Int(unix.SCM_RIGHTS<<32|unix.SOL_SOCKET), fd)
	header := Struct(Int(0), Int(0), Struct(Str("r"), Int(1)), Int(1), control, Int(unix.CmsgSpace(4)), Int(0))
	p.Call(unix.SYS_SENDMSG, Int(Socket), header, Int(unix.MSG_NOSIGNAL))
}

// Pause waits for [Stub.Continue].
func (p *Program) Pause() {
	p.Step(Step{What: "wait to be released"})
	p.Await(unix.SYS_READ, Int(Socket), Buffer(8), Int(1))
}

// stubFile makes the stub's ELF file: one page of headers and text, one of
// its program.
func stubFile() ([]byte, error) {
	start, end := interpreter()
	if end <= start || end-start > page/2 {
		return nil, fmt.Errorf("the interpreter is %d bytes long", int64(end)-int64(start))
	}
	first := &Program{}
	first.Ready() // the Spawner waits for it
	first.receive()
	image := first.image(stubBase)
	if len(image) > stubFailure-stubBase {
		return nil, errors.New("the stub's program is too long")
	}
	f := make([]byte, 2*page)
	program(f, start, end, 3)
	segment(f[64+112:], 1, 6, page, stubBase, page) // the program: read, write
	copy(f[page:], image)
	return f, nil
}

// program writes an ELF file of one page, whose text is a part of our own that
// depends on no address. It has two of the segments: text and stack.
func program(f []byte, start, end uintptr, segments uint16) {
	const entry = 0x200
	le := binary.LittleEndian
	copy(f, "\x7fELF\x02\x01\x01")
	le.PutUint16(f[16:], 2)  // ET_EXEC
	le.PutUint16(f[18:], 62) // EM_X86_64
	le.PutUint32(f[20:], 1)
	le.PutUint64(f[24:], stubText+entry)
	le.PutUint64(f[32:], 64) // program headers follow
	le.PutUint16(f[52:], 64)
	le.PutUint16(f[54:], 56)
	le.PutUint16(f[56:], segments)
	segment(f[64:], 1, 5, 0, stubText, page)             // text: read, execute
	segment(f[64+56:], 0x6474e551, 6, 0, 0, 0)           // PT_GNU_STACK: not executable
	text := unsafe.Slice((*byte)(ptr(start)), end-start) // which stays where it is
	copy(f[entry:], text)
}

// ptr is an address that is no object of Go's.
func ptr(addr uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&addr)) }

// segment writes an ELF program header.
func segment(h []byte, kind, flags uint32, offset, addr, size uint64) {
	le := binary.LittleEndian
	le.PutUint32(h, kind)
	le.PutUint32(h[4:], flags)
	le.PutUint64(h[8:], offset)
	le.PutUint64(h[16:], addr)
	le.PutUint64(h[24:], addr)
	le.PutUint64(h[32:], size)
	le.PutUint64(h[40:], size)
	le.PutUint64(h[48:], page)
}
