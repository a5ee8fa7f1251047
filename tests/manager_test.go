package tests

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	picture "image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hull/tests/image"
)

// TestFileManager has a desktop's file manager show directories of the hostile image. It does so without being asked to
// open anything: it finds out what each file is by its first bytes, reads .hidden and makes small pictures of pictures.
func TestFileManager(t *testing.T) {
	needs(t)
	manager, screen := tool(t, "pcmanfm"), tool(t, "Xvfb")
	canary := newCanary(t)
	img, err := hostileTree(canary.dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := image.Push(addr, map[string]any{"managed:1": img}); err != nil {
		t.Fatal(err)
	}
	m := ground(t, "manager")
	m.mount(t)
	m.must(t, `mkdir -p images/$REG/managed:1 && images/$REG/managed:1/wait`)
	top, err := filepath.EvalSymlinks(m.path("hull/images/" + addr + "/managed:1/rootfs"))
	if err != nil {
		t.Fatal(err)
	}
	display := display(t, screen)
	for _, show := range []struct{ dir, opens string }{ // the file of the image that is opened when it is shown
		{".", "outside"}, {"links", "etc/passwd"}, {"names", "names/?"}, {"odd", "odd/first"}, {"pictures", "pictures/zz.png"},
	} {
		manage(t, manager, display, filepath.Join(top, show.dir), filepath.Join(top, show.opens))
	}
	canary.check(t)
}

// display starts an X server without a screen, and gives its name.
func display(t *testing.T, screen string) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	// Without -noreset it begins anew whenever its last client has left, and turns away who comes just then.
	c := exec.Command(screen, "-displayfd", "3", "-screen", "0", "1000x700x24", "-nolisten", "tcp", "-noreset")
	c.ExtraFiles = []*os.File{w}
	start(t, c)
	_ = w.Close()
	if err := r.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	number, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("the X server does not say which display it is: %v", err)
	}
	return ":" + strings.TrimSpace(number)
}

// start starts a program that ends with the test at the latest.
func start(t *testing.T, c *exec.Cmd) {
	t.Helper()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
}

// manage shows a directory until a file has been opened.
func manage(t *testing.T, manager, display, dir, opens string) {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	events := os.NewFile(uintptr(fd), "inotify")
	defer events.Close()
	if _, err := unix.InotifyAddWatch(fd, opens, unix.IN_CLOSE_NOWRITE); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	c := exec.CommandContext(t.Context(), manager, "--no-desktop", dir)
	c.Env = append(os.Environ(), "DISPLAY="+display, "HOME="+home, "XDG_RUNTIME_DIR="+home, "XDG_CACHE_HOME="+home+"/cache",
		"XDG_CONFIG_HOME="+home+"/config", "XDG_DATA_HOME="+home+"/data", "NO_AT_BRIDGE=1", "DBUS_SESSION_BUS_ADDRESS=disabled:")
	var said bytes.Buffer
	c.Stdout, c.Stderr = &said, &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancelCause(t.Context())
	go func() { cancel(errors.Join(errors.New("it has ended"), c.Wait())) }()
	defer func() {
		_ = c.Process.Kill()
		<-ended.Done()
	}()
	if err := events.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	defer context.AfterFunc(ended, func() { _ = events.SetReadDeadline(time.Now()) })()
	if _, err := events.Read(make([]byte, 4096)); err != nil || ended.Err() != nil {
		t.Fatalf("%s: %v, %v; it says:\n%s", dir, err, context.Cause(ended), said.String())
	}
}

// drawn is a small picture.
func drawn() ([]byte, error) {
	var b bytes.Buffer
	err := png.Encode(&b, picture.NewGray(picture.Rect(0, 0, 200, 200)))
	return b.Bytes(), err
}

// picturesLeading are what file managers look into, some of it by links to the host's directory outside.
func picturesLeading(outside string) ([]image.File, error) {
	p, err := drawn()
	if err != nil {
		return nil, err
	}
	link := func(name, target string) image.File {
		return image.File{Name: "pictures/" + name, Link: target, Type: '2', Mode: 0o777}
	}
	return []image.File{
		{Name: "pictures/", Mode: 0o755},
		{Name: "pictures/first.png", Body: p, Mode: 0o644},
		link("out.png", outside+"/picture.png"), link("climbing.png", strings.Repeat("../", 40)+outside[1:]+"/picture.png"),
		link(".hidden", outside+"/secret"), link(".directory", outside+"/secret"), link("out.desktop", outside+"/program"),
		{Name: "pictures/start.desktop", Body: []byte("[Desktop Entry]\nType=Application\nName=x\nExec=" + outside + "/program\n"), Mode: 0o755},
		{Name: "pictures/zz.png", Body: p, Mode: 0o644},
	}, nil
}
