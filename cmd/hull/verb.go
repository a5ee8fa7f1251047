package main

import (
	"hull/cmd/hull/verb"
	"hull/engine"
)

// runVerb is what an executed file of the tree runs.
func runVerb(args []string) int { return verb.Main(args, runFlags) }

// runLine is what stands between an opened file of the tree and its session.
func runLine() int { return verb.Line(runFlags) }

// runFlags are run's flags: a row for each setting that has one, and those
// that are no settings.
func runFlags() []verb.Flag {
	flags := []verb.Flag{
		{Name: "detach", Short: "d", Setting: "detach", Kind: verb.Switch, Summary: "return at once and print the container's ID"},
		{Name: "name", Setting: "name", Summary: "the container's name; one is made up if there is none"},
		{Name: "cidfile", Setting: "cidfile", Kind: verb.OwnFile, Summary: "write the container's ID to a file, which must not be there yet"},
		{Name: "pull", Setting: "pull", Summary: "pull the image if it is missing, always, or never"},
		{Name: "quiet", Short: "q", Setting: "quiet", Kind: verb.Switch, Summary: "do not show how pulling the image goes"},
		{Name: "env-file", Setting: "env", Kind: verb.EnvFile, Repeat: true, Summary: "environment variables from a file"},
		{Name: "detach-keys", Setting: "detach-keys", Summary: "the keys that leave its terminal; ctrl-p,ctrl-q if not given"},
	}
	flags = append(flags, verb.Flag{
		Name: "no-healthcheck", Setting: "no-healthcheck", Kind: verb.Switch, Summary: "do not look at its health, whatever the image says",
	}, verb.Flag{
		Name: "security-opt", Kind: verb.Security, Repeat: true,
		Summary: "seccomp=FILE, a profile; seccomp=unconfined; no-new-privileges=false; label=disable and apparmor=unconfined, as it is anyway",
	}, verb.Flag{
		Name: "log-opt", Kind: verb.Log, Repeat: true, Summary: "max-size=20m, most of each file of its log; max-file=5, how many are kept",
	})
	flags = append(flags, verb.Flag{
		Name: "log-driver", Kind: verb.LogDriver, Summary: "json-file or local: files, as it is anyway",
	}, verb.Flag{
		Name: "label-file", Setting: "labels", Kind: verb.LabelFile, Repeat: true, Summary: "labels from a file",
	}, verb.Flag{
		Name: "attach", Short: "a", Setting: "attach", Repeat: true, Summary: "stdout and stderr, and stdin with -i: as it is anyway",
	}, verb.Flag{
		Name: "sig-proxy", Setting: "sig-proxy", Kind: verb.Switch, Summary: "hand signals on to a container without a terminal; true if not given",
	})
	flags = append(flags, networkFlags()...)
	for _, s := range engine.Settings() {
		if s.Flag == "" {
			continue
		}
		f := verb.Flag{Name: s.Flag, Short: s.Short, Setting: s.Name, Repeat: s.Type.Repeats(), Summary: s.Summary}
		switch {
		case s.Type == engine.Bool:
			f.Kind = verb.Switch
		case s.Name == "env":
			f.Kind = verb.Env
		case s.Name == "mounts":
			f.Kind = verb.Mount
		}
		flags = append(flags, f)
		if s.Also != "" {
			f.Name, f.Short = s.Also, ""
			flags = append(flags, f)
		}
	}
	return flags
}

// networkFlags are docker's for what hull has within the settings network and dns.
func networkFlags() []verb.Flag {
	const alias = "another name of it on its first network"
	return []verb.Flag{
		{Name: "ip", Setting: "ip", Summary: "its address on its first network"},
		{Name: "ip6", Setting: "ip6", Summary: "its IPv6 address on its first network"},
		{Name: "mac-address", Setting: "mac-address", Summary: "its MAC address on its first network"},
		{Name: "network-alias", Setting: "network-alias", Repeat: true, Summary: alias},
		{Name: "net-alias", Setting: "network-alias", Repeat: true, Summary: alias},
		{Name: "dns-search", Setting: "dns", Repeat: true, Prefix: "search ", Summary: "a domain in which short names are looked for; . is none"},
		{Name: "dns-option", Setting: "dns", Repeat: true, Prefix: "options ", Summary: "an option of resolv.conf(5), as ndots:2"},
		{Name: "dns-opt", Setting: "dns", Repeat: true, Prefix: "options ", Summary: "the same"},
	}
}
