package volume

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// While the disk hangs under what is done with one volume, everything else answers, and what waits for that volume finds
// it as it then is.
func TestSlowDisk(t *testing.T) {
	for _, c := range []struct {
		point string
		do    func(ctx context.Context, s *Store) error
		gone  bool
	}{
		{PointGiven, func(ctx context.Context, s *Store) error { return s.Chown(ctx, "v", 5, 5) }, false},
		{PointEmptied, func(ctx context.Context, s *Store) error { return s.Remove(ctx, "v", false) }, true},
		{PointRemoved, func(ctx context.Context, s *Store) error { return s.Remove(ctx, "v", true) }, true},
		{PointFilled, func(ctx context.Context, s *Store) error { return s.Fill(ctx, "v", sourceOf(t, "file")) }, false},
	} {
		t.Run(c.point, func(t *testing.T) {
			reached, goOn := make(chan struct{}), make(chan struct{})
			armed := false
			bin := &trash{}
			s, err := Open(Options{Dir: t.TempDir(), Discard: bin.put, Crash: func(p string) {
				if armed && p == c.point {
					armed = false
					close(reached)
					<-goOn
				}
			}})
			check(t, err)
			for _, name := range []string{"v", "other", "third"} {
				_, err := s.Create(New{Name: name})
				check(t, err)
			}
			armed = true
			done := make(chan error, 1)
			go func() { done <- c.do(t.Context(), s) }()
			select {
			case <-reached:
			case <-time.After(time.Minute):
				t.Fatal("it does not come by this point")
			}

			if len(s.List()) != 3 {
				t.Errorf("%d volumes are listed", len(s.List()))
			}
			if _, ok := s.Find("v"); !ok {
				t.Error("it is not there before it is gone")
			}
			if err := s.Spare("v"); err != nil && c.point != PointEmptied && c.point != PointRemoved && c.point != PointFilled {
				t.Error(err)
			}
			s.Use("box", 0, []string{"other", "v"})
			dir, err := s.Take(t.Context(), "other", "box")
			check(t, err)
			dir.Close()
			view, err := s.Look("other")
			check(t, err)
			view.Dir.Close()
			check(t, s.Chown(t.Context(), "other", 7, 7))
			check(t, s.Remove(t.Context(), "third", false))
			_, err = s.Create(New{Name: "fourth"})
			check(t, err)
			late, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := s.Take(late, "v", "box"); err == nil {
				t.Error("a volume is taken with which something is being done")
			}
			ensured := make(chan bool, 1)
			go func() {
				_, made, err := s.Ensure(t.Context(), New{Name: "v"})
				ensured <- made && err == nil
			}()

			close(goOn)
			if err := <-done; err != nil {
				t.Error(err)
			}
			if made := <-ensured; made != c.gone {
				t.Errorf("who wants it has it made: %v", made)
			}
			dir, err = s.Take(t.Context(), "v", "box")
			check(t, err)
			dir.Close()
			wantKind(t, s.Remove(t.Context(), "v", true), Busy)
			again, err := Open(Options{Dir: s.o.Dir, Discard: bin.put})
			check(t, err)
			var names []string
			for _, v := range again.List() {
				names = append(names, v.Name)
			}
			if !slices.Equal(names, []string{"fourth", "other", "v"}) {
				t.Errorf("another store finds %v", names)
			}
		})
	}
}

// A removal that is refused leaves the volume as it was, also for who has come meanwhile.
func TestRemovalRefused(t *testing.T) {
	s, _ := open(t, t.TempDir())
	_, err := s.Create(New{Name: "v"})
	check(t, err)
	check(t, os.WriteFile(filepath.Join(s.o.Dir, "v/data/file"), nil, 0o600))
	wantKind(t, s.Remove(t.Context(), "v", false), NotEmpty)
	_, made, err := s.Ensure(t.Context(), New{Name: "v"})
	if check(t, err); made {
		t.Error("it was made anew")
	}
	dir, err := s.Take(t.Context(), "v", "box")
	check(t, err)
	dir.Close()
	wantKind(t, s.Remove(t.Context(), "v", true), Busy)
}

// sourceOf is a directory with one file.
func sourceOf(t *testing.T, name string) Source {
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	return func(context.Context) (*os.File, error) { return os.Open(dir) }
}
