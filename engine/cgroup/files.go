package cgroup

import (
	"errors"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// write writes values to a control file, each by one write(2), whose errno is the answer. Not by way of os.File: that
// would register each file with the poller.
func write(name string, values ...string) error {
	fd, err := open(name, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	for _, v := range values {
		if _, err := unix.Write(fd, []byte(v)); err != nil {
			return &os.PathError{Op: "write", Path: name, Err: err}
		}
	}
	return nil
}

func open(name string, flags int) (int, error) {
	for {
		fd, err := unix.Open(name, flags|unix.O_CLOEXEC, 0)
		if err == nil {
			return fd, nil
		}
		if !errors.Is(err, unix.EINTR) {
			return -1, &os.PathError{Op: "open", Path: name, Err: err}
		}
	}
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
	return fail(op, id, System, "the cgroup could not be used: %w", err)
}
