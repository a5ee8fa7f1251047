//go:build !cgo

#include "textflag.h"

// The program's entry, with -E. The kernel comes here with argc, argv and the environment on the stack and no
// thread-local storage. Compiled Go looks there for its goroutine whenever it comes from or to assembly; it may find
// none, but must be able to look. If begin returns, Go's own entry finds everything as if nothing had been before it,
// and sets up its own.
TEXT ·entry(SB), NOSPLIT|NOFRAME, $0
	MOVQ SP, BX
	SUBQ $32, SP
	ANDQ $~15, SP
	MOVQ BX, 16(SP)
	MOVQ $158, AX         // arch_prctl
	MOVQ $0x1002, DI      // ARCH_SET_FS
	LEAQ ·storage+8(SB), SI // the goroutine is right below it
	SYSCALL
	MOVQ BX, 0(SP)
	CALL ·begin(SB)
	MOVQ 16(SP), SP
	JMP  _rt0_amd64_linux(SB)
