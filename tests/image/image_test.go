package image

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
)

func TestSetIsTakenByARegistry(t *testing.T) {
	set, err := Set()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"host:1", "host:latest", "host:2", "sleeper:1", "stubborn:1", "odd:1", "oci:1", "multi:1", "foreign:1", "team/app:1"} {
		if set[want] == nil {
			t.Errorf("the set lacks %s", want)
		}
	}
	srv := httptest.NewServer(registry.New())
	defer srv.Close()
	if err := Push(strings.TrimPrefix(srv.URL, "http://"), set); err != nil {
		t.Fatal(err)
	}
}
