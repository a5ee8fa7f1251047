package engine

import (
	"slices"
	"strings"
)

// Setting is one row of the table of a container's settings. The files of config/, run's flags, the json
// document, the man page and the permission check all come from it; adding a setting is adding a row here and using
// its value in process.go.
type Setting struct {
	Name    string // of the file in config/
	Type    Type
	Default string // hull's own, in words; an image's value comes before it
	// FromImage is set where an empty setting stands for the image's value.
	FromImage bool
	Live      bool // a change acts at once, else at the next start
	// Once settings cannot change after the first start.
	Once bool
	// Root tells of a parsed value whether only a container that root owns may have it; nil: anybody's may have any.
	Root    func(value any) bool
	Flag    string // run's long flag, empty: none
	Short   string // run's one-letter flag, empty: none
	Also    string // another long flag of run's, whose values are the setting's too
	JSON    string // name in the json document
	Summary string // one line, for the man page and the README
	parse   func(value string) (any, error)
}

// Type is how a setting's value is written, and how it looks in the json document.
type Type string

// The types.
const (
	Reference Type = "reference" // an image's name: one line, a string in json
	Text      Type = "text"      // one line, a string in json
	Bool      Type = "bool"      // true or false
	Number    Type = "number"    // a whole number
	Decimal   Type = "decimal"   // a number like 1.5
	Size      Type = "size"      // bytes, with a unit as docker has them (512m); a number in json
	Words     Type = "words"     // a shell-quoted line, or a JSON array of strings; an array in json
	Lines     Type = "lines"     // one item a line, or a JSON array of strings; an array in json
	Document  Type = "document"  // a word, or a JSON object of several lines; either in json
)

// Repeats tells whether run's flag may be given several times.
func (t Type) Repeats() bool { return t == Lines }

// Settings answers the table, in the order in which it is shown. The caller may change its copy.
func Settings() []Setting { return slices.Clone(table()) }

// FindSetting answers the row with a name.
func FindSetting(name string) (Setting, bool) {
	for _, s := range table() {
		if s.Name == name {
			return s, true
		}
	}
	return Setting{}, false
}

func table() []Setting {
	return []Setting{
		{
			Name: "image", Type: Reference, Once: true, JSON: "image", parse: parseReference,
			Summary: "the image the container is made from, by name or ID",
		},
		{
			Name: "platform", Type: Text, Default: "the one that the image's name has here", Once: true, Flag: "platform", JSON: "platform",
			parse: parsePlatform, Summary: "which platform's image of that name it is made from, as linux/arm64",
		},
		{
			Name: "command", Type: Words, FromImage: true, JSON: "command", parse: parseWords,
			Summary: "the command, or the arguments of the entrypoint if there is one",
		},
		{
			Name: "entrypoint", Type: Words, FromImage: true, Flag: "entrypoint", JSON: "entrypoint", parse: parseWords,
			Summary: "the program that gets the command as its arguments; setting it drops the image's command",
		},
		{
			Name: "env", Type: Lines, FromImage: true, Flag: "env", Short: "e", JSON: "env", parse: parseEnv,
			Summary: "environment variables, NAME=VALUE each, added to the image's; NAME alone takes one away",
		},
		{
			Name: "workdir", Type: Text, Default: "/", FromImage: true, Flag: "workdir", Short: "w", JSON: "workdir",
			parse: parseWorkdir, Summary: "the working directory, made if it is missing",
		},
		{
			Name: "user", Type: Text, Default: "root", FromImage: true, Flag: "user", Short: "u", JSON: "user",
			parse: parseUser, Summary: "the user, by name or number, and :GROUP if not the user's own",
		},
		{
			Name: "groups", Type: Lines, Flag: "group-add", JSON: "groups", parse: parseGroups,
			Summary: "more groups that the user is in, by name or number",
		},
		{
			Name: "hostname", Type: Text, Default: "the first 12 digits of the container's ID", Flag: "hostname", Short: "h",
			JSON: "hostname", parse: parseHostname, Summary: "the host name inside",
		},
		{
			Name: "tty", Type: Bool, Default: "false", Flag: "tty", Short: "t", JSON: "tty", parse: parseBool,
			Summary: "give the command a terminal",
		},
		{
			Name: "stdin", Type: Bool, Default: "false", Flag: "interactive", Short: "i", JSON: "stdin", parse: parseBool,
			Summary: "keep the command's input open",
		},
		{
			Name: "network", Type: Lines, Default: "default", Flag: "network", Also: "net", JSON: "network", parse: parseNetworks, Root: onHost,
			Summary: "its networks, NAME[:alias=NAME,ip=ADDRESS,ip6=ADDRESS,mac-address=MAC] each; or none; or host, which is root's only; or container:NAME for that one's",
		},
		{
			Name: "ports", Type: Lines, Flag: "publish", Short: "p", JSON: "ports", parse: parsePorts,
			Summary: "ports published on the host, [[ADDRESS:]HOSTPORT:]PORT[/udp] each, on 127.0.0.1 if there is no address; 0 is any free one; below 1024 for root's only",
		},
		{
			Name: "publish_all", Type: Bool, Default: "false", Flag: "publish-all", Short: "P", JSON: "publish_all", parse: parseBool,
			Summary: "publish every port that the image names (EXPOSE), or expose does, each on a free one of 127.0.0.1",
		},
		{
			Name: "expose", Type: Lines, FromImage: true, Flag: "expose", JSON: "expose", parse: parseExposed,
			Summary: "ports that it serves beside those that the image names, PORT[-PORT][/udp] each: shown, and published with publish_all",
		},
		{
			Name: "memory", Type: Size, Default: "no limit", Live: true, Flag: "memory", Short: "m", JSON: "memory",
			parse: parseMemory, Summary: "most memory, as 512m; 0 is no limit",
		},
		{
			Name: "memory_swap", Type: Size, Default: "twice memory", Live: true, Flag: "memory-swap", JSON: "memory_swap",
			parse: parseMemorySwap, Summary: "most memory and swap together; -1 is any swap, as much as memory is none",
		},
		{
			Name: "cpus", Type: Decimal, Default: "no limit", Live: true, Flag: "cpus", JSON: "cpus", parse: parseCPUs,
			Summary: "how many processors' time, as 1.5; 0 is no limit",
		},
		{
			Name: "cpu_shares", Type: Number, Default: "1024", Live: true, Flag: "cpu-shares", Short: "c", JSON: "cpu_shares",
			parse: parseShares, Summary: "weight against other containers when processors are short, 2 to 262144",
		},
		{
			Name: "pids", Type: Number, Default: "2048", Live: true, Flag: "pids-limit", JSON: "pids", parse: parsePids,
			Summary: "most processes and threads; -1 is no limit",
		},
		{
			Name: "ulimits", Type: Lines, Default: "the machine's", Flag: "ulimit", JSON: "ulimits", parse: parseUlimits, Root: aboveOwn,
			Summary: "limits of each process, as nofile=1024 or nofile=1024:2048 (soft:hard)",
		},
		{
			Name: "mounts", Type: Lines, Flag: "volume", Short: "v", Also: "mount", JSON: "mounts", parse: parseMounts,
			Summary: "volumes and the host's files in the container, SOURCE:TARGET[:ro] each, or as docker's --mount",
		},
		{
			Name: "tmpfs", Type: Lines, Flag: "tmpfs", JSON: "tmpfs", parse: parseTmpfs,
			Summary: "empty file systems in memory, TARGET[:size=64m,mode=1777,exec…] each",
		},
		{
			Name: "read_only", Type: Bool, Default: "false", Flag: "read-only", JSON: "read_only", parse: parseBool,
			Summary: "nothing but what is mounted in it can be written to",
		},
		{
			Name: "shm_size", Type: Size, Default: "64m", Flag: "shm-size", JSON: "shm_size", parse: parseShm,
			Summary: "how much /dev/shm holds, as 256m",
		},
		{
			Name: "stop_signal", Type: Text, Default: "SIGTERM", FromImage: true, Live: true, Flag: "stop-signal",
			JSON: "stop_signal", parse: parseSignalSetting, Summary: "the signal that asks the command to end",
		},
		{
			Name: "stop_timeout", Type: Number, Default: "10", Live: true, Flag: "stop-timeout", JSON: "stop_timeout",
			parse: parseSeconds, Summary: "seconds between the stop signal and SIGKILL; -1 waits for ever",
		},
		{
			Name: "init", Type: Bool, Default: "false", Flag: "init", JSON: "init", parse: parseBool,
			Summary: "run a small init as process 1, which passes signals on to the command and reaps what it leaves behind",
		},
		{
			Name: "cap_add", Type: Lines, Flag: "cap-add", JSON: "cap_add", parse: parseCapabilities, Root: addsCapabilities,
			Summary: "capabilities beside the default ones, a name each, or ALL; others than the default ones are root's to give",
		},
		{
			Name: "cap_drop", Type: Lines, Flag: "cap-drop", JSON: "cap_drop", parse: parseCapabilities,
			Summary: "default capabilities to do without, a name each, or ALL",
		},
		{
			Name: "no_new_privileges", Type: Bool, Default: "true, unless it is privileged", JSON: "no_new_privileges",
			parse: parseBool, Summary: "keep set-user-ID programs and the like from giving anybody more rights; false: let sudo work inside",
		},
		{
			Name: "privileged", Type: Bool, Default: "false", Flag: "privileged", JSON: "privileged", parse: parseBool,
			Root: isTrue, Summary: "no isolation from the kernel to speak of: the host's users, all capabilities and devices, nothing hidden, no filter of system calls; root's only",
		},
		{
			Name: "devices", Type: Lines, Flag: "device", JSON: "devices", parse: parseDevices, Root: anyValue,
			Summary: "devices of the host, PATH[:PATH INSIDE][:rwm] each, or a directory of them; root's only",
		},
		{
			Name: "userns", Type: Text, Default: "a range of user ids of its own", Once: true, Flag: "userns", JSON: "userns",
			parse: parseUserns, Root: anyValue, Summary: "host: the container's users are the host's, root included; root's only",
		},
		{
			Name: "seccomp", Type: Document, Default: "Docker's profile", JSON: "seccomp", parse: parseProfile, Root: anyValue,
			Summary: "a profile of system calls, as Docker's JSON (cp FILE config/seccomp), or unconfined; root's only",
		},
		{
			Name: "sysctls", Type: Lines, Flag: "sysctl", JSON: "sysctls", parse: parseSysctls, Root: setsKernel,
			Summary: "parameters of the container's own kernel namespaces, NAME=VALUE each; others than net.… are root's to set",
		},
		{
			Name: "labels", Type: Lines, FromImage: true, Live: true, Flag: "label", Short: "l", JSON: "labels",
			parse: parseLabels, Summary: "labels, NAME=VALUE each, added to the image's",
		},
		{
			Name: "dns", Type: Lines, Default: "the host's", Flag: "dns", JSON: "dns", parse: parseDNS,
			Summary: "who is asked for names of others than containers: addresses of servers, search DOMAIN, options OPTION (as ndots:2), a line each",
		},
		{
			Name: "extra_hosts", Type: Lines, Flag: "add-host", JSON: "extra_hosts", parse: parseExtraHosts,
			Summary: "names of hosts in /etc/hosts, NAME:ADDRESS each; host-gateway is the address of this machine",
		},
		{
			Name: "log_max", Type: Size, Default: "20m", Live: true, JSON: "log_max", parse: parseLogMax,
			Summary: "most bytes of each file of its log, times included (run --log-opt max-size=20m); -1 is no limit",
		},
		{
			Name: "log_files", Type: Number, Default: "5", Live: true, JSON: "log_files", parse: parseLogFiles,
			Summary: "how many such files are kept (run --log-opt max-file=5); the oldest goes when one more is begun",
		},
		{
			Name: "health_cmd", Type: Text, FromImage: true, Flag: "health-cmd", JSON: "health_cmd", parse: parseHealthCommand,
			Summary: "what is executed from time to time to see whether it is well: a line for sh, a JSON array of words, or none",
		},
		{
			Name: "health_interval", Type: Text, Default: "30s", FromImage: true, Flag: "health-interval", JSON: "health_interval",
			parse: parseSpan, Summary: "the time between two looks at its health",
		},
		{
			Name: "health_timeout", Type: Text, Default: "30s", FromImage: true, Flag: "health-timeout", JSON: "health_timeout",
			parse: parseSpan, Summary: "how long a look at its health may take",
		},
		{
			Name: "health_retries", Type: Number, Default: "3", FromImage: true, Flag: "health-retries", JSON: "health_retries",
			parse: parseRetries, Summary: "how many looks in a row have to find it unwell",
		},
		{
			Name: "health_start", Type: Text, Default: "0s", FromImage: true, Flag: "health-start-period", JSON: "health_start",
			parse: parseSpan, Summary: "how long it may be unwell after a start",
		},
		{
			Name: "restart", Type: Text, Default: "no", Live: true, Flag: "restart", JSON: "restart", parse: parseRestart,
			Summary: "whether it is started again when it has ended: no, on-failure[:TIMES], always, or unless-stopped",
		},
		{
			Name: "auto_remove", Type: Bool, Default: "false", Live: true, Flag: "rm", JSON: "auto_remove", parse: parseBool,
			Summary: "remove the container when it has ended",
		},
	}
}

// FromFlag makes a setting's value of what run's flag was given: the last value, or all of them for a list.
// A word of --entrypoint is one word, whatever is in it.
func (s Setting) FromFlag(values []string) string {
	if len(values) == 0 {
		return ""
	}
	switch s.Type {
	case Lines:
		return formatList(values)
	case Words:
		return FormatWords(values[len(values)-1:])
	default:
		return values[len(values)-1]
	}
}

// Parse checks a value and answers it typed: string, bool, int64, float64 or []string; a document is a string too. An empty value is nil.
// Its errors are *Error with Kind Invalid.
func (s Setting) Parse(value string) (any, error) {
	v, err := s.parsed(value)
	if err != nil {
		return nil, s.invalid(err)
	}
	return v, nil
}

// Check tells what is wrong with a value, in words that may follow a name of the setting and a colon.
func (s Setting) Check(value string) error {
	_, err := s.parsed(value)
	return err
}

func (s Setting) parsed(value string) (any, error) {
	if err := plausible(value); err != nil {
		return nil, err
	}
	if strings.TrimSpace(value) == "" {
		return nil, nil
	}
	return s.parse(value)
}

func (s Setting) invalid(err error) error {
	return fail("set", "", Invalid, "the setting %s was not changed: %w", s.Name, err)
}
