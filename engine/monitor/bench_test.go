package monitor

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// BenchmarkLog is a container's output, in lines, through its log; the other is cat's from a pipe to a file.
func BenchmarkLog(b *testing.B) {
	const size = 200 << 20
	b.Run("hull", func(b *testing.B) {
		r := newRig(b)
		r.await("up")
		b.SetBytes(size)
		for i := range b.N {
			id := fmt.Sprintf("c%d", i)
			dir := filepath.Join(r.run, id)
			if err := os.Mkdir(dir, 0o700); err != nil {
				b.Fatal(err)
			}
			// Volatile, for an fsync writes the log out too, which nothing makes cat do.
			r.must(&message{Op: "start", ID: id, Dir: dir, Volatile: true, Text: fmt.Sprintf("yes 'a line of output, of some length' | head -c %d", size)})
			r.await("exit")
			st, err := os.Stat(filepath.Join(dir, "log"))
			if err != nil || st.Size() != size {
				b.Fatal(st, err)
			}
			r.must(&message{Op: "forget", ID: id})
			_ = os.RemoveAll(dir)
		}
	})
	b.Run("cat", func(b *testing.B) {
		b.SetBytes(size)
		for range b.N {
			cmd := exec.Command("/bin/sh", "-c", fmt.Sprintf("yes 'a line of output, of some length' | head -c %d | cat > %s", size, filepath.Join(b.TempDir(), "log")))
			if err := cmd.Run(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkExit is a process that is adopted, ends, and is told.
func BenchmarkExit(b *testing.B) {
	for name, volatile := range map[string]bool{"recorded": false, "volatile": true} {
		b.Run(name, func(b *testing.B) {
			r := newRig(b)
			r.await("up")
			dir := filepath.Join(r.run, "c")
			if err := os.Mkdir(dir, 0o700); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				r.must(&message{Op: "start", ID: "c", Dir: dir, Text: "exit 0", Volatile: volatile})
				r.await("exit")
				r.must(&message{Op: "forget", ID: "c"})
			}
		})
	}
}
