package rootfs

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"hull/tests/need"
)

// TestPassthrough reads files in every way: those of an image that the kernel reads by itself, the same if it cannot,
// and those of a container. All give what is on disk.
func TestPassthrough(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	random := rand.NewChaCha8([32]byte{1})
	files := map[string][]byte{}
	for _, size := range []int{0, 1, 4095, 4096, 4097, 131072, 262145, 3<<20 + 5} {
		b := make([]byte, size)
		_, _ = random.Read(b)
		name := fmt.Sprint("size-", size)
		files[name] = b
		check(t, os.WriteFile(filepath.Join(dir, name), b, 0o644))
	}
	at, trees := mount(t, map[string]*lender{
		"image": {dir: dir, readOnly: true}, "plain": {dir: dir, readOnly: true, asked: true}, "web": {dir: dir},
	})
	for tree := range trees {
		for name, want := range files {
			path := filepath.Join(at, tree, name)
			for way, read := range waysToRead {
				for range 2 {
					if got, err := read(path, len(want)); err != nil || !bytes.Equal(got, want) {
						t.Errorf("%s/%s by %s: %d bytes, %v", tree, name, way, len(got), err)
					}
				}
			}
		}
	}
	if trees["plain"].reads.Load() == 0 {
		t.Error("nothing was read through here")
	}
	var u unix.Utsname
	check(t, unix.Uname(&u))
	var major, minor int
	_, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor)
	check(t, err)
	if n := trees["image"].reads.Load(); n > 0 && (major > 6 || major == 6 && minor >= 9) {
		t.Errorf("the kernel asked for %d reads that it could do by itself", n)
	}
}

var waysToRead = map[string]func(path string, size int) ([]byte, error){
	"read": func(path string, _ int) ([]byte, error) { return os.ReadFile(path) },
	"pieces at odd places": func(path string, size int) ([]byte, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		b := make([]byte, size)
		for end := size; end > 0; {
			start := max(0, end-70001)
			if _, err := f.ReadAt(b[start:end], int64(start)); err != nil {
				return nil, err
			}
			end = start
		}
		return b, nil
	},
	"mmap, while it is open twice": func(path string, size int) ([]byte, error) {
		if size == 0 { // cannot be mapped
			return nil, nil
		}
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		g, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		m, err := unix.Mmap(int(g.Fd()), 0, size, unix.PROT_READ, unix.MAP_PRIVATE)
		if err != nil {
			return nil, err
		}
		_ = g.Close() // the mapping stays
		b := make([]byte, size)
		if _, err := io.ReadFull(f, b[:size/2]); err != nil {
			return nil, err
		}
		// A page fault in here could wait for an answer of this process while a garbage collection waits for the fault.
		// In a system call it does not matter.
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			return nil, err
		}
		defer unix.Close(p[0])
		defer unix.Close(p[1])
		for at := size / 2; at < size; {
			n, err := unix.Write(p[1], m[at:min(size, at+4096)])
			if err != nil {
				return nil, err
			}
			if _, err := unix.Read(p[0], b[at:at+n]); err != nil {
				return nil, err
			}
			at += n
		}
		return b, unix.Munmap(m)
	},
	"sendfile": func(path string, size int) ([]byte, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		fd, err := unix.MemfdCreate("copy", unix.MFD_CLOEXEC)
		if err != nil {
			return nil, err
		}
		to := os.NewFile(uintptr(fd), "copy")
		defer to.Close()
		for {
			n, err := syscall.Sendfile(fd, int(f.Fd()), nil, size+1)
			if err != nil {
				return nil, err
			}
			if n == 0 {
				break
			}
		}
		b := make([]byte, size)
		_, err = to.ReadAt(b, 0)
		if size == 0 {
			err = nil
		}
		return b, err
	},
}

// TestWritesAreSeen changes a container's files from both sides, in every way there is.
func TestWritesAreSeen(t *testing.T) {
	shown, beneath, _ := writable(t)
	const name = "log"
	in, out := filepath.Join(beneath, name), filepath.Join(shown, name)
	write(t, in, "one\n")
	check(t, os.Chown(in, base, base))
	same := func(want string) {
		t.Helper()
		eventually(t, want, func() bool {
			a, err1 := os.ReadFile(in)
			b, err2 := os.ReadFile(out)
			return err1 == nil && err2 == nil && string(a) == want && string(b) == want
		})
	}
	same("one\n")
	// Both append, each with a descriptor of its own that stays open.
	inside, err := os.OpenFile(in, os.O_WRONLY|os.O_APPEND, 0)
	check(t, err)
	defer inside.Close()
	outside, err := os.OpenFile(out, os.O_WRONLY|os.O_APPEND, 0)
	check(t, err)
	defer outside.Close()
	want := "one\n"
	for i := range 10 {
		for side, f := range map[string]*os.File{"inside": inside, "outside": outside} {
			line := fmt.Sprintln(side, i)
			_, err := f.WriteString(line)
			check(t, err)
			want += line
		}
	}
	same(want)
	check(t, os.Truncate(in, 4))
	same("one\n")
	check(t, os.Truncate(out, 2))
	same("on")
	// By memory, in another process: this one could not answer its own page faults.
	if _, err := exec.LookPath("python3"); err != nil && !need.Everything() {
		t.Skip("needs python3")
	}
	sh(t, shown, `python3 -c '
import mmap
with open("log", "r+b") as f:
    f.truncate(8192)
    with mmap.mmap(f.fileno(), 8192) as m:
        m[5000:5006] = b"mapped"
        m.flush()
'`)
	b, err := os.ReadFile(in)
	check(t, err)
	if len(b) != 8192 || string(b[5000:5006]) != "mapped" {
		t.Errorf("what was written by memory is not on disk: %d bytes", len(b))
	}
}
