package engine

import "testing"

func TestMailbox(t *testing.T) {
	m := newMailbox[int]()
	for i := range 3 {
		if !m.put(i) {
			t.Fatal("refused")
		}
	}
	for i := range 3 {
		<-m.ready
		if got, ok := m.take(); !ok || got != i {
			t.Fatalf("%d, %v", got, ok)
		}
	}
	if _, ok := m.take(); ok {
		t.Error("something was left")
	}
	m.close()
	if m.put(1) {
		t.Error("a closed mailbox took something")
	}
}
