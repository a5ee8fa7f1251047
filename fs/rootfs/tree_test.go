package rootfs

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestOrdinaryTools(t *testing.T) {
	shown, beneath, _ := writable(t)
	from := t.TempDir()
	sh(t, from, `
mkdir -p etc usr/bin var/empty
echo hello >etc/motd
printf '%s' "$(seq 1 20000)" >usr/bin/big
chmod 4755 usr/bin/big
ln -s /etc/motd var/motd
ln -s ../var usr/again
ln -s bin usr/here
ln etc/motd etc/other
mkfifo var/pipe
chmod 000 var/empty
touch -d '2001-02-03 04:05:06' etc/motd
chown 1:2 etc/motd`)
	sh(t, from, "cp -a . "+shown)
	sh(t, shown, `
test "$(cat etc/motd)" = hello
test "$(readlink var/motd)" = ../etc/motd
test "$(cat var/motd)" = hello
test etc/motd -ef etc/other
test -p var/pipe
test "$(stat -c %a usr/bin/big)" = 4755
test "$(stat -c %a var/empty)" = 0
test "$(stat -c %u:%g etc/motd)" = 1:2
test "$(stat -c %u:%g etc)" = 0:0
test "$(date -r etc/motd +%Y)" = 2001
cmp usr/bin/big `+from+`/usr/bin/big
test "$(find -L usr/again -name motd)" = usr/again/motd
tar c . | tar x -C "$(mktemp -d `+from+`/copyXXXX)"
sed -i s/hello/world/ etc/other
test "$(cat etc/other)" = world
mv usr var/usr
test -f var/usr/bin/big
echo more >>var/usr/bin/big
dd if=/dev/zero of=etc/sparse bs=1 count=1 seek=1M status=none
cp --sparse=always etc/sparse etc/sparse2
truncate -s 3 etc/motd`)
	for path, want := range map[string]uint32{"etc/motd": base + 1, "etc": base, "var/usr/bin/big": base} {
		var st unix.Stat_t
		check(t, unix.Lstat(filepath.Join(beneath, path), &st))
		if st.Uid != want {
			t.Errorf("%s belongs to %d beneath, not %d", path, st.Uid, want)
		}
	}
	if b, err := os.ReadFile(filepath.Join(beneath, "etc/motd")); err != nil || string(b) != "hel" {
		t.Errorf("truncated: %q, %v", b, err)
	}
	sh(t, shown, "rm -r -- *")
	if left, err := os.ReadDir(beneath); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

func TestTopIsRoots(t *testing.T) {
	shown, _, _ := writable(t)
	var st unix.Stat_t
	check(t, unix.Stat(shown, &st))
	if st.Mode != unix.S_IFDIR|0o700 || st.Uid != 0 || st.Gid != 0 {
		t.Errorf("mode %o owner %d:%d", st.Mode, st.Uid, st.Gid)
	}
}

func TestReadOnly(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "x")
	large := strings.Repeat("0123456789abcdef", 1<<17)
	write(t, filepath.Join(dir, "large"), large)
	at, _ := mount(t, map[string]*lender{"image": {dir: dir, readOnly: true}})
	shown := filepath.Join(at, "image")
	_, err1 := os.Create(filepath.Join(shown, "new"))
	_, err2 := os.OpenFile(filepath.Join(shown, "file"), os.O_RDWR, 0)
	for _, err := range []error{
		err1, err2,
		os.Mkdir(filepath.Join(shown, "dir"), 0o755),
		os.Symlink("x", filepath.Join(shown, "link")),
		os.Link(filepath.Join(shown, "file"), filepath.Join(shown, "hard")),
		os.Remove(filepath.Join(shown, "file")),
		os.Rename(filepath.Join(shown, "file"), filepath.Join(shown, "other")),
		os.Chmod(filepath.Join(shown, "file"), 0),
		os.Truncate(filepath.Join(shown, "file"), 0),
		unix.Setxattr(filepath.Join(shown, "file"), "user.x", []byte("y"), 0),
	} {
		if !errors.Is(err, syscall.EROFS) {
			t.Errorf("%v", err)
		}
	}
	if b, err := os.ReadFile(filepath.Join(shown, "file")); err != nil || string(b) != "x" {
		t.Errorf("%q, %v", b, err)
	}
	f, err := os.Open(filepath.Join(shown, "large"))
	check(t, err)
	defer f.Close()
	for range 2 { // open twice at once, as a file that the kernel reads by itself
		if b, err := os.ReadFile(filepath.Join(shown, "large")); err != nil || string(b) != large {
			t.Errorf("%d bytes, %v", len(b), err)
		}
	}
}

func TestDeepTree(t *testing.T) {
	shown, beneath, _ := writable(t)
	const levels = 40
	name := strings.Repeat("d", 250)
	down := func(top string, enter func(dir int)) int {
		dir, err := unix.Open(top, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		check(t, err)
		for range levels {
			enter(dir)
			next, err := unix.Openat(dir, name, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			check(t, unix.Close(dir))
			check(t, err)
			dir = next
		}
		return dir
	}
	dir := down(beneath, func(dir int) { check(t, unix.Mkdirat(dir, name, 0o755)) })
	fd, err := unix.Openat(dir, "file", unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	check(t, err)
	_, err = unix.Write(fd, []byte("deep\n"))
	check(t, errors.Join(err, unix.Close(fd), unix.Close(dir)))

	dir = down(shown, func(int) {})
	fd, err = unix.Openat(dir, "file", unix.O_CLOEXEC, 0)
	check(t, unix.Close(dir))
	check(t, err)
	f := os.NewFile(uintptr(fd), "file")
	defer f.Close()
	if b, err := io.ReadAll(f); err != nil || string(b) != "deep\n" {
		t.Errorf("%q, %v", b, err)
	}
	sh(t, shown, "rm -r "+name)
}

func TestChangesBeneathShow(t *testing.T) {
	shown, beneath, _ := writable(t)
	write(t, filepath.Join(beneath, "file"), "old")
	if b, err := os.ReadFile(filepath.Join(shown, "file")); err != nil || string(b) != "old" {
		t.Fatalf("%q, %v", b, err)
	}
	write(t, filepath.Join(beneath, "temporary"), "new and longer")
	check(t, os.Rename(filepath.Join(beneath, "temporary"), filepath.Join(beneath, "file")))
	eventually(t, "the new file", func() bool {
		b, err := os.ReadFile(filepath.Join(shown, "file"))
		return err == nil && string(b) == "new and longer"
	})
	// A directory in which somebody stands is exchanged for a link that leads out.
	check(t, os.Mkdir(filepath.Join(beneath, "dir"), 0o755))
	d, err := os.Open(filepath.Join(shown, "dir"))
	check(t, err)
	defer d.Close()
	check(t, os.Rename(filepath.Join(beneath, "dir"), filepath.Join(beneath, "gone")))
	check(t, os.Symlink("/", filepath.Join(beneath, "dir")))
	fd := int(d.Fd())
	if _, err := unix.Openat(fd, "etc", unix.O_PATH|unix.O_CLOEXEC, 0); !errors.Is(err, unix.ESTALE) {
		t.Errorf("etc below a directory that is gone: %v", err)
	}
}

func TestFileReplacedBySpecial(t *testing.T) {
	shown, beneath, _ := writable(t)
	write(t, filepath.Join(beneath, "file"), "x")
	_, err := os.Stat(filepath.Join(shown, "file"))
	check(t, err)
	check(t, os.Remove(filepath.Join(beneath, "file")))
	check(t, unix.Mkfifo(filepath.Join(beneath, "file"), 0o644))
	// The kernel believes in the regular file and asks us to open it. Without a writer an open of the FIFO would wait.
	f, err := os.OpenFile(filepath.Join(shown, "file"), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || st.Mode()&os.ModeNamedPipe == 0 {
		t.Errorf("%v, %v", st, err)
	}
}

func TestClosedTree(t *testing.T) {
	shown, beneath, tree := writable(t)
	write(t, filepath.Join(beneath, "file"), "content")
	f, err := os.Open(filepath.Join(shown, "file"))
	check(t, err)
	defer f.Close()
	tree.Close()
	if _, err := f.Read(make([]byte, 10)); !errors.Is(err, syscall.ESTALE) {
		t.Errorf("reading an open file: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(shown, "another")); !errors.Is(err, syscall.ESTALE) {
		t.Errorf("looking something up: %v", err)
	}
}

func TestBorrowing(t *testing.T) {
	dir := t.TempDir()
	l := &lender{dir: dir}
	tree := New(Options{Source: l, ID: "x", Errno: errno})
	clock := time.Now()
	tree.now = func() time.Time { return clock }
	a, e := tree.borrow(t.Context())
	if e != 0 || l.count() != 1 {
		t.Fatal(e, l.count())
	}
	b, e := tree.borrow(t.Context())
	if e != 0 || b != a || l.count() != 1 {
		t.Fatal("a second borrow asks again")
	}
	a.giveBack()
	tree.mu.Lock()
	started := tree.timer != nil
	tree.mu.Unlock()
	if started {
		t.Error("the timer runs while somebody uses the view")
	}
	b.giveBack()
	fire := func() { // as the timer would, so that no time need pass
		tree.mu.Lock()
		if tree.timer != nil && tree.timer.Stop() {
			tree.timers.Done()
		}
		tree.mu.Unlock()
		tree.timers.Add(1)
		tree.rest()
	}
	fire()
	if l.count() != 1 {
		t.Error("given back at once")
	}
	clock = clock.Add(idle)
	fire()
	if l.count() != 0 {
		t.Error("never given back")
	}
	l.fail = syscall.EACCES
	if _, e := tree.borrow(t.Context()); e != syscall.EACCES {
		t.Error("a failure of the source is not told:", e)
	}
	l.fail = nil
	c, e := tree.borrow(t.Context())
	if e != 0 {
		t.Fatal(e)
	}
	tree.Close()
	if l.count() != 1 {
		t.Error("given back while it is used")
	}
	c.giveBack()
	if l.count() != 0 {
		t.Error("not given back after the tree was closed")
	}
	if _, e := tree.borrow(t.Context()); e != syscall.ESTALE {
		t.Error("a closed tree lends:", e)
	}
	tree.Close()
}

// A view is given back to whoever needs it away, unless something is open in it; the next look borrows another.
func TestYield(t *testing.T) {
	l := &lender{dir: t.TempDir()}
	tree := New(Options{Source: l, ID: "x", Errno: errno})
	defer tree.Close()
	if !tree.Yield(0) {
		t.Error("a tree that nobody has looked at does not yield")
	}
	h, e := tree.borrow(t.Context())
	if e != 0 {
		t.Fatal(e)
	}
	if tree.Yield(0) || l.count() != 1 {
		t.Error("it yields while an operation uses the view")
	}
	open := h.keep()
	h.giveBack()
	if tree.Yield(0) || l.count() != 1 {
		t.Error("it yields while a file is open")
	}
	yielded := make(chan bool, 1)
	go func() { yielded <- tree.Yield(time.Hour) }()
	open.let()
	if !<-yielded || l.count() != 0 {
		t.Error("it does not yield when the file is closed")
	}
	h, e = tree.borrow(t.Context())
	if e != 0 || l.count() != 1 {
		t.Fatal(e, l.count())
	}
	h.giveBack()
	if !tree.Yield(0) || l.count() != 0 {
		t.Error("it does not yield when nobody uses the view")
	}
}
