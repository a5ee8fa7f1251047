package tests

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// faulty is a registry that can be told to misbehave for one repository, and
// counts what it is asked for.
type faulty struct {
	inner http.Handler

	mu      sync.Mutex
	changed *sync.Cond
	faults  map[string]string  // repository → fault
	counts  map[string]*counts // repository → what was asked of it
	kept    map[string]bool    // paths of manifests that nobody may push over: every script pulls them
}

// counts is what was asked of a repository, but for whether it has something.
type counts struct {
	blobs     map[string]int   // requests, by digest
	bytes     map[string]int64 // sent of them
	uploads   int              // bodies of blobs that were taken
	mounts    int              // blobs that were asked for from other repositories
	manifests int              // that were put
	refusals  int              // answers that a fault made
}

// set gives repo a fault: "down" (503), "denied", "read-only" (403 to what is not
// a read), "limit N" (429 with Retry-After: N), "limit once" (one 429, then
// none), "truncate" (blobs end in the middle), "cut N" (each answer with a blob
// breaks after N bytes), "stop N" (blobs come as far as byte N, and go on when
// the fault is taken away; another one breaks them off), "corrupt" (blobs have a flipped byte), "hang" (blobs
// wait until the client leaves), "take N" (of what is sent N bytes are taken, and
// then nothing until the fault is taken away; nothing is mounted), or "" for none.
func (f *faulty) set(repo, fault string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.faults == nil {
		f.faults = map[string]string{}
	}
	f.faults[repo] = fault
	f.cond().Broadcast()
}

// cond is told of every change of faults. The caller holds mu.
func (f *faulty) cond() *sync.Cond {
	if f.changed == nil {
		f.changed = sync.NewCond(&f.mu)
	}
	return f.changed
}

// get is the fault of the repository that a path is in, and that repository.
func (f *faulty) get(path string) (repo, fault string, n int64) {
	repo = repository(path)
	f.mu.Lock()
	defer f.mu.Unlock()
	fault, text, _ := strings.Cut(f.faults[repo], " ")
	if fault == "limit" && text == "once" {
		f.faults[repo] = ""
		return repo, fault, 1
	}
	n, _ = strconv.ParseInt(text, 10, 64)
	return repo, fault, n
}

// repository is the one that a path of the registry's is about.
func repository(path string) string {
	for _, part := range []string{"/blobs/", "/manifests/", "/tags/"} {
		if repo, _, ok := strings.Cut(strings.TrimPrefix(path, "/v2/"), part); ok {
			return repo
		}
	}
	return ""
}

// count changes the counts of a repository.
func (f *faulty) count(repo string, change func(*counts)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.counts == nil {
		f.counts = map[string]*counts{}
	}
	c := f.counts[repo]
	if c == nil {
		c = &counts{blobs: map[string]int{}, bytes: map[string]int64{}}
		f.counts[repo] = c
	}
	change(c)
}

// told writes the counts of a repository down, and begins to count anew.
func (f *faulty) told(repo string) string {
	f.count(repo, func(*counts) {})
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.counts[repo]
	delete(f.counts, repo)
	most, largest := 0, int64(0)
	for digest, n := range c.blobs {
		if c.bytes[digest] > largest {
			most, largest = n, c.bytes[digest]
		}
	}
	return fmt.Sprintf("blobs %d\nrequests %d\nbytes %d\nuploads %d\nmounts %d\nmanifests %d\nrefusals %d\n",
		len(c.blobs), most, largest, c.uploads, c.mounts, c.manifests, c.refusals)
}

// clear takes all faults away, so that nobody waits any more.
func (f *faulty) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = nil
	f.cond().Broadcast()
}

// keep has images stay what they are: repository and tag of each.
func (f *faulty) keep(images []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept = map[string]bool{}
	for _, name := range images {
		repo, tag, _ := strings.Cut(name, ":")
		f.kept["/v2/"+repo+"/manifests/"+tag] = true
	}
}

// keeps tells whether a request would change one of them.
func (f *faulty) keeps(r *http.Request) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return r.Method == http.MethodPut && f.kept[r.URL.Path]
}

// forget begins to count anew.
func (f *faulty) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts = nil
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	repo, fault, n := f.get(r.URL.Path)
	_, digest, blob := strings.Cut(r.URL.Path, "/blobs/sha256:")
	blob = blob && r.Method == http.MethodGet
	refuse := func(status int, text string) {
		f.count(repo, func(c *counts) { c.refusals++ })
		http.Error(w, text, status)
	}
	switch {
	case f.keeps(r):
		refuse(http.StatusForbidden, `{"errors":[{"code":"DENIED","message":"other scripts pull this; push to a name of your own"}]}`)
	case fault == "down":
		refuse(http.StatusServiceUnavailable, "the registry is down")
	case fault == "denied":
		refuse(http.StatusForbidden, `{"errors":[{"code":"DENIED","message":"you may not pull this"}]}`)
	case fault == "read-only" && r.Method != http.MethodGet && r.Method != http.MethodHead:
		refuse(http.StatusForbidden, `{"errors":[{"code":"DENIED","message":"you may not push this"}]}`)
	case fault == "limit":
		w.Header().Set("Retry-After", strconv.FormatInt(n, 10))
		refuse(http.StatusTooManyRequests, `{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit"}]}`)
	case fault == "hang" && blob:
		f.hang(w, r)
	case blob:
		f.count(repo, func(c *counts) { c.blobs[digest]++ })
		f.inner.ServeHTTP(&spoiler{ResponseWriter: w, f: f, r: r, repo: repo, digest: digest, fault: fault, n: n, at: first(r)}, r)
	default:
		f.take(repo, r)
		if fault == "take" {
			r.URL.RawQuery = strings.ReplaceAll(r.URL.RawQuery, "mount=", "nomount=")
		}
		if fault == "take" && r.ContentLength > 0 {
			r.Body = &slow{ReadCloser: r.Body, f: f, r: r, left: n}
		}
		f.inner.ServeHTTP(w, r)
	}
}

// take counts what is brought.
func (f *faulty) take(repo string, r *http.Request) {
	f.count(repo, func(c *counts) {
		switch {
		case r.URL.Query().Has("mount"):
			c.mounts++
		case strings.Contains(r.URL.Path, "/uploads/") && r.ContentLength > 0:
			c.uploads++
		case strings.Contains(r.URL.Path, "/manifests/") && r.Method == http.MethodPut:
			c.manifests++
		}
	})
}

// await waits while a repository has a fault and the client is there.
func (f *faulty) await(r *http.Request, repo, fault string) (gone bool) {
	left := make(chan struct{})
	defer close(left)
	go func() {
		select {
		case <-r.Context().Done():
			f.mu.Lock()
			f.cond().Broadcast()
			f.mu.Unlock()
		case <-left:
		}
	}()
	f.mu.Lock()
	defer f.mu.Unlock()
	for strings.HasPrefix(f.faults[repo], fault) && r.Context().Err() == nil {
		f.cond().Wait()
	}
	return r.Context().Err() != nil
}

// has tells whether a repository has any fault.
func (f *faulty) has(repo string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.faults[repo] != ""
}

// first is the byte of a blob that a request begins with.
func first(r *http.Request) (at int64) {
	_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &at)
	return at
}

// hang answers a blob's headers and half of nothing, until the client leaves.
func (f *faulty) hang(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", "1000000")
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

// spoiler counts and damages what passes it.
type spoiler struct {
	http.ResponseWriter
	f            *faulty
	r            *http.Request
	repo, digest string
	fault        string
	n            int64 // the fault's
	at           int64 // the byte of the blob that is next
	seen         int
}

func (s *spoiler) Write(b []byte) (int, error) {
	switch {
	case s.seen == 0 && len(b) > 0 && s.fault == "truncate":
		s.send(b[:len(b)/2])
		panic(http.ErrAbortHandler)
	case s.seen == 0 && len(b) > 0 && s.fault == "corrupt":
		b = append([]byte{}, b...)
		b[len(b)/2] ^= 0xff
	case s.fault == "cut" && int64(s.seen+len(b)) > s.n:
		s.send(b[:s.n-int64(s.seen)])
		panic(http.ErrAbortHandler)
	case s.fault == "stop" && s.at+int64(len(b)) > s.n:
		part := max(s.n-s.at, 0)
		s.send(b[:part])
		if s.f.await(s.r, s.repo, "stop") || s.f.has(s.repo) {
			panic(http.ErrAbortHandler)
		}
		s.fault = ""
		n, err := s.Write(b[part:])
		return int(part) + n, err
	}
	return s.send(b)
}

// send counts bytes before they go: who has them all looks at once.
func (s *spoiler) send(b []byte) (int, error) {
	s.seen += len(b)
	s.at += int64(len(b))
	s.f.count(s.repo, func(c *counts) { c.bytes[s.digest] += int64(len(b)) })
	n, err := s.ResponseWriter.Write(b)
	if s.fault != "" {
		_ = http.NewResponseController(s.ResponseWriter).Flush() // an aborted handler loses what is not
	}
	return n, err
}

// slow takes so much of what is sent, and then waits.
type slow struct {
	io.ReadCloser
	f    *faulty
	r    *http.Request
	left int64
}

func (s *slow) Read(b []byte) (int, error) {
	if s.left == 0 {
		if s.f.await(s.r, repository(s.r.URL.Path), "take") {
			return 0, io.ErrUnexpectedEOF
		}
		s.left = 1 << 62
	}
	n, err := s.ReadCloser.Read(b[:min(int64(len(b)), s.left)])
	s.left -= int64(n)
	return n, err
}
