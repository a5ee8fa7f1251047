package unpack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMade unpacks files that have the owner and mode they shall from their making,
// and others, whatever the umask.
func TestMade(t *testing.T) {
	needRoot(t)
	large := strings.Repeat("0123456789abcdef", smallSize/16) + "!"
	entries := []entry{
		file("open", "1", mode(0o666)), file("closed", "2", mode(0)), file("set", "3", mode(0o6755)),
		file("large", large, mode(0o777)), file("theirs", "4", owner(0, 8), mode(0o2770)),
		folder("d", mode(0o2775), owner(0, 50)), file("d/f", "5", mode(0o660)), file("d/large", large, mode(0o604)), folder("d/e"), file("d/e/f", "6"),
		file("twice", "first"), hard("linked", "twice"), file("twice", "second", mode(0o600)),
	}
	sum := sha256.Sum256([]byte(large))
	size := fmt.Sprintf("%d %x", len(large), sum[:4])
	lines := []string{
		`f open 0666 0:0 ` + stamp + ` "1"`, `f closed 0000 0:0 ` + stamp + ` "2"`, `f set 6755 0:0 ` + stamp + ` "3"`,
		`f large 0777 0:0 ` + stamp + ` ` + size, `f theirs 2770 0:8 ` + stamp + ` "4"`,
		`d d 2775 0:50 ` + stamp, `f d/f 0660 0:0 ` + stamp + ` "5"`, `f d/large 0604 0:0 ` + stamp + ` ` + size,
		`d d/e 0755 0:0 ` + stamp, `f d/e/f 0644 0:0 ` + stamp + ` "6"`,
		`f linked 0644 0:0 ` + stamp + ` "first"`, `f twice 0600 0:0 ` + stamp + ` "second"`,
	}
	for _, umask := range []int{0, 0o077} {
		t.Run(fmt.Sprintf("umask %03o", umask), func(t *testing.T) {
			old := unix.Umask(umask)
			dir, _ := unpacked(t, Options{}, archive(t, entries...))
			unix.Umask(old)
			want(t, dir, lines...)
		})
	}
}

// TestFinisherFails has a small file fail in the finisher: it is the layer's failure,
// and told with the file's name, whatever comes after.
func TestFinisherFails(t *testing.T) {
	needRoot(t)
	var entries []entry
	for i := range 3 * smallCount {
		entries = append(entries, file(fmt.Sprintf("before%d", i), "x"))
	}
	entries = append(entries, file("bad", "x", xattrOf("security.capability", "no capability")))
	for i := range 3 * smallCount {
		entries = append(entries, file(fmt.Sprintf("after%d", i), "x"))
	}
	_, err := Layer(context.Background(), bytes.NewReader(archive(t, entries...)), staging(t), Options{})
	var known *Error
	if !errors.As(err, &known) || known.Kind != Corrupt || known.Path != "bad" {
		t.Fatalf("not told: %v", err)
	}
}
