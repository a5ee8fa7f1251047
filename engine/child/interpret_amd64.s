#include "textflag.h"

// The interpreter of programs. A program is an array of 72-byte records
//
//	nr  where  flags  a0 a1 a2 a3 a4 a5
//
// (package comment). It runs in two places: as the text of the stub's own ELF
// file, where the kernel enters it at its first byte with all registers zero,
// and in this process's text, in a vfork child that shares our memory. It
// must therefore be position independent, use no stack, and write nothing but
// where the records say and 16 bytes at R13.
//
//	R12 record   R13 where a failure is noted   R15 the socket it is sent to
TEXT ·interpret(SB), NOSPLIT|NOFRAME, $0
	TESTQ R12, R12
	JNE  fetch
	MOVQ $0x20000000, R12 // stubBase
	MOVQ $0x20000f00, R13 // stubFailure
	MOVQ $3, R15

fetch:
	MOVQ 0(R12), AX
	CMPQ AX, $0x10000     // opJump
	JGE  jump
	MOVQ 24(R12), DI
	MOVQ 32(R12), SI
	MOVQ 40(R12), DX
	MOVQ 48(R12), R10
	MOVQ 56(R12), R8
	MOVQ 64(R12), R9
	SYSCALL
	MOVQ 8(R12), BX
	TESTQ BX, BX
	JEQ  judge
	MOVQ AX, (BX)

judge:
	MOVQ 16(R12), BX
	CMPQ AX, $-4096
	JHI  failed
	TESTQ AX, AX
	JNE  next
	TESTQ $2, BX          // flagAwait: nothing came, the other side is gone
	JEQ  next

gone:
	MOVQ $124, DI
	JMP  exit

failed:
	TESTQ $1, BX          // flagTry
	JNE  next
	TESTQ $2, BX          // flagAwait: gone without having read all is gone too
	JEQ  exists
	CMPQ AX, $-104        // ECONNRESET
	JEQ  gone

exists:
	TESTQ $8, BX          // flagExists
	JEQ  absent
	CMPQ AX, $-17         // EEXIST
	JEQ  next

absent:
	TESTQ $4, BX          // flagAbsent
	JEQ  report
	CMPQ AX, $-2          // ENOENT
	JEQ  next
	CMPQ AX, $-20         // ENOTDIR
	JEQ  next

report:
	MOVQ R12, 0(R13)
	MOVQ AX, 8(R13)
	MOVQ $44, AX          // sendto
	MOVQ R15, DI
	MOVQ R13, SI
	MOVQ $16, DX
	MOVQ $0x4000, R10     // MSG_NOSIGNAL
	XORQ R8, R8
	XORQ R9, R9
	SYSCALL
	MOVQ $125, DI
	CMPQ 0(R12), $59      // execve
	JNE  exit
	MOVQ $126, DI
	CMPQ 8(R13), $-2      // ENOENT
	JNE  exit
	MOVQ $127, DI

exit:
	MOVQ $231, AX         // exit_group
	SYSCALL

next:
	ADDQ $72, R12
	JMP  fetch

jump:
	MOVQ 24(R12), R12
	JMP  fetch

TEXT ·interpretEnd(SB), NOSPLIT|NOFRAME, $0
	RET

// func interpreter() (start, end uintptr)
TEXT ·interpreter(SB), NOSPLIT|NOFRAME, $0-16
	LEAQ ·interpret(SB), AX
	MOVQ AX, start+0(FP)
	LEAQ ·interpretEnd(SB), AX
	MOVQ AX, end+8(FP)
	RET

// func clone(args unsafe.Pointer, size, program, failure uintptr) int
//
// The child never returns into Go: it shares our stack and must not touch it.
TEXT ·clone(SB), NOSPLIT|NOFRAME, $0-40
	MOVQ args+0(FP), DI
	MOVQ size+8(FP), SI
	MOVQ program+16(FP), R12
	MOVQ failure+24(FP), R13
	MOVQ $-1, R15
	MOVQ $435, AX         // clone3
	SYSCALL
	TESTQ AX, AX
	JNE  parent
	JMP  ·interpret(SB)

parent:
	MOVQ AX, ret+32(FP)
	RET
