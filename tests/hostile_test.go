package tests

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode"

	"golang.org/x/sys/unix"
)

// mostMemory is what no image may take the daemon over.
const mostMemory = 200_000_000

type sum struct{ hash.Hash }

func newSum() sum            { return sum{sha256.New()} }
func (s sum) digest() string { return "sha256:" + hex.EncodeToString(s.Sum(nil)) }
func newFastGzip(w io.Writer) *gzip.Writer {
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		panic(err)
	}
	return z
}

// victim is a mounted hull that hostile things are done to, and what is watched of it.
type victim struct {
	*mounted
	canary  string // a directory outside the store that must stay as it is
	daemon  int
	outside []string // everything below the base but hull's own, as it was
	inside  []string // of the store's, likewise
	open    []string // the daemon's descriptors, likewise
}

func newVictim(t *testing.T) *victim {
	t.Helper()
	m := ground(t, "hostile")
	v := &victim{mounted: m, canary: m.path("canary")}
	if err := errors.Join(os.Mkdir(v.canary, 0o755), os.Mkdir(v.canary+"/d", 0o777),
		os.WriteFile(v.canary+"/file", []byte("as it was"), 0o644)); err != nil {
		t.Fatal(err)
	}
	// Nothing is kept ready for containers: it comes when it comes, and the descriptors are counted.
	v.mount(t, "--warm", "0")
	return v
}

// look takes down what must not change.
func (v *victim) look(t *testing.T) {
	t.Helper()
	v.daemon = v.one(t)
	v.outside, v.inside, v.open = v.around(t), v.stored(t), v.descriptors(t)
}

// one finds the daemon. A child of its that has not yet become another program
// looks like one more.
func (v *victim) one(t *testing.T) int {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		pids := v.role("daemon")
		if len(pids) == 1 {
			return pids[0]
		}
		if time.Now().After(deadline) {
			t.Fatalf("the daemons are %v", pids)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// around lists what lies beside the store, with content and times.
func (v *victim) around(t *testing.T) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(v.base, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch path {
		case v.path("store"), v.path("run"), v.path("hull"):
			return fs.SkipDir
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		body := []byte{}
		if d.Type().IsRegular() {
			body, err = os.ReadFile(path)
		}
		list = append(list, fmt.Sprintf("%s %o %d:%d %d %d.%09d %q", path, st.Mode, st.Uid, st.Gid, st.Nlink, st.Mtim.Sec, st.Mtim.Nsec, body))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// stored lists what the store has of images, whatever state it is in.
func (v *victim) stored(t *testing.T) []string {
	t.Helper()
	var list []string
	for _, dir := range []string{"blobs/sha256", "layers", "images", "ingest", "staging", "trash", "containers"} {
		entries, err := os.ReadDir(v.path("store") + "/" + dir)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for _, e := range entries {
			list = append(list, dir+"/"+e.Name())
		}
	}
	return list
}

// descriptors lists the daemon's, but for the pipes that go-fuse keeps for splicing.
func (v *victim) descriptors(t *testing.T) []string {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", v.daemon)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		if target, err := os.Readlink(dir + "/" + e.Name()); err == nil && !strings.HasPrefix(target, "pipe:") && target != "/dev/null" {
			list = append(list, e.Name()+" "+target)
		}
	}
	sort.Strings(list)
	return list
}

// goesBack waits until two lists are equal in length, and says how they differ if
// they never are. Deletion goes on behind the callers' backs.
func goesBack(t *testing.T, what string, want []string, now func(*testing.T) []string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		got := now(t)
		if len(got) <= len(want) {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%s: %d are left, of which there were %d: %q, before %q", what, len(got), len(want), got[:min(20, len(got))], want[:min(20, len(want))])
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// unhurt demands that all is as it was when looked at, and that the daemon lives
// and was never large.
func (v *victim) unhurt(t *testing.T) {
	t.Helper()
	if pids := v.role("daemon"); !slices.Contains(pids, v.daemon) {
		t.Fatalf("the daemons are %v, and it was %d", pids, v.daemon)
	}
	if peak := v.peak(t); peak > mostMemory {
		t.Errorf("the daemon took %d bytes", peak)
	}
	goesBack(t, "files of the store", v.inside, v.stored)
	goesBack(t, "descriptors", v.open, v.descriptors)
	if got := v.around(t); strings.Join(got, "\n") != strings.Join(v.outside, "\n") {
		t.Errorf("outside the store there was\n%s\nand now there is\n%s", strings.Join(v.outside, "\n"), strings.Join(got, "\n"))
	}
}

// peak is the most memory that the daemon has had since forget.
func (v *victim) peak(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", v.daemon))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatal("the kernel does not tell VmHWM")
	return 0
}

func (v *victim) forget(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", v.daemon), []byte("5"), 0); err != nil && !os.IsNotExist(err) { // some kernels cannot: then it is the most ever
		t.Fatal(err)
	}
}

// pull pulls an image by mkdir. It returns the sentence that refuses it, "" if it
// is ready, and the errno of mkdir, if that failed.
func (v *victim) pull(t *testing.T, ref string) (sentence string, errno syscall.Errno) {
	t.Helper()
	dir := v.path("hull") + "/images/" + ref
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		if !errors.As(err, &errno) || errno == syscall.EIO {
			t.Errorf("mkdir: %v", err)
		}
		if _, err := os.Lstat(dir); !os.IsNotExist(err) {
			t.Errorf("mkdir failed, and the directory is there: %v", err)
		}
		return v.read(t, "error"), errno
	}
	out, err := exec.Command(dir + "/wait").CombinedOutput()
	status := v.read(t, "images/"+ref+"/status")
	switch {
	case err == nil && status == "ready\n":
		return "", 0
	case err != nil && status == "failed\n":
		return v.read(t, "images/"+ref+"/error"), 0
	}
	t.Errorf("wait: %v, %s, and the status is %q", err, out, status)
	return "", 0
}

func (v *victim) read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(v.path("hull") + "/" + name)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// diffs are the trees of an image's layers on disk.
func (v *victim) diffs(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(v.path("store") + "/layers/*/diff")
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// plain demands of a sentence that it is one, for a person, on one line, without
// anything that drives a terminal.
func plain(t *testing.T, sentence string) {
	t.Helper()
	line, ok := strings.CutSuffix(sentence, "\n")
	if !ok || line == "" || !strings.HasSuffix(line, ".") && !strings.HasSuffix(line, "!") && !strings.HasSuffix(line, "?") {
		t.Errorf("this is no sentence: %q", sentence)
	}
	for _, c := range line {
		if unicode.IsControl(c) || c == unicode.ReplacementChar {
			t.Errorf("a control character %q in %q", c, sentence)
			break
		}
	}
	if len(line) > 5000 {
		t.Errorf("a sentence of %d bytes", len(line))
	}
}

// TestHostileImages pulls what a stranger may have made. Each image is refused with
// a reason or becomes what it should; nothing else comes of any.
func TestHostileImages(t *testing.T) {
	needs(t)
	v, h := newVictim(t), newHostile(t)
	v.ready(t, h)
	for _, a := range append(layerAttacks(v.canary), registryAttacks()...) {
		t.Run(a.name, func(t *testing.T) {
			a.image(h, a.repo())
			v.forget(t)
			r := v.suffer(t, h, a)
			r.judge(t, v, a)
			if r.errno == 0 {
				v.drop(t, h.addr+"/"+a.repo()+":1")
			}
			v.unhurt(t)
		})
	}
}

// TestBombs pulls all at once what takes little to send and much to unpack.
func TestBombs(t *testing.T) {
	needs(t)
	v, h := newVictim(t), newHostile(t)
	v.ready(t, h)
	all := bombs()
	for _, a := range all {
		a.image(h, a.repo())
	}
	v.forget(t)
	results := make([]result, len(all))
	var pulls sync.WaitGroup
	for i, a := range all {
		pulls.Go(func() { results[i] = v.suffer(t, h, a) })
	}
	pulls.Wait()
	t.Logf("%d MB for all together", v.peak(t)/1e6)
	for i, a := range all {
		t.Run(a.name, func(t *testing.T) { results[i].judge(t, v, a) })
		if results[i].errno == 0 {
			v.drop(t, h.addr+"/"+a.repo()+":1")
		}
	}
	v.unhurt(t)
}

// ready has hull pull something harmless, so that what it opens for good is open.
func (v *victim) ready(t *testing.T, h *hostile) {
	t.Helper()
	v.look(t)
	h.image("good", layer(tarOf(put("f", "x"))))
	if s, _ := v.pull(t, h.addr+"/good:1"); s != "" {
		t.Fatal(s)
	}
	v.drop(t, h.addr+"/good:1")
	goesBack(t, "files of the store", v.inside, v.stored)
	v.open = v.descriptors(t)
}

// result is what came of an attack.
type result struct {
	sentence string // that refuses it
	errno    syscall.Errno
	took     time.Duration
}

func (a attack) repo() string { return "a/" + strings.ReplaceAll(a.name, "^", "") }

// suffer pulls one image.
func (v *victim) suffer(t *testing.T, h *hostile, a attack) result {
	begun := time.Now()
	sentence, errno := v.pull(t, h.addr+"/"+a.repo()+":1")
	return result{sentence, errno, time.Since(begun)}
}

// judge looks at what came of an image.
func (r result) judge(t *testing.T, v *victim, a attack) {
	t.Helper()
	t.Logf("%.1fs, %d MB: %.200s", r.took.Seconds(), v.peak(t)/1e6, r.sentence)
	switch {
	case a.refuse == "" && r.sentence != "":
		t.Errorf("refused: %s", r.sentence)
	case a.refuse != "":
		plain(t, r.sentence)
		if !regexp.MustCompile(a.refuse).MatchString(r.sentence) {
			t.Errorf("the reason is %q, want %q", r.sentence, a.refuse)
		}
	case a.wanted != "":
		holds(t, v.diffs(t), a.wanted)
	}
}

// drop removes an image.
func (v *victim) drop(t *testing.T, ref string) {
	t.Helper()
	if err := os.Remove(v.path("hull") + "/images/" + ref); err != nil {
		t.Error(err)
	}
}
