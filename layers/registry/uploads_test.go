package registry

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// uploads is a door at which a registry takes blobs in pieces, as the OCI's
// specification has it, and loses connections as a test wants it.
type uploads struct {
	f    *fake
	t    *testing.T
	base string // of the addresses it gives

	mu   sync.Mutex
	n    int
	held map[string][]byte // by upload
	log  []string
	// broken is asked about each PATCH: how many bytes to take before the
	// connection breaks; negative is all, without breaking.
	broken func(patch int) int
	patch  int
	refuse func(w http.ResponseWriter, r *http.Request) bool // before anything else
	status bool                                              // GET says how much has come
}

func newUploads(t *testing.T, f *fake) *uploads {
	t.Helper()
	u := &uploads{f: f, t: t, held: map[string][]byte{}, broken: func(int) int { return -1 }, status: true}
	f.fail(u.serve)
	return u
}

func (u *uploads) serve(w http.ResponseWriter, r *http.Request) bool {
	if !strings.Contains(r.URL.Path, "/uploads/") {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.log = append(u.log, strings.TrimSpace(r.Method+" "+r.Header.Get("Content-Range")))
	if u.refuse != nil && u.refuse(w, r) {
		return true
	}
	id := r.URL.Query().Get("state")
	switch r.Method {
	case http.MethodPost:
		u.n++
		id = fmt.Sprint(u.n)
		u.held[id] = []byte{}
		u.answer(w, id, http.StatusAccepted)
	case http.MethodGet:
		if !u.status {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return true
		}
		u.answer(w, id, http.StatusNoContent)
	case http.MethodPatch:
		u.take(w, r, id)
	case http.MethodPut:
		rest, _ := io.ReadAll(r.Body)
		whole := append(u.held[id], rest...)
		if digestOf(whole) != r.URL.Query().Get("digest") {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"errors":[{"code":"DIGEST_INVALID","message":"it has another"}]}`)
			return true
		}
		u.f.blob(u.t, "app", whole)
		delete(u.held, id)
		w.WriteHeader(http.StatusCreated)
	}
	return true
}

func (u *uploads) take(w http.ResponseWriter, r *http.Request, id string) {
	var first, last int
	_, err := fmt.Sscanf(r.Header.Get("Content-Range"), "%d-%d", &first, &last)
	if err != nil || first != len(u.held[id]) {
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		return
	}
	u.patch++
	n := u.broken(u.patch)
	if n < 0 {
		body, _ := io.ReadAll(r.Body)
		u.held[id] = append(u.held[id], body...)
		u.answer(w, id, http.StatusAccepted)
		return
	}
	body := make([]byte, n)
	got, _ := io.ReadFull(r.Body, body)
	u.held[id] = append(u.held[id], body[:got]...)
	panic(http.ErrAbortHandler)
}

func (u *uploads) answer(w http.ResponseWriter, id string, status int) {
	w.Header().Set("Location", u.base+"/v2/app/blobs/uploads/x?state="+id)
	w.Header().Set("Range", fmt.Sprintf("0-%d", max(len(u.held[id])-1, 0)))
	w.WriteHeader(status)
}

func (u *uploads) seen() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.log)
}
