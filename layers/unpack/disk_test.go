package unpack

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// small is a file system of its own with a megabyte of room, mounted nowhere.
func small(t *testing.T) *os.File {
	t.Helper()
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fs)
	if err := errors.Join(unix.FsconfigSetString(fs, "size", "1m"), unix.FsconfigCreate(fs)); err != nil {
		t.Fatal(err)
	}
	m, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(m), "small")
	t.Cleanup(func() { f.Close() })
	return f
}

// TestFullDisk: the error says so, and the room is given back.
func TestFullDisk(t *testing.T) {
	needRoot(t)
	dir := small(t)
	layer := archive(t, folder("d"), file("d/a", strings.Repeat("a", 600<<10)), file("d/b", strings.Repeat("b", 600<<10)))
	_, err := Layer(context.Background(), bytes.NewReader(layer), dir, Options{})
	var e *Error
	if !errors.As(err, &e) || e.Kind != Space || !errors.Is(err, unix.ENOSPC) || e.Path != "d/b" {
		t.Errorf("got %v, want Space at d/b", err)
	}
	list, err := unix.Openat(int(dir.Fd()), ".", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	left := os.NewFile(uintptr(list), "left")
	defer left.Close()
	if names, err := left.Readdirnames(-1); err != nil || len(names) > 0 {
		t.Errorf("left behind: %q, %v", names, err)
	}
}

// TestSparse: GNU tar's sparse files keep content and holes.
func TestSparse(t *testing.T) {
	needRoot(t)
	const size = 8 << 20
	// Old GNU format: one piece of data at 4 MiB+100, and the end.
	body := strings.Repeat("s", 1024)
	layer := archive(t, file("s", body))
	b := bytes.Clone(layer[1024:]) // without the PAX header
	copy(b[0:], "sparse\x00")
	b[156] = 'S'
	copy(b[257:], "ustar  \x00")
	copy(b[386:], "00020000144\x00"+"00000002000\x00")
	copy(b[410:], "00040000000\x00"+"00000000000\x00")
	copy(b[483:], "00040000000\x00")
	sum(b[:512])
	dir, res := unpacked(t, Options{}, b)
	if res.Bytes != size {
		t.Errorf("%d bytes, want %d", res.Bytes, size)
	}
	got, err := os.ReadFile(dir.Name() + "/sparse")
	if err != nil {
		t.Fatal(err)
	}
	wanted := make([]byte, size)
	copy(wanted[4<<20+100:], body)
	if !bytes.Equal(got, wanted) {
		t.Error("the content is another")
	}
	var st unix.Stat_t
	if err := unix.Stat(dir.Name()+"/sparse", &st); err != nil {
		t.Fatal(err)
	}
	if st.Blocks*512 > 1<<20 {
		t.Errorf("it takes %d bytes of disk", st.Blocks*512)
	}
	refused(t, b, Options{Limits: Limits{Bytes: size - 1}}, TooLarge)
}
