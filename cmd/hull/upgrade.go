package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"hull/engine/monitor"
)

func upgradeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "upgrade [DIR]",
		Short: "put this hull in the place of the one that serves DIR (" + defaultMount + " if not given)",
		Long: `Puts this program in the place of the hull that serves the tree at DIR, while the
containers run: they, their logs, and who is attached to them or executes
something in them notice nothing. The tree is gone for a moment, as when the
daemon is killed: a command that is reading or writing in it may fail.`,
		Args: oneDirectory,
		RunE: func(c *cobra.Command, args []string) error {
			if err := needRoot("upgrade"); err != nil {
				return err
			}
			dir := defaultMount
			if len(args) > 0 {
				dir = args[0]
			}
			return upgrade(c.Context(), dir)
		},
	}
}

// upgrade returns when the mount answers again.
func upgrade(ctx context.Context, dir string) error {
	o := options{}
	var err error
	if o.Program, err = os.Executable(); err != nil {
		return fmt.Errorf("hull cannot find its own program: %w", err)
	}
	program, err := os.Open("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("hull cannot open its own program: %w", err)
	}
	defer program.Close()
	answered := false
	err = onMount(ctx, dir, func(c *monitor.Control) error {
		err := c.Upgrade(ctx, program, o.encode())
		answered = !lost(err)
		return err
	})
	if err == nil && !answered {
		return errEnded
	}
	return err
}
