package fs_test

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

// load takes what is written to it, and a close that comes after the end mark says what became of it.
func TestWrittenStream(t *testing.T) {
	m := mount(t, "redis:7")
	m.ok("printf 'a:1\\nb:1\\n.\\n' > load && ls -d images/a:1 images/b:1")
	m.ok("printf 'c:1\\n.\\n' >> load && ls -d images/c:1")
	m.ok("{ echo d:1; cat README > /dev/null; /bin/echo e:1; /bin/echo .; } > load && ls -d images/d:1 images/e:1")
	// Without an end mark the last close ends it, and nobody waits for that.
	m.ok("echo g:1 > load")
	m.until("ls -d images/g:1", "images/g:1\n")
	// Nothing was written: nothing is loaded, and nothing fails.
	m.ok(": > load")

	f, err := os.OpenFile(m.path("load"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("h:1\nNO SUCH\n"); err != nil && !strings.Contains(err.Error(), "invalid") {
		t.Errorf("what is bad is %v", err)
	}
	if _, err := f.WriteString("i:1\n"); err == nil {
		t.Error("after a failure more is taken")
	}
	if err := f.Close(); err == nil {
		t.Error("the close says nothing of the failure")
	}
	if s := m.read("error"); !strings.Contains(s, "NO SUCH") {
		t.Errorf("error holds %q", s)
	}
	m.ok("ls -d images/h:1 && test ! -e images/i:1")

	f, err = os.OpenFile(m.path("load"), os.O_WRONLY|syscall.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("j:1\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("k:1\n"), 100); err == nil {
		t.Error("a stream can be written to anywhere")
	}
	if _, err := f.WriteString("l:1\n"); err == nil {
		t.Error("after a failure more is taken")
	}
}
