package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const writerVar = "HULL_LOGS_TEST_WRITER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerVar); dir != "" {
		os.Exit(writerRole(dir))
	}
	os.Exit(m.Run())
}

// writerRole moves descriptors 3 and 4 to the log until both are closed.
func writerRole(dir string) int {
	w, err := Create(dir, Bounds{})
	if err != nil {
		return 1
	}
	poll := []unix.PollFd{{Fd: 3, Events: unix.POLLIN}, {Fd: 4, Events: unix.POLLIN}}
	for open := 2; open > 0; {
		if _, err := unix.Poll(poll, -1); err != nil {
			continue
		}
		for i := range poll {
			if poll[i].Revents == 0 {
				continue
			}
			_, err := w.Splice(Stream(i), int(poll[i].Fd), 1<<20)
			switch {
			case errors.Is(err, io.EOF):
				poll[i].Fd = -1
				open--
			case err != nil && !errors.Is(err, unix.EAGAIN):
				return 2
			}
		}
	}
	return 0
}

// Whatever instant the writer is killed at, the log has every byte once.
func TestKilledWriter(t *testing.T) {
	const n, kills = 40000, 25
	dir := t.TempDir()
	var reads, writes [2]*os.File
	var want [2]bytes.Buffer
	for i := range reads {
		reads[i], writes[i] = pipe(t)
	}
	var writers sync.WaitGroup
	defer writers.Wait()
	for i, w := range writes {
		writers.Go(func() {
			defer func() { _ = w.Close() }()
			for k := range n {
				line := fmt.Appendf(nil, "%d of stream %d\n", k, i)
				want[i].Write(line)
				if _, err := w.Write(line); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	start := func() *exec.Cmd {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), writerVar+"="+dir)
		cmd.ExtraFiles = reads[:]
		if err := cmd.Start(); err != nil {
			t.Error(err)
		}
		return cmd
	}
	l := open(t, dir)
	size := func() int64 {
		n, err := l.Both().Size()
		if err != nil {
			t.Error(err)
		}
		return n
	}
	killed := 0
	for range kills {
		before := size()
		cmd := start()
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		for ended := false; !ended && size() == before; {
			select {
			case err := <-done:
				ended = true
				done <- err
			case <-time.After(100 * time.Microsecond):
			}
		}
		_ = cmd.Process.Kill()
		if err := <-done; err != nil {
			killed++
		}
	}
	cmd := start()
	for i := range reads { // else the pipes never end
		_ = reads[i].Close()
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the last writer: %v", err)
	}
	writers.Wait()
	t.Logf("%d writers were killed", killed)
	for s := range streams {
		v := l.Only(s)
		n, err := v.Size()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(io.NewSectionReader(v, 0, n))
		if err != nil || !bytes.Equal(got, want[s].Bytes()) {
			t.Errorf("stream %d has %d bytes, %v; want %d, or they are not the same", s, len(got), err, want[s].Len())
		}
	}
}
