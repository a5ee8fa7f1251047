package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
)

// write writes a value to a control file: one write(2), whose errno is the answer.
func write(name, value string) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

func readFile(name string) (string, error) {
	b, err := os.ReadFile(name)
	return string(b), err
}

// number reads a file that holds one number; "max" and anything that cannot be read is -1.
func number(name string) int64 {
	s, err := readFile(name)
	if err != nil {
		return -1
	}
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// keyed reads a file of "key value" lines.
func keyed(name string) map[string]int64 {
	s, err := readFile(name)
	if err != nil {
		return nil
	}
	m := map[string]int64{}
	for line := range strings.Lines(s) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			m[k] = n
		}
	}
	return m
}

// key gives a keyed file's value, -1 if it has none.
func key(m map[string]int64, k string) int64 {
	if n, ok := m[k]; ok {
		return n
	}
	return -1
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

func subdirectories(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// processes reads the ids in a cgroup and those below it.
func processes(dir string) ([]int, error) {
	s, err := readFile(path.Join(dir, "cgroup.procs"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var pids []int
	for f := range strings.FieldsSeq(s) {
		if pid, err := strconv.Atoi(f); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	below, err := subdirectories(dir)
	for _, name := range below {
		more, err := processes(path.Join(dir, name))
		if err != nil {
			return pids, err
		}
		pids = append(pids, more...)
	}
	return pids, err
}

func system(op, id string, err error) error {
	return &Error{Op: op, Group: id, Kind: System, Err: fmt.Errorf("the cgroup could not be used: %w", err)}
}
