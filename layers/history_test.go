package layers

import (
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

func TestHistory(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	img := imageOf(t, layerOf(t, file{name: "a", content: noise(30, 1500)}))
	img, err := mutate.Append(img, mutate.Addendum{History: v1.History{
		CreatedBy: "/bin/sh -c #(nop)  ENV\tX=\x1b[31m" + strings.Repeat("y", 60), Comment: "a comment", EmptyLayer: true,
	}})
	if err != nil {
		t.Fatal(err)
	}
	r.push(t, "acme/app:1", img)
	s := openStore(t, t.TempDir(), Options{})
	im := mustPull(t, s, r.ref("acme/app:1"))
	got, err := s.History(im.ID)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"IMAGE          CREATED   CREATED BY                                      SIZE      COMMENT",
		shortID(im) + "   N/A       /bin/sh -c #(nop) ENV X=\ufffd[31myyyyyyyyyyyyyyy…   0B        a comment",
		"<missing>      N/A       RUN step 0                                      1.5kB     ",
		"",
	}, "\n")
	if string(got) != want {
		t.Errorf("history is\n%s\nwant\n%s", got, want)
	}
}

func TestAgo(t *testing.T) {
	now := time.Unix(2_000_000_000, 0)
	tests := []struct {
		ago  time.Duration
		want string
	}{
		{-time.Hour, "Less than a second ago"},
		{time.Second, "1 second ago"},
		{59 * time.Second, "59 seconds ago"},
		{time.Minute, "About a minute ago"},
		{59 * time.Minute, "59 minutes ago"},
		{time.Hour, "About an hour ago"},
		{47 * time.Hour, "47 hours ago"},
		{3 * 24 * time.Hour, "3 days ago"},
		{3 * 7 * 24 * time.Hour, "3 weeks ago"},
		{100 * 24 * time.Hour, "3 months ago"},
		{800 * 24 * time.Hour, "2 years ago"},
	}
	for _, tt := range tests {
		if got := ago(now.Add(-tt.ago), now); got != tt.want {
			t.Errorf("%v is %q, want %q", tt.ago, got, tt.want)
		}
	}
}

func TestBytesOf(t *testing.T) {
	for n, want := range map[int64]string{0: "0B", 999: "999B", 1500: "1.5kB", 77_812_345: "77.8MB", 1_230_000_000: "1.23GB"} {
		if got := bytesOf(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
