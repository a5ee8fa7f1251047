package fault

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

type (
	mine   int
	theirs int
)

func TestKindOf(t *testing.T) {
	err := fmt.Errorf("above: %w", New("start", "web", mine(3), "it cannot be read: %w", io.EOF))
	if k := KindOf(err, mine(0)); k != 3 {
		t.Errorf("the kind is %d", k)
	}
	if k := KindOf(err, theirs(7)); k != 7 {
		t.Errorf("another package takes it for its own, of kind %d", k)
	}
	if !errors.Is(err, io.EOF) || err.Error() != "above: it cannot be read: EOF" {
		t.Errorf("%v", err)
	}
	if k := KindOf(nil, mine(1)); k != 1 {
		t.Errorf("no error has the kind %d", k)
	}
}
