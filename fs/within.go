package fs

import (
	"context"
	"time"
)

// lockPatience is how long a call may last for which the kernel locks a directory.
const lockPatience = 10 * time.Second

// within bounds a mkdir, rmdir, mv or chown: as long as it lasts, the kernel lets nobody list the directory or look for a
// name in it. What was accepted goes on to its end, whether somebody waits for that or not.
func (t *Tree) within(ctx context.Context, op, object string, f func(context.Context) error) error {
	most := t.Patience
	if most == 0 {
		most = lockPatience
	}
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	unhook := context.AfterFunc(t.ctx, cancel) //nolint:contextcheck // hull ends
	done := make(chan error, 1)
	t.work.Go(func() {
		defer cancel()
		defer unhook()
		done <- f(own)
	})
	late := time.NewTimer(most)
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fail(Interrupted, op, object, "The call was interrupted; what was accepted goes on.")
	case <-late.C:
		return fail(Busy, op, object, "It takes longer than "+most.String()+", and goes on; the directory shows when it is done.")
	}
}
