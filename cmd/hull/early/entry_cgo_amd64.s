//go:build cgo

#include "textflag.h"

// The program's entry, with -E, where C's library may have been started already, whose thread-local storage is not to be
// touched: all is left to Go.
TEXT ·entry(SB), NOSPLIT|NOFRAME, $0
	JMP _rt0_amd64_linux(SB)
