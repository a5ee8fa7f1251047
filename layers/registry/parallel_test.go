package registry

import (
	"bytes"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
)

// TestManyAtOnce fetches many images' layers at once from a registry that asks
// for tokens and is out of order now and then; with one Client, as the store does.
func TestManyAtOnce(t *testing.T) {
	f, s := newFake(t), newTokenServer(t)
	const images, layers = 8, 3
	wants := make([][][]byte, images)
	for i := range images {
		_, wants[i] = f.push(t, sample{repo: fmt.Sprint("app", i), tag: "1", layers: layers})
	}
	var asked atomic.Int64
	token := "Bearer all"
	s.answer = func(w http.ResponseWriter, _ *http.Request) bool {
		_, _ = fmt.Fprint(w, `{"access_token":"all"}`)
		return true
	}
	f.fail(both(
		guard(func() string { return token }, s.challenge()),
		func(w http.ResponseWriter, _ *http.Request) bool {
			if asked.Add(1)%7 != 0 {
				return false
			}
			w.WriteHeader(http.StatusBadGateway)
			return true
		},
	))
	c := client(t, Options{Retries: 1000})
	t.Run("group", func(t *testing.T) {
		for i := range images {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				ref := f.ref(t, fmt.Sprintf("app%d:1", i))
				img, err := c.Resolve(t.Context(), ref)
				if err != nil {
					t.Fatal(err)
				}
				for n, l := range img.Layers {
					var got bytes.Buffer
					if err := c.Blob(t.Context(), ref, l, &got, 0); err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(got.Bytes(), wants[i][n]) {
						t.Errorf("layer %d has other bytes", n)
					}
				}
			})
		}
	})
}

func TestKindsHaveNames(t *testing.T) {
	for k := Protocol; k <= Write; k++ {
		if k.String() == "" {
			t.Errorf("the kind %d has no name", int(k))
		}
	}
	if got := Kind(99).String(); got != "kind 99" {
		t.Errorf("got %q", got)
	}
}
