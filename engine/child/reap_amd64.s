#include "textflag.h"

// The text of the reaper (reaper.go). The kernel enters it at its first byte
// with a stack of argc, argv, 0, environment. It must be position independent
// and write nothing but below the stack that it is given.
//
//	R12 argc's address   R13 the child   R14 the environment
TEXT ·reap(SB), NOSPLIT|NOFRAME, $0
	MOVQ SP, R12
	MOVQ 0(R12), AX
	LEAQ 16(R12)(AX*8), R14

	// All signals wait until they are taken: as process 1 it would not even
	// get those that have no handler.
	PUSHQ $-1
	MOVQ $14, AX          // rt_sigprocmask
	MOVQ $2, DI           // SIG_SETMASK
	MOVQ SP, SI
	XORQ DX, DX
	MOVQ $8, R10
	SYSCALL

	// The name that ps shows; the kernel's own would be the memory file's.
	PUSHQ $0x74696e69     // "init"
	MOVQ $157, AX         // prctl
	MOVQ $15, DI          // PR_SET_NAME
	MOVQ SP, SI
	SYSCALL
	POPQ AX

	// The child shares this stack until it executes, and this process stands
	// still for as long.
	MOVQ $56, AX          // clone
	MOVQ $0x4111, DI      // CLONE_VM | CLONE_VFORK | SIGCHLD
	XORQ SI, SI
	XORQ DX, DX
	XORQ R10, R10
	XORQ R8, R8
	SYSCALL
	TESTQ AX, AX
	JEQ  child
	JMI  broken
	MOVQ AX, R13

await:
	MOVQ $128, AX         // rt_sigtimedwait
	MOVQ SP, DI           // all signals
	XORQ SI, SI
	XORQ DX, DX
	MOVQ $8, R10
	SYSCALL
	CMPQ AX, $17          // SIGCHLD
	JEQ  wait
	TESTQ AX, AX
	JLE  await            // interrupted
	MOVQ AX, SI
	MOVQ $62, AX          // kill
	MOVQ R13, DI
	SYSCALL
	JMP  await

wait:
	PUSHQ $0
	MOVQ $61, AX          // wait4
	MOVQ $-1, DI
	MOVQ SP, SI
	MOVQ $1, DX           // WNOHANG
	XORQ R10, R10
	SYSCALL
	POPQ BX
	TESTQ AX, AX
	JLE  await
	CMPQ AX, R13
	JNE  wait

	MOVQ BX, DI
	ANDQ $0x7f, DI
	JNE  signalled
	MOVQ BX, DI
	SHRQ $8, DI
	ANDQ $0xff, DI
	JMP  exit

signalled:
	ADDQ $128, DI
	JMP  exit

broken:
	MOVQ $125, DI
	JMP  exit

child:
	MOVQ $109, AX         // setpgid
	XORQ DI, DI
	XORQ SI, SI
	SYSCALL
	MOVQ $39, AX          // getpid
	SYSCALL
	PUSHQ AX
	MOVQ $16, AX          // ioctl: SIGTTOU is blocked
	XORQ DI, DI
	MOVQ $0x5410, SI      // TIOCSPGRP
	MOVQ SP, DX
	SYSCALL
	PUSHQ $0
	MOVQ $14, AX          // rt_sigprocmask
	MOVQ $2, DI
	MOVQ SP, SI
	XORQ DX, DX
	MOVQ $8, R10
	SYSCALL
	MOVQ $59, AX          // execve
	MOVQ 16(R12), DI
	LEAQ 24(R12), SI
	MOVQ R14, DX
	SYSCALL

	// "init: cannot execute ", PATH, and the end of the line.
	MOVQ AX, BX
	MOVQ $0x2065747563, AX
	PUSHQ AX
	MOVQ $0x65786520746f6e6e, AX
	PUSHQ AX
	MOVQ $0x6163203a74696e69, AX
	PUSHQ AX
	MOVQ $1, AX           // write
	MOVQ $2, DI
	MOVQ SP, SI
	MOVQ $21, DX
	SYSCALL
	MOVQ 16(R12), SI
	XORQ DX, DX

length:
	CMPB 0(SI)(DX*1), $0
	JEQ  path
	INCQ DX
	JMP  length

path:
	MOVQ $1, AX
	MOVQ $2, DI
	SYSCALL
	PUSHQ $10             // "\n"
	MOVQ $1, AX
	MOVQ $2, DI
	MOVQ SP, SI
	MOVQ $1, DX
	SYSCALL
	MOVQ $126, DI
	CMPQ BX, $-2          // ENOENT
	JNE  exit
	MOVQ $127, DI

exit:
	MOVQ $231, AX         // exit_group
	SYSCALL
	INT  $3

TEXT ·reapEnd(SB), NOSPLIT|NOFRAME, $0
	RET

// func reaping() (start, end uintptr)
TEXT ·reaping(SB), NOSPLIT|NOFRAME, $0-16
	LEAQ ·reap(SB), AX
	MOVQ AX, start+0(FP)
	LEAQ ·reapEnd(SB), AX
	MOVQ AX, end+8(FP)
	RET
