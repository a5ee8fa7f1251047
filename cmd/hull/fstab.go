package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
)

// How mount(8) calls hull for a line of fstab:
//
//   - by the link /sbin/mount.fuse.hull, which `make install` makes, with SOURCE DIR [-sfnv] [-o OPTIONS] [-t TYPE];
//   - without it by /sbin/mount.fuse of the package fuse3, which executes `hull SOURCE DIR -o OPTIONS`.
const (
	mountHelper = "mount.fuse.hull"
	wrongUse    = 1  // mount(8)'s exit statuses
	mountFailed = 32 //
	systemPath  = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// calledByMount tells whether hull is called by mount(8): by the link, or by /sbin/mount.fuse, which always gives
// options and is told from people by the source, which is no command. (For umount(8) there can be no such link: it asks
// statfs for the type, which is just fuse.)
func calledByMount(args []string) bool {
	if len(args) == 0 {
		return false
	}
	if filepath.Base(args[0]) == mountHelper {
		return true
	}
	if len(args) != 5 || !filepath.IsAbs(args[2]) || args[3] != "-o" {
		return false
	}
	for _, c := range rootCommand().Commands() {
		if c.Name() == args[1] {
			return false
		}
	}
	return true
}

func runHelper(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	if os.Getenv("PATH") == "" { // mount(8) takes it away, and a login's helper is looked for there
		_ = os.Setenv("PATH", systemPath)
	}
	status, err := helpMount(ctx, args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "hull:", err)
		return status
	}
	return 0
}

// helpMount does what a line of fstab says. SOURCE says nothing: mount(8) makes it a path where there is such a file.
func helpMount(ctx context.Context, args []string) (int, error) {
	f := pflag.NewFlagSet(mountHelper, pflag.ContinueOnError)
	list := f.StringP("options", "o", "", "")
	sloppy := f.BoolP("sloppy", "s", false, "")
	fake := f.BoolP("fake", "f", false, "")
	f.StringP("type", "t", "", "")
	f.BoolP("no-mtab", "n", false, "")
	f.BoolP("verbose", "v", false, "")
	f.Usage = func() {}
	if err := f.Parse(args); err != nil {
		return wrongUse, fmt.Errorf("%w; mount(8) calls hull with SOURCE DIR -o OPTIONS", err)
	}
	if f.NArg() != 2 {
		return wrongUse, fmt.Errorf("mount(8) calls hull with SOURCE DIR -o OPTIONS, not with %q", args)
	}
	c := mountCommand() //nolint:contextcheck // SetContext gives it
	if err := fstabOptions(*list, c.Flags(), *sloppy); err != nil {
		return wrongUse, err
	}
	if *fake {
		return 0, nil
	}
	o := options{Dir: f.Arg(1), Run: c.Flag("run").Value.String()}
	if err := o.absolute(); err == nil && servedOn(o) { // mount -a does not see that, as the source is another there
		return 0, nil
	}
	if err := c.Flags().Set("background", "true"); err != nil {
		return wrongUse, err
	}
	c.SetContext(ctx)
	return mountFailed, c.RunE(c, []string{o.Dir})
}

// takenOptions are those of mount(8) that are true of the tree anyway, or are for others than hull: whether hull looks
// at them or not.
const takenOptions = " defaults rw auto noauto nofail _netdev user nouser users owner group exec async atime noatime " +
	"diratime nodiratime relatime norelatime strictatime nostrictatime lazytime nolazytime dev nodev suid nosuid silent loud " +
	"allow_other default_permissions "

// refusedOptions are those that would be a lie.
var refusedOptions = map[string]string{
	"ro":           "the tree is written to by those who use it; chmod its files, or let nobody in",
	"noexec":       "its executables are there to be executed",
	"remount":      "what hull was mounted with stays so; umount it and mount it again",
	"bind":         "that is for another line, with the type none",
	"rbind":        "that is for another line, with the type none",
	"allow_root":   "everybody may look at the tree; chmod says who may do what",
	"sync":         "what is told is kept as the manual says",
	"background":   "that is how mount(8) mounts anyway",
	"nonempty":     "what lies in the directory is hidden without a word",
	"user_id":      "the tree is root's; group=GROUP gives others the controls",
	"group_id":     "group=GROUP gives others the controls",
	"subtype":      "the type is always fuse.hull",
	"fsname":       "the source is always the run directory",
	"auto_unmount": "hull is started again when it dies",
}

// fstabOptions sets the flags of `hull mount` that the options of a line name: store=/data/hull is --store /data/hull.
func fstabOptions(list string, flags *pflag.FlagSet, sloppy bool) error {
	for _, option := range splitOptions(list) {
		name, value, given := strings.Cut(option, "=")
		if reason, refused := refusedOptions[name]; refused {
			return fmt.Errorf("the option %s cannot be had: %s", name, reason)
		}
		if f := flags.Lookup(name); f != nil && (given || name != "group") {
			if !given {
				return fmt.Errorf("the option %s needs a value: %s=…", name, name)
			}
			if err := flags.Set(name, strings.Trim(value, `"`)); err != nil {
				return fmt.Errorf("the option %s cannot be %q: %w", name, value, err)
			}
			continue
		}
		if !passesBy(name) && !sloppy {
			return fmt.Errorf("there is no option %s; hull's are %s", name, strings.Join(flagNames(flags), " "))
		}
	}
	return nil
}

// passesBy tells that an option is for mount(8), systemd or nobody.
func passesBy(name string) bool {
	return strings.Contains(takenOptions, " "+name+" ") || name == "" || name == "comment" || name == "uhelper" || name == "helper" ||
		strings.HasPrefix(name, "x-") || strings.HasPrefix(name, "X-")
}

// splitOptions divides at commas that are not within quotes.
func splitOptions(list string) []string {
	quoted := false
	return strings.FieldsFunc(list, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ',' && !quoted
	})
}

func flagNames(flags *pflag.FlagSet) []string {
	var names []string
	flags.VisitAll(func(f *pflag.Flag) {
		if _, refused := refusedOptions[f.Name]; !refused {
			names = append(names, f.Name+"=")
		}
	})
	return names
}
