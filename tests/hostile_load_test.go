package tests

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"hull/tests/image"
)

// parcel is an archive that somebody gives to load, and what has to come of it.
type parcel struct {
	name   string
	write  func(w io.Writer)
	refuse string // "" means that it is loaded
	wanted string // a path that one of its layers must hold then
}

// savedOf is a docker archive of one image with this layer, and more files before it.
func savedOf(plain []byte, more ...image.File) []byte {
	config, err := json.Marshal(map[string]any{
		"os": "linux", "architecture": "amd64", "rootfs": map[string]any{"type": "layers", "diff_ids": []string{digestOf(plain)}},
	})
	if err != nil {
		panic(err)
	}
	return tarOf(append(more, put("c.json", string(config)), put("l.tar", string(plain)),
		put("manifest.json", `[{"Config":"c.json","RepoTags":["loaded:1"],"Layers":["l.tar"]}]`))...)
}

func archiveOf(name, refuse string, b []byte) parcel {
	return parcel{name: name, refuse: refuse, write: func(w io.Writer) { _, _ = w.Write(b) }}
}

func parcels(canary string) []parcel {
	good := tarOf(put("f", "x"))
	outside := strings.TrimPrefix(canary, "/")
	all := []parcel{
		archiveOf("member-leads-out", "leads out", savedOf(good, put("../../../../../../../.."+canary+"/new", "x"))),
		archiveOf("member-is-absolute", "", savedOf(good, put(canary+"/file", "overwritten"))),
		archiveOf("link-leads-out", "leads out", savedOf(good, to("x", canary+"/file"), put("x", "overwritten"))),
		archiveOf("relative-link-leads-out", "leads out", savedOf(good, to("a/x", "../../../../../.."+canary+"/file"))),
		archiveOf("hard-link-leads-out", "leads out", savedOf(good, hard("x", "../../.."+canary+"/file"))),
		archiveOf("link-for-a-layer", "leads out", tarOf(to("l.tar", canary+"/file"), put("c.json", "{}"), put("manifest.json", `[{"Config":"c.json","Layers":["l.tar"]}]`))),
		archiveOf("hard-link-for-a-config", "not in the archive", tarOf(hard("c.json", canary+"/file"), put("manifest.json", `[{"Config":"c.json","Layers":[]}]`))),
		archiveOf("config-of-the-host", "leads out|not in the archive", tarOf(put("manifest.json", `[{"Config":"`+canary+`/file","Layers":[]}]`))),
		archiveOf("links-in-a-circle", "circle|links", tarOf(to("c.json", "d.json"), to("d.json", "c.json"), put("manifest.json", `[{"Config":"c.json","Layers":[]}]`))),
		archiveOf("fifo", "no place", savedOf(good, node("p", tar.TypeFifo))),
		archiveOf("device", "no place", savedOf(good, image.File{Name: "d", Type: tar.TypeBlock})),
		archiveOf("members-twice", "", savedOf(good, put("l.tar", "another"), put("manifest.json", "[]"), put("c.json", "?"))),
		archiveOf("an-archive-in-an-archive", "no archive of images", tarOf(put("inner.tar", string(savedOf(good))))),
		archiveOf("manifest-of-100-megabytes", "4 MiB", tarOf(put("manifest.json", "["+strings.Repeat(" ", 100<<20)+"]"))),
		archiveOf("config-of-100-megabytes", "4 MiB", tarOf(put("c.json", strings.Repeat(" ", 100<<20)), put("manifest.json", `[{"Config":"c.json","Layers":[]}]`))),
		archiveOf("deep-json", "what such a document", tarOf(put("manifest.json", strings.Repeat("[", 3<<20)))),
		archiveOf("names-without-end", "too many", tarOf(put("manifest.json", `[{"RepoTags":[`+strings.Repeat(`"a:1",`, 500_000)+`"a:1"]}]`))),
		archiveOf("terminal-codes-in-a-name", "no image can be called", tarOf(put("c.json", `{"rootfs":{"diff_ids":[]}}`), put("manifest.json", `[{"Config":"c.json","RepoTags":["\u001b[2J\u0007:1"],"Layers":[]}]`))),
		archiveOf("terminal-codes-in-a-member", "no place", savedOf(good, node("\x1b[2J", tar.TypeFifo))),
		archiveOf("size-2^63", "bytes|free", join(rawHeader("x", '0', base256), tarEnd)),
		archiveOf("names-of-megabytes", "long|bytes", join(rawHeader("././@LongLink", 'L', "00040000000\x00"), bytes.Repeat([]byte("n"), 8<<20), tarEnd)),
		archiveOf("cut-off", "too early", savedOf(good)[:2000]),
		archiveOf("no-archive", "not a tar", bytes.Repeat([]byte("no archive "), 1000)),
		archiveOf("zstd-bomb", "times as large", rle(20_000, 23)),
		archiveOf("zstd-window", "window", rle(1, 31)),
		archiveOf("layer-leads-out", "leads out", savedOf(tarOf(put("../../x", "")))),
		archiveOf("another-diff-id", "", nil),
		{name: "many-members", refuse: "more than", write: func(w io.Writer) {
			entry := tarOf(put("x/", ""))
			_, _ = w.Write(bytes.Repeat(entry[:len(entry)-len(tarEnd)], 140_000))
		}},
		{name: "layer-through-a-link", wanted: outside + "/file", write: func(w io.Writer) {
			_, _ = w.Write(savedOf(tarOf(to("l", canary), put("l/file", "overwritten"))))
		}},
	}
	for i := range all {
		if all[i].name == "another-diff-id" {
			b := bytes.ReplaceAll(savedOf(good), []byte(digestOf(good)), []byte("sha256:"+strings.Repeat("0", 64)))
			all[i] = archiveOf("another-diff-id", "config says|digest", b)
		}
	}
	return all
}

// TestHostileArchives gives load what a stranger may have made.
func TestHostileArchives(t *testing.T) {
	needs(t)
	v := newVictim(t)
	v.look(t)
	for _, p := range parcels(v.canary) {
		t.Run(p.name, func(t *testing.T) { v.load(t, p) })
	}
}

func (v *victim) load(t *testing.T, p parcel) {
	v.forget(t)
	begun := time.Now()
	cmd := exec.Command(v.path("hull") + "/load")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.write(in)
	_ = in.Close()
	err = cmd.Wait()
	t.Logf("%.1fs, %d MB: %s%.200s", time.Since(begun).Seconds(), v.peak(t)>>20, out.String(), said.String())
	if p.refuse != "" {
		plain(t, strings.TrimPrefix(said.String(), "hull: "))
		plain(t, v.read(t, "error"))
		if err == nil || !regexp.MustCompile(p.refuse).MatchString(said.String()) {
			t.Errorf("load: %v, and the reason is %q, want %q", err, said.String(), p.refuse)
		}
		if images, err := os.ReadDir(v.path("hull") + "/images"); err != nil || len(images) > 0 {
			t.Errorf("images are %v, %v", images, err)
		}
	} else {
		if err != nil || out.String() != "Loaded image: loaded:1\n" {
			t.Errorf("load: %v, %q, %q", err, out.String(), said.String())
		}
		if p.wanted != "" {
			holds(t, v.diffs(t), p.wanted)
		}
		v.drop(t, "loaded:1")
	}
	v.unhurt(t)
}

// TestHostileArchivesWritten writes them to load, as a shell's cat f.tar > load does.
func TestHostileArchivesWritten(t *testing.T) {
	needs(t)
	v := newVictim(t)
	v.look(t)
	for _, p := range parcels(v.canary) {
		t.Run(p.name, func(t *testing.T) { v.writeLoad(t, p) })
	}
}

func (v *victim) writeLoad(t *testing.T, p parcel) {
	v.forget(t)
	if err := os.Mkdir(v.path("hull")+"/images/BAD:1", 0o755); err == nil { // so that error says something else
		t.Fatal("an image with a bad name was made")
	}
	f, err := os.OpenFile(v.path("hull")+"/load", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	p.write(f)
	_ = f.Close() // what it came to is in error
	done := func() bool {
		if p.refuse == "" {
			_, err := os.Lstat(v.path("hull") + "/images/loaded:1")
			return err == nil
		}
		return regexp.MustCompile(p.refuse).MatchString(v.read(t, "error"))
	}
	for deadline := time.Now().Add(patience); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the reason is %q, want %q", v.read(t, "error"), p.refuse)
		}
	}
	if p.refuse != "" {
		plain(t, v.read(t, "error"))
		if images, err := os.ReadDir(v.path("hull") + "/images"); err != nil || len(images) > 0 {
			t.Errorf("images are %v, %v", images, err)
		}
	} else {
		if out, err := exec.Command(v.path("hull") + "/images/loaded:1/wait").CombinedOutput(); err != nil {
			t.Errorf("wait: %v: %s", err, out)
		}
		if p.wanted != "" {
			holds(t, v.diffs(t), p.wanted)
		}
		v.drop(t, "loaded:1")
	}
	v.unhurt(t)
}
