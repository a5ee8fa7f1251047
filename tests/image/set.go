package image

import (
	"archive/tar"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const passwd = `root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
app:x:1000:1000:App:/home/app:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
`

const group = `root:x:0:
daemon:x:1:
tty:x:5:
staff:x:50:app
app:x:1000:
nogroup:x:65534:
`

const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Set is everything the scripts pull, by repository and tag. Values are
// v1.Image or v1.ImageIndex.
//
//	host:1 (= latest)   the machine's shell and programs in three gzip layers, CMD sh
//	host:2              the same with another file on top
//	sleeper:1           host with ENTRYPOINT sleep, CMD 1000
//	true:1              host with CMD true
//	stubborn:1          host, a command that ignores SIGTERM
//	bad/one:1 … bad/six:1   host:1 again, each for one script to have its registry misbehave
//	big/one:1 … big/twelve:1   one layer of 3 MB that does not compress, and a small one of each; one script each has its registry misbehave
//	odd:1               whiteouts, opaque directories, hard links, set-user-ID, file capabilities, odd names, links that lead out
//	oci:1               the same programs as OCI media types with a zstd layer
//	multi:1             an index: the host's platform and another
//	foreign:1           only for another platform
//	machines:1          an index for amd64 and arm64: the same programs in both, etc/machine says which, and /hello of the second is for arm64;
//	                    /emulated is that with "hull-emulates" behind its 132 bytes
//	seeded:1            host with VOLUMEs: one with files of every kind, one that is empty, one that is missing
//	linked:1            host with links where things are to be mounted, into the image and out of it
//	team/app:1          a path of two components, user app, workdir, env, labels
func Set() (map[string]any, error) {
	base, err := hostLayers()
	if err != nil {
		return nil, err
	}
	s := &set{base: base, out: map[string]any{}}
	s.image("host:1", v1.Config{Env: []string{path}, Cmd: []string{"sh"}})
	s.out["host:latest"] = s.out["host:1"]
	for _, n := range strings.Fields("one two three four five six") {
		s.out["bad/"+n+":1"] = s.out["host:1"]
	}
	s.image("host:2", v1.Config{Env: []string{path}, Cmd: []string{"sh"}},
		File{Name: "etc/release", Mode: 0o644, Body: []byte("two\n")})
	s.image("sleeper:1", v1.Config{Env: []string{path}, Entrypoint: []string{"sleep"}, Cmd: []string{"1000"}})
	s.image("true:1", v1.Config{Env: []string{path}, Cmd: []string{"true"}})
	s.image("stubborn:1", v1.Config{Env: []string{path}, Cmd: []string{
		"sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done",
	}})
	s.image("odd:1", v1.Config{Env: []string{path}, Cmd: []string{"sh"}}, odd()...)
	s.image("seeded:1", v1.Config{
		Env: []string{path}, Cmd: []string{"sleep", "1000"},
		Volumes: map[string]struct{}{"/seed": {}, "/var/empty": {}, "/var/missing/": {}},
	}, seeded()...)
	s.image("linked:1", v1.Config{Env: []string{path}, Cmd: []string{"sleep", "1000"}}, detours()...)
	s.image("team/app:1", v1.Config{
		Env: []string{path, "MODE=test"}, Entrypoint: []string{"sh", "-c"}, Cmd: []string{"id; pwd; echo $MODE"},
		User: "app", WorkingDir: "/srv/app", Labels: map[string]string{"team": "tests"},
		ExposedPorts: map[string]struct{}{"80/tcp": {}},
	}, File{Name: "srv/", Mode: 0o755}, File{Name: "home/", Mode: 0o755}, File{Name: "home/app/", Mode: 0o755, UID: 1000, GID: 1000})
	s.big()
	s.oci()
	s.indexes()
	return s.out, s.err
}

type set struct {
	base []v1.Layer
	out  map[string]any
	err  error
}

func (s *set) image(name string, c v1.Config, files ...File) {
	layers := append([]v1.Layer{}, s.base...)
	if len(files) > 0 {
		l, err := layer(files)
		if err != nil {
			s.err = fmt.Errorf("image %s: %w", name, err)
			return
		}
		layers = append(layers, l)
	}
	img, err := Build(c, layers...)
	if err != nil {
		s.err = fmt.Errorf("image %s: %w", name, err)
		return
	}
	s.out[name] = img
}

func layer(files []File) (v1.Layer, error) {
	t, err := Tar(files)
	if err != nil {
		return nil, err
	}
	return Gzip(t)
}

func hostLayers() ([]v1.Layer, error) {
	root := []File{
		{Name: "usr/", Mode: 0o755},
		{Name: "usr/bin/", Mode: 0o755},
		{Name: "usr/sbin/", Mode: 0o755},
		{Name: "usr/lib/", Mode: 0o755},
		{Name: "usr/lib64/", Mode: 0o755},
		{Name: "bin", Mode: 0o777, Type: tar.TypeSymlink, Link: "usr/bin"},
		{Name: "sbin", Mode: 0o777, Type: tar.TypeSymlink, Link: "usr/sbin"},
		{Name: "lib", Mode: 0o777, Type: tar.TypeSymlink, Link: "usr/lib"},
		{Name: "lib64", Mode: 0o777, Type: tar.TypeSymlink, Link: "usr/lib64"},
		{Name: "etc/", Mode: 0o755},
		{Name: "etc/passwd", Mode: 0o644, Body: []byte(passwd)},
		{Name: "etc/group", Mode: 0o644, Body: []byte(group)},
		{Name: "etc/release", Mode: 0o644, Body: []byte("one\n")},
		{Name: "root/", Mode: 0o700},
		{Name: "tmp/", Mode: 0o1777},
		{Name: "var/", Mode: 0o755},
		{Name: "var/log/", Mode: 0o755},
	}
	progs, err := hostPrograms(programs)
	if err != nil {
		return nil, err
	}
	var out []v1.Layer
	for _, files := range [][]File{root, progs, {
		{Name: "etc/motd", Mode: 0o644, Body: []byte("welcome aboard\n")},
		{Name: "usr/bin/noexec", Mode: 0o644, Body: []byte("not a program\n")},
		{Name: "usr/bin/garbage", Mode: 0o755, Body: []byte("\x00\x01\x02 no format\n")},
	}} {
		l, err := layer(files)
		if err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	return out, nil
}

// seeded are files that a volume is to get.
func seeded() []File {
	return []File{
		{Name: "seed/", Mode: 0o2750, UID: 1000, GID: 50},
		{Name: "seed/file", Mode: 0o640, UID: 1000, GID: 50, Body: []byte("of the image\n"), Xattrs: map[string]string{"user.note": "kept"}},
		{Name: "seed/hard", Type: tar.TypeLink, Link: "seed/file"},
		{Name: "seed/link", Type: tar.TypeSymlink, Link: "/etc/passwd"},
		{Name: "seed/fifo", Mode: 0o622, Type: tar.TypeFifo},
		{Name: "seed/setuid", Mode: 0o4755, Body: []byte("#!/bin/sh\nid\n")},
		{Name: "seed/deep/", Mode: 0o700},
		{Name: "seed/deep/er/", Mode: 0o755},
		{Name: "seed/deep/er/file", Mode: 0o600, UID: 65535, GID: 65535, Body: []byte("deep\n")},
		{Name: "var/empty/", Mode: 0o1777, UID: 7, GID: 8},
	}
}

// detours are links in places where something is to be mounted.
func detours() []File {
	return []File{
		{Name: "proc/", Mode: 0o755},
		{Name: "srv/", Mode: 0o755},
		{Name: "srv/real/", Mode: 0o755},
		{Name: "inside", Type: tar.TypeSymlink, Link: "srv/real"},
		{Name: "absolute", Type: tar.TypeSymlink, Link: "/srv/real"},
		{Name: "climber", Type: tar.TypeSymlink, Link: "../../../../../../../../srv"},
		{Name: "kernel", Type: tar.TypeSymlink, Link: "/proc"},
		{Name: "selves", Type: tar.TypeSymlink, Link: "/proc/self/root"},
		{Name: "nowhere", Type: tar.TypeSymlink, Link: "/not/here"},
		{Name: "loop", Type: tar.TypeSymlink, Link: "loop"},
		{Name: "file", Mode: 0o644, Body: []byte("a file\n")},
	}
}

// odd is what a careful unpacker and a careful browser must get right.
func odd() []File {
	long := strings.Repeat("long-name-", 15)
	return []File{
		{Name: "etc/.wh.motd", Mode: 0o644},
		{Name: "var/log/.wh..wh..opq", Mode: 0o644},
		{Name: "var/log/new", Mode: 0o640, UID: 1000, GID: 50, Body: []byte("new\n")},
		{Name: "etc/shadow-link", Type: tar.TypeSymlink, Link: "/etc/passwd"},
		{Name: "etc/climber", Type: tar.TypeSymlink, Link: "../../../../../../etc/passwd"},
		{Name: "etc/hard", Type: tar.TypeLink, Link: "etc/passwd"},
		{Name: "usr/bin/setuid", Mode: 0o4755, Body: []byte("#!/bin/sh\nid\n")},
		{Name: "usr/bin/capable", Mode: 0o755, Body: []byte("#!/bin/sh\nid\n"), Xattrs: map[string]string{
			"security.capability": "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
			"user.note":           "kept",
		}},
		{Name: "odd/", Mode: 0o755},
		{Name: "odd/" + long, Mode: 0o644, Body: []byte("long\n")},
		{Name: "odd/sp ace", Mode: 0o644, Body: []byte("space\n")},
		{Name: "odd/fifo", Mode: 0o644, Type: tar.TypeFifo},
		{Name: "odd/owned", Mode: 0o600, UID: 1234, GID: 4321, Body: []byte("owned\n")},
	}
}

// BigSize is how much there is in the large layer of the big images.
const BigSize = 3 << 20

// big makes images whose pull can be watched and broken in the middle.
func (s *set) big() {
	noise := make([]byte, BigSize)
	_, _ = rand.NewChaCha8([32]byte{'b', 'i', 'g'}).Read(noise) // it never fails
	large, err := layer([]File{{Name: "noise", Mode: 0o644, Body: noise}})
	if err != nil {
		s.err = err
		return
	}
	for _, n := range strings.Fields("one two three four five six seven eight nine ten eleven twelve thirteen fourteen") {
		small, err := layer([]File{{Name: "which", Mode: 0o644, Body: []byte(n + "\n")}})
		if err != nil {
			s.err = err
			return
		}
		if s.out["big/"+n+":1"], err = Build(v1.Config{Cmd: []string{"true"}}, large, small); err != nil {
			s.err = err
			return
		}
	}
}

func (s *set) oci() {
	t, err := Tar([]File{{Name: "etc/zstd", Mode: 0o644, Body: []byte("zstd\n")}})
	if err != nil {
		s.err = err
		return
	}
	z, err := Zstd(t)
	if err != nil {
		s.err = err
		return
	}
	img, err := Build(v1.Config{Env: []string{path}, Cmd: []string{"sh"}}, append(append([]v1.Layer{}, s.base...), z)...)
	if err != nil {
		s.err = err
		return
	}
	img = mutate.ConfigMediaType(mutate.MediaType(img, types.OCIManifestSchema1), types.OCIConfigJSON)
	s.out["oci:1"] = img
}

func (s *set) indexes() {
	if s.err != nil {
		return
	}
	host := s.out["host:1"].(v1.Image)
	file, err := host.ConfigFile()
	if err != nil {
		s.err = err
		return
	}
	file = file.DeepCopy()
	file.Architecture = "s390x"
	other, err := mutate.ConfigFile(host, file)
	if err != nil {
		s.err = err
		return
	}
	add := func(img v1.Image, arch string) mutate.IndexAddendum {
		return mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}}
	}
	s.out["multi:1"] = mutate.AppendManifests(empty.Index, add(other, "s390x"), add(host, "amd64"))
	s.out["foreign:1"] = mutate.AppendManifests(empty.Index, add(other, "s390x"))
	index := v1.ImageIndex(empty.Index)
	for _, arch := range []string{"amd64", "arm64"} {
		img := s.machine(arch)
		if s.err != nil {
			return
		}
		index = mutate.AppendManifests(index, add(img, arch))
	}
	s.out["machines:1"] = index
}

// machine is an image that says for which machine it is.
func (s *set) machine(arch string) v1.Image {
	name := "machine/" + arch
	s.image(name, v1.Config{Env: []string{path}, Cmd: []string{"/hello"}},
		File{Name: "etc/machine", Mode: 0o644, Body: []byte(arch + "\n")}, File{Name: "hello", Mode: 0o755, Body: program(arch)},
		File{Name: "emulated", Mode: 0o755, Body: append(program(arch), "hull-emulates"...)})
	img, ok := s.out[name].(v1.Image)
	delete(s.out, name)
	if !ok {
		return nil
	}
	file, err := img.ConfigFile()
	if err == nil {
		file = file.DeepCopy()
		file.Architecture = arch
		img, err = mutate.ConfigFile(img, file)
	}
	if err != nil {
		s.err = err
	}
	return img
}

// program is the smallest program of an architecture: it ends with 0.
func program(arch string) []byte {
	machine, code := uint16(62), []byte{0xb8, 0x3c, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05} // mov eax, 60; xor edi, edi; syscall
	if arch == "arm64" {
		machine, code = 183, []byte{0xa8, 0x0b, 0x80, 0xd2, 0, 0, 0x80, 0xd2, 0x01, 0, 0, 0xd4} // mov x8, 93; mov x0, 0; svc 0
	}
	const base, head = 0x400000, 64 + 56
	b := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 9)...)
	for _, field := range []any{
		uint16(2), machine, uint32(1), uint64(base + head), uint64(64), uint64(0), uint32(0), uint16(64), uint16(56), uint16(1), uint16(0), uint16(0), uint16(0),
		uint32(1), uint32(5), uint64(0), uint64(base), uint64(base), uint64(head + len(code)), uint64(head + len(code)), uint64(0x1000),
	} {
		b, _ = binary.Append(b, binary.LittleEndian, field) // numbers of fixed size always fit
	}
	return append(b, code...)
}
