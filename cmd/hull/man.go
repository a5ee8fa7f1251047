package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"hull/fs"
	"hull/fs/journal"
)

func manCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "write the man pages hull(1) and hullfs(5) below DIR",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE:   func(c *cobra.Command, args []string) error { return writeManual(c.Root(), args[0]) },
	}
}

// writeManual writes both pages: the commands' from their own help, the
// tree's from the table that defines it.
func writeManual(root *cobra.Command, dir string) error {
	for name, page := range map[string]string{"man1/hull.1": commandPage(root), "man5/hullfs.5": treePage()} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("the man page %s cannot be written: %w", path, err)
		}
		if err := os.WriteFile(path, []byte(page), 0o644); err != nil { //nolint:gosec // man pages are for everybody
			return fmt.Errorf("the man page %s cannot be written: %w", path, err)
		}
	}
	return nil
}

// roff builds a page for man(7).
type roff struct{ strings.Builder }

func (r *roff) title(name, section, summary string) {
	fmt.Fprintf(r, ".TH %s %s \"\" \"hull %s\"\n.SH NAME\n%s \\- %s\n", strings.ToUpper(name), section, version, name, escape(summary))
}

func (r *roff) section(name string) { fmt.Fprintf(r, ".SH %s\n", strings.ToUpper(name)) }

func (r *roff) text(s string) {
	for _, paragraph := range strings.Split(s, "\n\n") {
		fmt.Fprintf(r, ".PP\n%s\n", escape(paragraph))
	}
}

func (r *roff) item(term, text string) {
	fmt.Fprintf(r, ".TP\n.B %s\n%s\n", escape(term), escape(text))
}

// escape keeps text from being taken for requests: man(7), "Safe subset".
func escape(s string) string {
	s = strings.ReplaceAll(s, `\`, `\e`)
	s = strings.ReplaceAll(s, "-", `\-`)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}

func commandPage(root *cobra.Command) string {
	var r roff
	r.title("hull", "1", root.Short)
	r.section("synopsis")
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() && c.Name() != "help" {
			r.item(c.UseLine(), c.Short)
		}
	}
	r.section("description")
	r.text(root.Long)
	for _, c := range root.Commands() {
		if !c.IsAvailableCommand() || c.Name() == "help" {
			continue
		}
		r.section("hull " + c.Name())
		if c.Long != "" {
			r.text(c.Long)
		} else {
			r.text(strings.ToUpper(c.Short[:1]) + c.Short[1:] + ".")
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			kind, usage := pflag.UnquoteUsage(f)
			term := "--" + f.Name
			if kind != "" {
				term += " " + kind
			}
			if f.DefValue != "" && f.DefValue != "false" {
				usage += " (" + f.DefValue + " if not given)"
			}
			r.item(term, usage)
		})
	}
	servicePage(&r)
	r.section("exit status")
	r.text("0 on success, 1 on failure, with the reason on the standard error. Executed files of the tree exit with the status of the command they ran; 125 if hull failed or was used wrongly, 126 if the command cannot be executed, 127 if it does not exist, 128+n if signal n ended it. Those that run no command (pull, prune, load, save, export, follow, login, search, tags, and an image's wait) exit with 1 if they fail or are used wrongly.")
	r.section("see also")
	r.text("hullfs(5)")
	return r.String()
}

// servicePage is about those who mount hull when the machine starts.
func servicePage(r *roff) {
	r.section("fstab")
	r.text("A line of /etc/fstab mounts the tree, by mount(8) and when the machine starts:")
	r.text("hull " + defaultMount + " fuse.hull defaults,group=docker 0 0")
	r.text("Its options are the flags of hull mount without their dashes, all with a value: " + strings.Join(flagNames(mountCommand().Flags()), " ") + ". Those of mount(8) that are true of hull anyway and those for systemd (x-systemd.requires=…) pass; any other is refused. A value with a comma stands in double quotes. The source is not looked at.")
	r.text("mount(8) finds hull by the link /sbin/mount.fuse.hull, which make install makes; without it mount(8) needs the package fuse3, and hull in /usr/local/bin or /usr/bin. It ends by hull umount: what umount(8) unmounts is back within a second. A shutdown ends hull by its signal, which stops the containers. Either fstab or the unit mounts hull, not both.")
	r.section("systemd")
	r.text("The unit hull.service runs hull mount. systemctl stop stops the containers and unmounts; so does restart, and then those start again whose restart policy says so: systemd cannot tell the one from the other. systemctl reload is hull upgrade: it puts an installed newer hull in the place of the one that runs, and no container notices. For a stop that leaves the containers running to the next start, systemctl edit hull and write: [Service], ExecStop=hull umount --leave.")
	r.text("hull tells systemd when the tree is there (READY=1), that it goes (STOPPING=1), and, as often as WatchdogSec wants, that a file of the tree could be read. A daemon that has not answered for half that time is killed, and the monitor starts another; only if hull cannot do that either systemd ends the main process, which is started again and goes on with what is there. Containers are in groups of their own and not in the unit's: what systemd does to the unit does not touch them.")
}

func treePage() string {
	var r roff
	r.title("hullfs", "5", "the tree that hull mounts")
	r.section("description")
	r.text("What every file of the tree is, with its mode when --group is not used. NAME, REF, ID and COMMAND stand for many names; README in the mounted tree says how to use it.")
	r.section("files")
	for _, f := range fs.Rows(containers{}.Settings()) {
		r.item(fmt.Sprintf("%s (%s, %04o)", f.Path, f.Kind, f.Mode), f.Summary)
		for _, c := range f.Commands {
			fmt.Fprintf(&r, ".br\n%s\n", escape(c))
		}
	}
	r.section("events")
	r.text("events has one JSON object a line. Root and the group of --group see every line, anybody else those of what belongs to them and of what they asked for. Fields:")
	for _, f := range journal.Fields() {
		r.item(f.Name, f.Summary)
	}
	r.text("Causes:")
	for _, c := range journal.Causes() {
		r.item(c.Name, c.Summary)
	}
	r.text("Types and actions, with their attributes:")
	for _, k := range journal.Kinds() {
		r.item(strings.TrimSpace(k.Type+" "+k.Action+" "+strings.Join(k.Attributes, " ")), k.Summary)
	}
	r.section("see also")
	r.text("hull(1)")
	return r.String()
}
