package layers

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// smallDisk is a directory on a file system of so many bytes.
func smallDisk(t *testing.T, options string) string {
	t.Helper()
	needRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("hull-test", dir, "tmpfs", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestFullDisk(t *testing.T) {
	const mb = 1 << 20
	tests := []struct {
		name, disk string
		free       int
		content    []file
	}{
		{"no room for the blob", "size=8m", -1, []file{{name: "big", content: noise(12, 10*mb)}}},
		{"no room for the files", "size=8m", -1, []file{{name: "big", content: noise(13, 6*mb)}}},
		{"no room in the end", "size=8m", -1, []file{{name: "big", content: string(make([]byte, 12*mb))}}},
		{"no inodes", "nr_inodes=64", -1, manyFiles(200)},
		{"would leave less than the share", "size=64m", 50, []file{{name: "big", content: noise(14, 40*mb)}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRegistry(t)
			r.push(t, "acme/small:1", imageOf(t, layerOf(t, file{name: "small"})))
			r.push(t, "acme/big:1", imageOf(t, layerOf(t, file{name: "more"}), layerOf(t, tt.content...)))
			s := openStore(t, smallDisk(t, tt.disk), Options{FreePercent: tt.free})
			small := mustPull(t, s, r.ref("acme/small:1"))
			ref := r.ref("acme/big:1")
			wantKind(t, pullNow(t, s, ref), Space)
			if im := mustFind(t, s, ref); im.Status != Failed || im.Error == "" {
				t.Errorf("the image is %+v", im)
			}
			await(t, "what came of it to go", func() bool {
				return len(names(t, s, "staging"))+len(names(t, s, "trash"))+len(names(t, s, "ingest")) == 0
			})
			if im := mustFind(t, s, small.Reference); im.Status != Ready {
				t.Errorf("the other image is %+v", im)
			}
			infos, err := s.Layers(small.ID)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(infos[0].Path + "/small"); err != nil {
				t.Error(err)
			}
			if _, err := s.Remove(t.Context(), ref, false, 0); err != nil {
				t.Fatal(err)
			}
			// There is room again for what fits.
			r.push(t, "acme/other:1", imageOf(t, layerOf(t, file{name: "other", content: noise(15, mb)})))
			mustPull(t, s, r.ref("acme/other:1"))
		})
	}
}

func manyFiles(n int) []file {
	files := make([]file, n)
	for i := range files {
		files[i] = file{name: noiseName(i)}
	}
	return files
}

func noiseName(i int) string {
	return string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/26/26%26))
}

func TestPullChecksSpaceFirst(t *testing.T) {
	r := newRegistry(t)
	s := openStore(t, smallDisk(t, "size=4m"), Options{FreePercent: 100})
	if err := os.WriteFile(s.path("staging", "taken"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	wantKind(t, s.Pull(t.Context(), r.ref("acme/app:1"), PullOptions{}), Space)
	if len(s.List()) != 0 {
		t.Errorf("it left %v", s.List())
	}
}
