package engine

import (
	"errors"

	"hull/engine/logs"
)

// What is kept of a log if the settings do not say, and the limits of what they may say.
const (
	defaultLogMax   = 20 << 20
	defaultLogFiles = 5
	leastLogMax     = 64 << 10
	mostLogFiles    = 100
)

// parseLogMax reads the size of a log's file. One that is too small would be full before the monitor, which serves all
// containers, has made the next.
func parseLogMax(value string) (any, error) {
	v, err := oneLine(value)
	if err == nil && v == "-1" {
		return int64(-1), nil
	}
	size, err := parseSize(value)
	if n, ok := size.(int64); ok && n < leastLogMax {
		return nil, errors.New("the least is 64k; -1 is no limit")
	}
	return size, err
}

func parseLogFiles(value string) (any, error) {
	return parseWithin(value, "a number of files from 1 to 100", func(n int64) bool { return n >= 1 && n <= mostLogFiles })
}

// bounds are what the settings say of the log.
func (v values) bounds() logs.Bounds {
	b := logs.Bounds{Max: v.number("log_max", defaultLogMax), Files: int(v.number("log_files", defaultLogFiles))}
	b.Max = max(0, b.Max) // -1 is none, as 0
	return b
}

// boundLog has the monitor keep the log within the bounds of the settings. That it cannot be told now changes nothing of
// the settings: the next start tells it.
func (s *supervisor) boundLog() {
	if err := s.e.o.Monitor.Bound(s.e.ctx, s.id, s.dir, s.set.bounds()); err != nil {
		s.e.o.Logger.Warn("the bounds of a container's log are not in force yet", "container", s.id, "op", "set", "err", err)
	}
}
