package engine

import (
	"errors"
	"fmt"
	"strconv"

	units "github.com/docker/go-units"
)

// parseSize reads a number of bytes as docker does: 512M, 1.5g, 64MiB; the units are powers of 1024.
func parseSize(value string) (any, error) {
	v, err := oneLine(value)
	if err != nil {
		return nil, err
	}
	n, err := units.RAMInBytes(v)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("%q is not a size; write bytes, or a number with k, m, g or t", clip(v))
	}
	return n, nil
}

// leastMemory is Docker's: with less no command starts.
const leastMemory = 6 << 20

func parseMemory(value string) (any, error) {
	v, err := parseSize(value)
	if n, ok := v.(int64); ok && n > 0 && n < leastMemory {
		return nil, errors.New("the least is 6m: with less memory no command starts; 0 is no limit")
	}
	return v, err
}

// parseShm is the size of a tmpfs, of which the kernel has nothing smaller than a page; 0 would be no limit.
func parseShm(value string) (any, error) {
	v, err := parseSize(value)
	if n, ok := v.(int64); ok && n < 4096 {
		return nil, errors.New("the least is 4k")
	}
	return v, err
}

func parseMemorySwap(value string) (any, error) {
	v, err := oneLine(value)
	if err == nil && v == "-1" {
		return int64(-1), nil
	}
	return parseSize(value)
}

// parseCPUs reads how many processors' time: 1.5. That there are so many is checked when it is set, and not here: a record
// may come from a larger machine.
func parseCPUs(value string) (any, error) {
	v, err := oneLine(value)
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseFloat(v, 64)
	if err != nil || n != 0 && !(n >= 0.01 && n <= 1<<16) { // in a form that refuses NaN
		return nil, fmt.Errorf("%q is not a number of processors from 0.01 on, nor 0 for no limit", clip(v))
	}
	return n, nil
}

func parseShares(value string) (any, error) {
	return parseWithin(value, "a weight from 2 to 262144, nor 0 for the default of 1024", func(n int64) bool {
		return n == 0 || n >= 2 && n <= 262144
	})
}

func parsePids(value string) (any, error) {
	return parseWithin(value, "a number of processes from 1 to 4194304, nor -1 for no limit", func(n int64) bool {
		return n >= -1 && n <= 4194304
	})
}

func parseWithin(value, what string, ok func(int64) bool) (any, error) {
	v, err := oneLine(value)
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || !ok(n) {
		return nil, fmt.Errorf("%q is not %s", clip(v), what)
	}
	return n, nil
}

// parseUlimits reads docker's --ulimit: nofile=1024:2048 is soft and hard, nofile=1024 both; -1 is none.
func parseUlimits(value string) (any, error) {
	items, err := parseList(value)
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		u, err := units.ParseUlimit(item)
		if err == nil && (u.Soft < -1 || u.Hard < -1) {
			err = errors.New("a limit is not negative; -1 is none")
		}
		if err == nil {
			_, err = u.GetRlimit()
		}
		if err != nil {
			return nil, fmt.Errorf("%q is not NAME=SOFT or NAME=SOFT:HARD with a limit's name as docker has it (nofile, nproc, core, stack …): %w", clip(item), err)
		}
	}
	return items, nil
}
