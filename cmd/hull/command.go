package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// errSaid is a failure whose sentence has been printed already.
var errSaid = errors.New("said")

// runCommand is what people call: hull mount, hull umount, hull doctor …
func runCommand(args []string) int {
	// A terminal that goes away (SIGHUP) ends this process and not the mount: nobody asked for that.
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	root := rootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if !errors.Is(err, errSaid) {
		fmt.Fprintln(os.Stderr, "hull:", err)
	}
	return 1
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "hull",
		Short: "a container engine whose user interface is a file system",
		Long: `hull puts up a directory in which images and containers are directories:
mkdir pulls or runs, rmdir removes, writing to ctl starts and stops, reading
logs follows, and the files in exec/ are commands inside a container.

Start with:  hull mount --background /hull && cat /hull/README`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(wrongFlag)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(mountCommand(), umountCommand(), upgradeCommand(), versionCommand(), doctorCommand(), manCommand())
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "print hull's version",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), "hull", version)
			return err
		},
	}
}

func mountCommand() *cobra.Command {
	o := options{}
	var group, level string
	var background bool
	c := &cobra.Command{
		Use:   "mount [flags] [DIR]",
		Short: "mount the tree at DIR (" + defaultMount + " if not given) and serve it",
		Long: `Mounts hull's tree at DIR and serves it until ctrl-C or SIGTERM, which stop
all containers first; a second one kills them. A terminal that is closed leaves
the mount as it is. With --background it returns when the mount answers; end it
with hull umount.`,
		Args: oneDirectory,
		RunE: func(c *cobra.Command, args []string) error {
			if err := needRoot("mount"); err != nil {
				return err
			}
			o.Dir = defaultMount
			if len(args) > 0 {
				o.Dir = args[0]
			}
			var err error
			if o.Group, err = lookGroup(group); err != nil {
				return err
			}
			if err := o.LogLevel.UnmarshalText([]byte(level)); err != nil {
				return fmt.Errorf("--log-level takes debug, info, warn or error, not %q", level)
			}
			if o.LogFormat != "text" && o.LogFormat != "json" {
				return fmt.Errorf("--log-format takes text or json, not %q", o.LogFormat)
			}
			if o.Stall < time.Second {
				return fmt.Errorf("--stall takes a time of a second or more, such as 30s, not %s", o.Stall)
			}
			if o.Warm < 0 || o.Warm > mostWarm {
				return fmt.Errorf("--warm takes a number from 0 to %d, not %d", mostWarm, o.Warm)
			}
			return mount(c.Context(), o, background)
		},
	}
	f := c.Flags()
	f.StringVar(&o.Store, "store", defaultStore, "keep images, containers, volumes and networks in `DIR`")
	f.StringVar(&o.Run, "run", defaultRun, "keep sockets and what lasts no longer than the machine runs in `DIR`")
	f.StringVar(&group, "group", "", "give `GROUP` (a name or number) the controls that are otherwise root's")
	f.StringVar(&level, "log-level", strings.ToLower(slog.LevelWarn.String()), "log `LEVEL` and above: debug, info, warn or error")
	f.StringVar(&o.LogFormat, "log-format", "text", "log as `FORMAT`: text or json")
	f.DurationVar(&o.ResolveBudget, "resolve-budget", 500*time.Millisecond, "how long mkdir waits for a registry's answer; 0 keeps it off the network")
	f.DurationVar(&o.Stall, "stall", 30*time.Second, "how long a registry may send nothing before it is asked again")
	f.IntVar(&o.Warm, "warm", defaultWarm, "keep `N` processes ready for containers to come, so that a start takes less time, and more for a while after many starts; 0 keeps none")
	f.StringVar(&o.ResolvConf, "resolv-conf", defaultResolvConf, "ask the servers that `FILE` lists for containers' names of the world")
	f.BoolVar(&background, "background", false, "return when the mount answers")
	return c
}

func umountCommand() *cobra.Command {
	var stop, leave bool
	c := &cobra.Command{
		Use:   "umount [flags] [DIR]",
		Short: "unmount the tree at DIR (" + defaultMount + " if not given)",
		Long: `Unmounts hull's tree and ends the hull behind it. While containers run it is
refused: stop them, or say --stop or --leave. Images, containers and their logs
stay in the store for the next mount.`,
		Args: oneDirectory,
		RunE: func(c *cobra.Command, args []string) error {
			if err := needRoot("umount"); err != nil {
				return err
			}
			dir := defaultMount
			if len(args) > 0 {
				dir = args[0]
			}
			if stop && leave {
				return errors.New("--stop and --leave exclude each other")
			}
			return umount(c.Context(), dir, stop, leave)
		},
	}
	f := c.Flags()
	f.BoolVar(&stop, "stop", false, "stop all containers first")
	f.BoolVar(&leave, "leave", false, "leave the containers running, for the next mount")
	return c
}

// needRoot says in one sentence what hull needs.
func needRoot(what string) error {
	if os.Geteuid() == 0 {
		return nil
	}
	return fmt.Errorf("hull %s needs root: try sudo hull %s", what, what)
}
