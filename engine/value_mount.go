package engine

import (
	"encoding/csv"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"hull/engine/volume"
)

// maxMounts bounds a container's mounts: each comes to its process as a descriptor.
const maxMounts = 100

// parseMounts checks a list of mounts, each as docker's -v or --mount writes it.
func parseMounts(value string) (any, error) {
	items, err := parseList(value)
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		if _, err := parseMount(item); err != nil {
			return nil, err
		}
	}
	return items, nil
}

// parseMount reads one mount. What has a '=' before any ':' or '/' is --mount's.
func parseMount(item string) (mount, error) {
	if i := strings.IndexAny(item, "=:/"); i > 0 && item[i] == '=' || item == "readonly" {
		return parseLongMount(item)
	}
	fields := strings.Split(item, ":")
	m := mount{Kind: volumeMount}
	switch len(fields) {
	case 1:
		m.Target, m.Anonymous = fields[0], true
	case 2, 3:
		m.Source, m.Target = fields[0], fields[1]
	default:
		return m, fmt.Errorf("%q has more than SOURCE:TARGET:OPTIONS; a path with a ':' in it needs type=bind,source=…,target=…", clip(item))
	}
	if m.Source == "" && !m.Anonymous {
		return m, fmt.Errorf("%q names nothing before the ':'", clip(item))
	}
	if strings.HasPrefix(m.Source, "/") || strings.HasPrefix(m.Source, ".") || strings.HasPrefix(m.Source, "~") {
		m.Kind = bindMount
	}
	if len(fields) == 3 {
		for option := range strings.SplitSeq(fields[2], ",") {
			if err := m.option(option); err != nil {
				return m, err
			}
		}
	}
	return m, m.check()
}

// option is one of those after -v's second ':'.
func (m *mount) option(name string) error {
	switch name {
	case "rw", "z", "Z", "cached", "delegated", "consistent", "default", "private", "rprivate", "rbind", "": // as it is anyway, or about what hull has not
	case "ro", "readonly":
		m.ReadOnly = true
	case "nocopy":
		m.NoCopy = true
	case "bind":
		m.Alone = true
	case "shared", "rshared", "slave", "rslave":
		return fmt.Errorf("%s: what is mounted later on the host does not come into a container, nor the other way round", name)
	default:
		return fmt.Errorf("there is no option %q; ro, rw and nocopy are some", clip(name))
	}
	return nil
}

// parseLongMount reads --mount's form: type=bind,source=/srv,target=/data,readonly.
func parseLongMount(item string) (mount, error) {
	m := mount{Kind: volumeMount}
	r := csv.NewReader(strings.NewReader(item))
	fields, err := r.Read()
	if err != nil {
		return m, fmt.Errorf("%q is not a list of KEY=VALUE with commas between", clip(item))
	}
	var extra []string // keys that are for one type only
	for _, field := range fields {
		key, value, given := strings.Cut(strings.TrimSpace(field), "=")
		key = strings.ToLower(key)
		if !given {
			value = "true"
		}
		if kind, _, ok := strings.Cut(key, "-"); ok && kind != "bind" || key == "volume-nocopy" {
			extra = append(extra, key)
		}
		if err := m.field(key, value); err != nil {
			return m, err
		}
	}
	for _, key := range extra {
		if !strings.HasPrefix(key, string(m.Kind)+"-") {
			return m, fmt.Errorf("%s is nothing for a mount of type %s", key, m.Kind)
		}
	}
	m.Anonymous = m.Kind == volumeMount && m.Source == ""
	return m, m.check()
}

// field is one KEY=VALUE of --mount.
func (m *mount) field(key, value string) (err error) {
	switch key {
	case "type":
		switch k := mountKind(value); k {
		case bindMount, volumeMount, tmpfsMount:
			m.Kind = k
		default:
			return fmt.Errorf("there is no mount of type %q; bind, volume and tmpfs are", clip(value))
		}
	case "source", "src":
		m.Source = value
	case "target", "dst", "destination":
		m.Target = value
	case "readonly", "ro":
		m.ReadOnly, err = boolean(key, value)
	case "volume-nocopy":
		m.NoCopy, err = boolean(key, value)
	case "bind-nonrecursive":
		m.Alone, err = boolean(key, value)
	case "bind-recursive":
		switch value {
		case "enabled", "writable", "readonly":
		case "disabled":
			m.Alone = true
		default:
			return fmt.Errorf("bind-recursive is enabled or disabled, not %q", clip(value))
		}
	case "bind-propagation":
		return m.option(value)
	case "consistency":
	case "tmpfs-size":
		if err = tmpfsOption("size=" + value); err == nil {
			m.Options = append(m.Options, "size="+value)
		}
	case "tmpfs-mode":
		if err = tmpfsOption("mode=" + value); err == nil {
			m.Options = append(m.Options, "mode="+value)
		}
	default:
		return fmt.Errorf("a mount has no %q; type, source, target and readonly are what most have", clip(key))
	}
	return err
}

func boolean(key, value string) (bool, error) {
	v, err := parseBool(value)
	b, _ := v.(bool)
	if err != nil {
		return false, fmt.Errorf("%s: %w", key, err)
	}
	return b, nil
}

// parseTmpfs checks a list of tmpfs, each TARGET or TARGET:OPTIONS.
func parseTmpfs(value string) (any, error) {
	items, err := parseList(value)
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		if _, err := parseOneTmpfs(item); err != nil {
			return nil, err
		}
	}
	return items, nil
}

func parseOneTmpfs(item string) (mount, error) {
	target, options, _ := strings.Cut(item, ":")
	m := mount{Kind: tmpfsMount, Target: target}
	for option := range strings.SplitSeq(options, ",") {
		switch option {
		case "", "rw":
		case "ro":
			m.ReadOnly = true
		default:
			if err := tmpfsOption(option); err != nil {
				return m, err
			}
			m.Options = append(m.Options, option)
		}
	}
	return m, m.check()
}

// tmpfsFlags are those options that are flags of a mount.
var tmpfsFlags = []string{"exec", "noexec", "suid", "nosuid", "dev", "nodev", "atime", "noatime", "diratime", "nodiratime", "relatime", "strictatime", "async", "sync"}

// tmpfsOption checks an option of a tmpfs.
func tmpfsOption(option string) error {
	key, value, given := strings.Cut(option, "=")
	ok := given
	switch key {
	case "size", "nr_blocks", "nr_inodes":
		digits := strings.TrimRight(value, "kKmMgG%")
		_, err := strconv.ParseUint(digits, 10, 63)
		ok = ok && err == nil && len(value)-len(digits) <= 1 && (!strings.HasSuffix(value, "%") || key == "size")
	case "mode":
		n, err := strconv.ParseUint(value, 8, 32)
		ok = ok && err == nil && n <= 0o7777
	case "uid", "gid":
		n, err := strconv.ParseUint(value, 10, 32)
		ok = ok && err == nil && n < rangeSize
	default:
		if slices.Contains(tmpfsFlags, option) {
			return nil
		}
		return fmt.Errorf("a tmpfs has no option %q; size=64m, mode=1777 and noexec are some", clip(option))
	}
	if !ok {
		return fmt.Errorf("%q is not a value that a tmpfs takes for %s", clip(value), key)
	}
	return nil
}

// check checks source and target, and makes them clean.
func (m *mount) check() error {
	switch {
	case m.Kind == bindMount && m.Source == "":
		return errors.New("a bind mount needs a source: a path of the host")
	case m.Kind == bindMount && !path.IsAbs(m.Source):
		return fmt.Errorf("the path of the host %q must begin with a slash here: nobody's directory counts", clip(m.Source))
	case m.Kind == bindMount:
		m.Source = path.Clean(m.Source)
	case m.Kind == tmpfsMount && m.Source != "":
		return errors.New("a tmpfs has no source")
	case m.Source != "":
		if err := volume.CheckName(m.Source); err != nil {
			return err
		}
	}
	if m.Kind != volumeMount {
		m.NoCopy = false
	}
	return m.checkTarget()
}

// checkTarget refuses what cannot be covered: the kernel's own directories are part of the isolation.
func (m *mount) checkTarget() error {
	switch {
	case m.Target == "":
		return errors.New("it does not say where in the container it is to be")
	case !path.IsAbs(m.Target):
		return fmt.Errorf("the path in the container %q must begin with a slash", clip(m.Target))
	case len(m.Target) >= syscall.PathMax:
		return errors.New("the path in the container is too long")
	}
	m.Target = path.Clean(m.Target)
	top, _, _ := strings.Cut(m.Target[1:], "/")
	switch {
	case m.Target == "/":
		return errors.New("nothing can be mounted over the container's root")
	case top == "proc", top == "sys", m.Target == "/dev":
		return fmt.Errorf("nothing can be mounted on %s: what is there is the kernel's, and part of what keeps the container in", clip(m.Target))
	}
	return nil
}
