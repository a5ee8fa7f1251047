package registry

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// TestBlobWithoutRanges has a server that sends everything whatever it is asked.
func TestBlobWithoutRanges(t *testing.T) {
	f := newFake(t)
	body := noise(5, 50_000)
	l := store(t, f, body)
	f.fail(func(w http.ResponseWriter, _ *http.Request) bool {
		_, _ = w.Write(body)
		return true
	})
	var got bytes.Buffer
	if err := client(t, Options{}).Blob(t.Context(), f.ref(t, "app:1"), l, &got, 20_000); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), body[20_000:]) {
		t.Error("other bytes")
	}
}

// TestBlobOddAnswers has answers to "bytes=10-99" that must not be taken for it.
func TestBlobOddAnswers(t *testing.T) {
	f := newFake(t)
	body := noise(6, 100)
	l := store(t, f, body)
	c := client(t, Options{Retries: 2})
	for name, a := range map[string]struct {
		status int
		span   string
		body   []byte
		kind   Kind // 0: it is right
	}{
		"right":           {206, "bytes 10-99/100", body[10:], 0},
		"unknown total":   {206, "bytes 10-99/*", body[10:], 0},
		"no range":        {206, "", body[10:], Protocol},
		"earlier":         {206, "bytes 9-99/100", body[9:], Protocol},
		"later":           {206, "bytes 11-99/100", body[11:], Protocol},
		"another total":   {206, "bytes 10-99/101", body[10:], Corrupt},
		"beyond":          {206, "bytes 10-100/*", body[9:], Protocol},
		"backwards":       {206, "bytes 10-9/100", nil, Protocol},
		"rubbish":         {206, "bytes ten-99/100", body[10:], Protocol},
		"signs":           {206, "bytes +10-99/100", body[10:], Protocol},
		"multipart":       {206, "items 10-99/100", body[10:], Protocol},
		"length differs":  {206, "bytes 10-99/100", body[11:], Protocol},
		"whole, shorter":  {200, "", body[10:], Corrupt},
		"not satisfiable": {416, "bytes */50", nil, Corrupt},
		"short for ever":  {206, "bytes 10-10/100", body[10:11], Protocol}, // then 11 is asked for and 10 comes
		"empty":           {204, "", nil, Protocol},
		"gone":            {404, "", nil, NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			f.fail(func(w http.ResponseWriter, _ *http.Request) bool {
				if a.span != "" {
					w.Header().Set("Content-Range", a.span)
				}
				if a.body != nil {
					w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
				}
				w.WriteHeader(a.status)
				_, _ = w.Write(a.body)
				return true
			})
			var got bytes.Buffer
			err := c.Blob(t.Context(), f.ref(t, "app:1"), l, &got, 10)
			if a.kind != 0 {
				failure(t, err, a.kind)
				return
			}
			if err != nil || !bytes.Equal(got.Bytes(), body[10:]) {
				t.Errorf("got %d bytes, %v", got.Len(), err)
			}
		})
	}
}

// TestBlobShorterRanges has a server that sends 40 bytes at most for a request.
func TestBlobShorterRanges(t *testing.T) {
	f := newFake(t)
	body := noise(7, 100)
	l := store(t, f, body)
	f.fail(func(w http.ResponseWriter, r *http.Request) bool {
		var first, last int
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last); err != nil {
			return false
		}
		last = min(last, first+39)
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/100", first, last))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(body[first : last+1])
		return true
	})
	var got bytes.Buffer
	if err := client(t, Options{}).Blob(t.Context(), f.ref(t, "app:1"), l, &got, 1); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), body[1:]) {
		t.Error("other bytes")
	}
}

func TestParseContentRange(t *testing.T) {
	for s, want := range map[string][3]int64{
		"bytes 0-0/1": {0, 0, 1}, "bytes 5-9/100": {5, 9, 100}, "bytes 5-9/*": {5, 9, -1},
		"bytes 0-9223372036854775806/9223372036854775807": {0, 1<<63 - 2, 1<<63 - 1},
	} {
		first, last, total, ok := parseContentRange(s)
		if !ok || [3]int64{first, last, total} != want {
			t.Errorf("%q: %d-%d/%d, %v", s, first, last, total, ok)
		}
	}
	for _, s := range []string{
		"", "bytes", "bytes ", "bytes */100", "bytes 5-9", "bytes 5/9", "bytes 9-5/100", "bytes 5-100/100",
		"bytes -5-9/100", "bytes 5-9/-1", "bytes 5-9/99999999999999999999", "bytes 5-9/1 00", "bytes=5-9/100",
		"Bytes 5-9/100", "bytes 0x5-9/100", "bytes 5_0-90/100", "bytes  5-9/100", strings.Repeat("bytes ", 9),
	} {
		if _, _, _, ok := parseContentRange(s); ok {
			t.Errorf("%q is accepted", s)
		}
	}
}
