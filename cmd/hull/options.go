package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// version is what `hull version` prints; release builds set it with -ldflags -X.
var version = "0.1.0-dev"

const (
	defaultMount = "/hull"
	defaultStore = "/var/lib/hull"
	defaultRun   = "/run/hull"
	defaultWarm  = 4
	mostWarm     = 256

	defaultResolvConf = "/etc/resolv.conf"
)

// options are what `hull mount` was told. They travel as JSON to the monitor
// and from it to each daemon.
type options struct {
	Program       string        `json:"program"` // the hull that mounted; a newer one than a left monitor's may come
	Dir           string        `json:"dir"`
	Store         string        `json:"store"`
	Run           string        `json:"run"`
	Group         *uint32       `json:"group,omitempty"` // who gets the controls beside root
	LogLevel      slog.Level    `json:"log_level"`
	LogFormat     string        `json:"log_format"`
	ResolveBudget time.Duration `json:"resolve_budget"`
	Stall         time.Duration `json:"stall"`          // 0: as registry.Options say
	Warm          int           `json:"warm"`           // containers' processes that are made beforehand
	ResolvConf    string        `json:"resolv_conf"`    // the host's list of servers for names; of an older monitor's: empty
	Life          string        `json:"life,omitempty"` // see monitor.Life: of the monitor that was killed, if this one goes on for it
}

func (o options) encode() []byte {
	b, err := json.Marshal(o)
	if err != nil {
		panic(err) // every field can be marshalled
	}
	return b
}

func decodeOptions(b []byte) (options, error) {
	var o options
	if err := json.Unmarshal(b, &o); err != nil {
		return o, fmt.Errorf("the mount's options are damaged: %w", err)
	}
	return o, nil
}

func (o options) logger(w io.Writer) *slog.Logger {
	h := &slog.HandlerOptions{Level: o.LogLevel}
	if o.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, h))
	}
	return slog.New(slog.NewTextHandler(w, h))
}

// absolute makes the directories and the file independent of where hull was called.
func (o *options) absolute() error {
	o.ResolvConf = cmp.Or(o.ResolvConf, defaultResolvConf)
	for _, p := range []*string{&o.Dir, &o.Store, &o.Run, &o.ResolvConf} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return fmt.Errorf("%s is no place to use: %w", *p, err)
		}
		*p = abs
	}
	return nil
}

// lookGroup finds a group by name or number.
func lookGroup(name string) (*uint32, error) {
	if name == "" {
		return nil, nil
	}
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		gid := uint32(n)
		return &gid, nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return nil, fmt.Errorf("there is no group %s on this machine", name)
	}
	n, err := strconv.ParseUint(g.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("the group %s has no number", name)
	}
	gid := uint32(n)
	return &gid, nil
}

// ownDirectory makes a directory that only hull writes to, and refuses one that
// others could have prepared.
func ownDirectory(dir string, mode os.FileMode) error {
	if err := os.MkdirAll(dir, mode); err != nil {
		return fmt.Errorf("the directory %s cannot be made: %w", dir, err)
	}
	st, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("the directory %s cannot be used: %w", dir, err)
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	switch {
	case !st.IsDir():
		return fmt.Errorf("%s is not a directory", dir)
	case !ok || int(sys.Uid) != os.Geteuid():
		return fmt.Errorf("the directory %s belongs to somebody else; hull keeps its data only in a directory of its own", dir)
	case st.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("others may write into the directory %s; hull keeps its data only in a directory of its own (chmod go-w it)", dir)
	}
	return nil
}

// mountDirectory makes the mount point if its parent is there. What is wrong
// with a dead mount left by a crash is not this function's: it is replaced.
func mountDirectory(dir string) error {
	err := os.Mkdir(dir, 0o755)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return nil
	}
	return fmt.Errorf("the mount point %s cannot be made: %w", dir, err)
}
