package engine

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// foreign tells whether an image's platform ("linux/arm64", empty if it is not known) is another than the kernel here
// runs without an emulator.
func foreign(platform string) bool {
	_, arch, _ := strings.Cut(platform, "/")
	arch, _, _ = strings.Cut(arch, "/")
	switch {
	case arch == "", arch == runtime.GOARCH:
		return false
	case runtime.GOARCH == "amd64":
		return arch != "386"
	case runtime.GOARCH == "arm64":
		return arch != "arm"
	}
	return true
}

// forAnotherMachine adds to the failure of a program that the kernel does not know that its image is for other machines.
func forAnotherMachine(err error, platform, image string) error {
	if !errors.Is(err, unix.ENOEXEC) || !foreign(platform) {
		return err
	}
	return &Error{Kind: kindOfErrno(err), Err: fmt.Errorf(
		"%w; the image %s is for %s and this machine is linux/%s: pull it for this machine (./pull --platform linux/%[4]s %[2]s), or have an emulator registered (binfmt_misc, as by qemu-user-static)",
		err, image, platform, runtime.GOARCH)}
}
