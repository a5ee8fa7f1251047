package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// writerVar names the directory of a test's process that is a writer; boundVar the most its segments have, and mostVar how
// much it moves at once.
const (
	writerVar = "HULL_LOGS_TEST_WRITER"
	boundVar  = "HULL_LOGS_TEST_BOUND"
	mostVar   = "HULL_LOGS_TEST_MOST"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerVar); dir != "" {
		os.Exit(writerRole(dir))
	}
	os.Exit(m.Run())
}

// writerRole moves descriptors 3 and 4 to the log until both are closed.
func writerRole(dir string) int {
	var b Bounds
	most := 1 << 20
	_, _ = fmt.Sscan(os.Getenv(boundVar), &b.Max)
	_, _ = fmt.Sscan(os.Getenv(mostVar), &most)
	w, err := Create(dir, b)
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
			_, err := w.Splice(Stream(i), int(poll[i].Fd), most)
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

// Whatever instant the writer is killed at, the log has every byte once, be it in one segment or in many.
func TestKilledWriter(t *testing.T) {
	t.Run("one segment", func(t *testing.T) { testKilledWriter(t, 400000, 25) })
	// Small ones, and small moves: a good part of the kills then is in the middle of a change from one to the next.
	t.Run("many segments", func(t *testing.T) { testKilledWriter(t, 400000, 200, boundVar+"=3000", mostVar+"=500") })
}

func testKilledWriter(t *testing.T, n, kills int, env ...string) {
	dir := t.TempDir()
	var reads, writes [2]*os.File
	var want [2]bytes.Buffer
	for i := range reads {
		reads[i], writes[i] = pipe(t)
	}
	var writers sync.WaitGroup
	defer writers.Wait()
	var over atomic.Bool // there have been kills enough
	for i, w := range writes {
		writers.Go(func() {
			defer func() { _ = w.Close() }()
			for k := 0; k < n && !over.Load(); k++ {
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
		cmd.Env = append(append(os.Environ(), writerVar+"="+dir), env...)
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
	over.Store(true)
	cmd := start()
	for i := range reads { // else the pipes never end
		_ = reads[i].Close()
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the last writer: %v", err)
	}
	writers.Wait()
	all, err := numbers(dir)
	t.Logf("%d writers were killed, in %d segments, %v", killed, len(all), err)
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
