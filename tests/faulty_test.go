package tests

import (
	"net/http"
	"strings"
	"sync"
)

// faulty is a registry that can be told to misbehave for one repository.
type faulty struct {
	inner http.Handler

	mu     sync.Mutex
	faults map[string]string // repository → fault
}

// set gives repo a fault: "down" (503), "denied", "truncate" (blobs end in the
// middle), "corrupt" (blobs have a flipped byte), "hang" (blobs wait until
// the fault is taken away), or "" for none.
func (f *faulty) set(repo, fault string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.faults == nil {
		f.faults = map[string]string{}
	}
	f.faults[repo] = fault
}

func (f *faulty) get(path string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for repo, fault := range f.faults {
		if strings.HasPrefix(path, "/v2/"+repo+"/") {
			return fault
		}
	}
	return ""
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fault := f.get(r.URL.Path)
	blob := strings.Contains(r.URL.Path, "/blobs/") && r.Method == http.MethodGet
	switch {
	case fault == "down":
		http.Error(w, "the registry is down", http.StatusServiceUnavailable)
	case fault == "denied":
		http.Error(w, `{"errors":[{"code":"DENIED","message":"you may not pull this"}]}`, http.StatusForbidden)
	case fault == "hang" && blob:
		f.hang(w, r)
	case (fault == "truncate" || fault == "corrupt") && blob:
		f.inner.ServeHTTP(&spoiler{ResponseWriter: w, fault: fault}, r)
	default:
		f.inner.ServeHTTP(w, r)
	}
}

// hang answers a blob's headers and half of nothing, until the client leaves.
func (f *faulty) hang(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", "1000000")
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

// spoiler damages what passes it.
type spoiler struct {
	http.ResponseWriter
	fault string
	seen  int
}

func (s *spoiler) Write(b []byte) (int, error) {
	if s.seen == 0 && len(b) > 0 {
		if s.fault == "truncate" {
			if _, err := s.ResponseWriter.Write(b[:len(b)/2]); err != nil {
				return 0, err
			}
			panic(http.ErrAbortHandler)
		}
		b = append([]byte{}, b...)
		b[len(b)/2] ^= 0xff
	}
	s.seen += len(b)
	return s.ResponseWriter.Write(b)
}
