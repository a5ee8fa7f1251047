package cgroup

import (
	"bytes"
	"encoding/binary"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// instruction is one of the kernel's eBPF instructions.
type instruction struct {
	code      uint8
	registers uint8 // destination in the low half, source in the high
	offset    int16
	immediate int32
}

// The few opcodes that a device filter needs. Loads are of 32 bits, as are the numbers in its context.
const (
	loadWord      = unix.BPF_LDX | unix.BPF_MEM | unix.BPF_W
	moveConstant  = unix.BPF_ALU64 | unix.BPF_MOV | unix.BPF_K
	moveRegister  = unix.BPF_ALU64 | unix.BPF_MOV | unix.BPF_X
	andConstant   = unix.BPF_ALU64 | unix.BPF_AND | unix.BPF_K
	shiftRight    = unix.BPF_ALU64 | unix.BPF_RSH | unix.BPF_K
	jumpDifferent = unix.BPF_JMP | unix.BPF_JNE | unix.BPF_K
	exit          = unix.BPF_JMP | unix.BPF_EXIT
)

// Of struct bpf_cgroup_dev_ctx {access_type, major, minor}: the low half of access_type is the type, the high the access.
const (
	deviceBlock = 1
	deviceChar  = 2
	accessMknod = 1
	accessRead  = 2
	accessWrite = 4
)

// deviceProgram compiles an allow list: each entry is a few comparisons, each of which jumps to the next entry if it
// fails; after the last, the answer is no. Registers: 2 type, 3 access, 4 major, 5 minor, 1 scratch after the loads.
func deviceProgram(list []Device) []instruction {
	p := []instruction{
		{loadWord, 2 | 1<<4, 0, 0},
		{moveRegister, 3 | 2<<4, 0, 0},
		{andConstant, 2, 0, 0xffff},
		{shiftRight, 3, 0, 16},
		{loadWord, 4 | 1<<4, 4, 0},
		{loadWord, 5 | 1<<4, 8, 0},
	}
	for _, v := range list {
		p = append(p, v.instructions()...)
	}
	return append(p, instruction{moveConstant, 0, 0, 0}, instruction{exit, 0, 0, 0})
}

func (v Device) instructions() []instruction {
	kind := int32(deviceChar)
	if v.Type == 'b' {
		kind = deviceBlock
	}
	p := []instruction{{jumpDifferent, 2, 0, kind}}
	if v.Major >= 0 {
		p = append(p, instruction{jumpDifferent, 4, 0, int32(v.Major)})
	}
	if v.Minor >= 0 {
		p = append(p, instruction{jumpDifferent, 5, 0, int32(v.Minor)})
	}
	var denied int32 = accessMknod | accessRead | accessWrite
	for c, bit := range map[string]int32{"m": accessMknod, "r": accessRead, "w": accessWrite} {
		if strings.Contains(v.Access, c) {
			denied &^= bit
		}
	}
	if denied != 0 {
		p = append(p,
			instruction{moveRegister, 1 | 3<<4, 0, 0},
			instruction{andConstant, 1, 0, denied},
			instruction{jumpDifferent, 1, 0, 0})
	}
	p = append(p, instruction{moveConstant, 0, 0, 1}, instruction{exit, 0, 0, 0})
	for i := range p {
		if p[i].code == jumpDifferent {
			p[i].offset = int16(len(p) - i - 1)
		}
	}
	return p
}

// filterDevices puts a device filter on a version 2 cgroup. The filter lives as long as the cgroup. Filters of the
// cgroups above hold too.
func filterDevices(dir string, list []Device) error {
	var code bytes.Buffer
	if err := binary.Write(&code, binary.NativeEndian, deviceProgram(list)); err != nil {
		return err
	}
	insns, license := code.Bytes(), []byte("Apache-2.0\x00")
	load := struct {
		kind, count    uint32
		insns, license uint64
		rest           [12]uint64
	}{
		kind: unix.BPF_PROG_TYPE_CGROUP_DEVICE, count: uint32(len(insns) / 8),
		insns:   uint64(uintptr(unsafe.Pointer(&insns[0]))),
		license: uint64(uintptr(unsafe.Pointer(&license[0]))),
	}
	prog, err := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&load), unsafe.Sizeof(load))
	runtime.KeepAlive(insns)
	runtime.KeepAlive(license)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(prog) }()
	group, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("open", err)
	}
	defer func() { _ = unix.Close(group) }()
	attach := struct{ target, prog, kind, flags uint32 }{uint32(group), uint32(prog), unix.BPF_CGROUP_DEVICE, unix.BPF_F_ALLOW_MULTI}
	_, err = bpf(unix.BPF_PROG_ATTACH, unsafe.Pointer(&attach), unsafe.Sizeof(attach))
	return err
}

func bpf(command uintptr, attr unsafe.Pointer, size uintptr) (int, error) {
	for {
		r, _, e := unix.Syscall(unix.SYS_BPF, command, uintptr(attr), size)
		switch e {
		case 0:
			return int(r), nil
		case unix.EAGAIN, unix.EINTR: // a signal interrupted the verifier
		default:
			return -1, os.NewSyscallError("bpf", e)
		}
	}
}
