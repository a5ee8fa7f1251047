package launch

import (
	"testing"

	"hull/engine/internal/sys"

	"hull/engine/seccomp"
)

// BenchmarkTrue is a container from nothing to its end.
func BenchmarkTrue(b *testing.B) {
	if !asRoot() {
		b.Skip("needs root")
	}
	l := &Launcher{}
	defer l.Close()
	s := spec(rootfs(b), "/bin/true")
	for b.Loop() {
		p, err := l.Park(b.Context(), s)
		if err != nil {
			b.Fatal(err)
		}
		if err := p.Run(b.Context()); err != nil {
			b.Fatal(err)
		}
		_ = sys.Wait(p.Pidfd())
		_ = p.Close()
	}
}

// BenchmarkExec is a further process from nothing to its end.
func BenchmarkExec(b *testing.B) {
	if !asRoot() {
		b.Skip("needs root")
	}
	l := &Launcher{}
	defer l.Close()
	c, err := l.Park(b.Context(), spec(rootfs(b), "/bin/sleep", "1000"))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	if err := c.Run(b.Context()); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		p, err := l.Exec(b.Context(), Target{Pidfd: c.Pidfd(), Range: testRange}, ExecSpec{Args: []string{"/bin/true"}, NoNewPrivileges: true, Seccomp: seccomp.Default()})
		if err != nil {
			b.Fatal(err)
		}
		if err := p.Run(b.Context()); err != nil {
			b.Fatal(err)
		}
		_ = sys.Wait(p.Pidfd())
		_ = p.Close()
	}
	_ = c.stub.Kill()
	_ = sys.Wait(c.Pidfd())
}
