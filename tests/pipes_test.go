package tests

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// gigabyte is what goes through each pipe, as a block of noise again and again.
const (
	gigabyte = 1 << 30
	block    = 16 << 20
)

// TestPipes sends a gigabyte into a container's command and out again, in every way
// there is, and demands each byte. Of a session the bytes go through no program of
// hull's: the command has the caller's own pipes. How fast it was is logged, beside
// the same pipes to the host's own cat.
func TestPipes(t *testing.T) {
	needs(t)
	m := boxed(t, "")
	box := m.path("hull/containers/box/")
	for _, way := range []struct {
		name  string
		args  []string
		bytes int
		own   bool // the command has the very pipes
	}{
		{"host", []string{"cat"}, gigabyte, true},
		{"exec", []string{box + "exec/cat"}, gigabyte, true},
		{"enter", []string{box + "enter", "-i", "cat"}, gigabyte, true},
		{"run", []string{m.path("hull/run"), "-i", "--rm", addr + "/host:1", "cat"}, gigabyte, false}, // by way of the log, which all who look read
	} {
		t.Run(way.name, func(t *testing.T) {
			began := time.Now()
			m.through(t, way.bytes, way.own && way.name != "host", way.args)
			t.Logf("%d MB/s", int(float64(way.bytes)/1e6/time.Since(began).Seconds()))
		})
	}
}

// through sends bytes through a command's pipes.
func (m *mounted) through(t *testing.T, size int, own bool, args []string) {
	t.Helper()
	noise := make([]byte, block)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(args[0], args[1:]...)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if own {
		m.hasPipes(t, in.(*os.File), out.(*os.File))
	}
	fed := make(chan error, 1)
	go func() {
		for left := size; left > 0; left -= block {
			if _, err := in.Write(noise[:min(left, block)]); err != nil {
				fed <- err
				return
			}
		}
		fed <- in.Close()
	}()
	err = same(out, noise, size)
	err = errors.Join(err, <-fed, cmd.Wait())
	if err != nil {
		t.Fatalf("%v: %s", err, complaints.String())
	}
}

// same reads noise, again and again, and nothing else.
func same(r io.Reader, noise []byte, size int) error {
	b := make([]byte, 1<<20)
	got := 0
	in := bufio.NewReaderSize(r, 1<<20)
	for {
		n, err := in.Read(b)
		at := got % len(noise)
		if k := min(n, len(noise)-at); !bytes.Equal(b[:k], noise[at:at+k]) || !bytes.Equal(b[k:n], noise[:n-k]) {
			return fmt.Errorf("the bytes from %d on are not what was sent", got)
		}
		got += n
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if got != size {
		return fmt.Errorf("%d bytes came of %d", got, size)
	}
	return nil
}

// hasPipes waits for the session that runs, and looks at its standard descriptors.
func (m *mounted) hasPipes(t *testing.T, in, out *os.File) {
	t.Helper()
	var want [2]string
	for i, f := range []*os.File{in, out} {
		var st unix.Stat_t
		raw, err := f.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		_ = raw.Control(func(fd uintptr) { err = unix.Fstat(int(fd), &st) })
		if err != nil {
			t.Fatal(err)
		}
		want[i] = fmt.Sprintf("pipe:[%d]", st.Ino)
	}
	deadline := time.Now().Add(patience)
	for {
		all, _ := filepath.Glob(m.path("hull/containers/box/sessions/*"))
		for _, dir := range all {
			status, _ := os.ReadFile(dir + "/status")
			pid, err := os.ReadFile(dir + "/pid")
			if err != nil || string(status) != "running\n" {
				continue
			}
			proc := "/proc/" + strings.TrimSpace(string(pid)) + "/fd/"
			stdin, _ := os.Readlink(proc + "0")
			stdout, _ := os.Readlink(proc + "1")
			if stdin == want[0] && stdout == want[1] {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("no session has the pipes %v", want)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
