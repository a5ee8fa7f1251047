package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// Quiet is waited for from the last stir on, and not for ever.
func TestQuiet(t *testing.T) {
	for name, c := range map[string]struct {
		stirs int // one each 30 ms, after the first
		want  time.Duration
	}{
		"none since":     {0, 50 * time.Millisecond},
		"some":           {3, 140 * time.Millisecond},
		"never an end":   {100, 500 * time.Millisecond},
		"hurry":          {0, 20 * time.Millisecond},
		"an engine ends": {0, 20 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := quiet{after: 50 * time.Millisecond, most: 500 * time.Millisecond}
				q.stir()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				hurry := make(chan struct{}, 1)
				go func() {
					for range c.stirs {
						time.Sleep(30 * time.Millisecond)
						q.stir()
					}
				}()
				switch name {
				case "hurry":
					time.AfterFunc(c.want, func() { hurry <- struct{}{} })
				case "an engine ends":
					time.AfterFunc(c.want, cancel)
				}
				began := time.Now()
				hurried := q.wait(ctx, hurry)
				if took := time.Since(began); took != c.want || hurried != (name == "hurry") {
					t.Errorf("it took %v and says %v, want %v", took, hurried, c.want)
				}
				if !hurried && ctx.Err() == nil && q.wait(ctx, hurry) && c.stirs == 0 {
					t.Error("what is quiet already is waited for")
				}
				time.Sleep(time.Minute) // the stirs end in the bubble
			})
		})
	}
}
