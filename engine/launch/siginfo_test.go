package launch

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// ptrAt reaches si_status, which package unix does not name.
func ptrAt(info *unix.Siginfo, offset uintptr) unsafe.Pointer {
	return unsafe.Add(unsafe.Pointer(info), offset)
}
