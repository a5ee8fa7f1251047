package verb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"hull/fs/wire"
)

// The names of the options by which an archive's file is named, as docker's load, save and export have them.
const (
	optionInput  = "input"
	optionOutput = "output"
)

// named is the file that an option names in the place of a standard descriptor. The helper opens it, with the caller's
// rights, and the daemon hears nothing of it.
type named struct {
	file *os.File
	path string // what the output becomes when all of it is there; empty if it is written in place
}

// takeNamed opens what the options name in the place of descriptor i, the standard input (0) or output (1).
func (h *helper) takeNamed(r *wire.Request, i int) error {
	option := [2]string{optionInput, optionOutput}[i]
	path := last(r.Options, option)
	r.Options = slices.DeleteFunc(r.Options, func(o wire.Option) bool { return o.Name == option })
	if path == "" {
		return nil
	}
	if i == 0 {
		f, err := os.Open(path)
		if err != nil {
			return because("read", path, err)
		}
		h.named, h.in = named{file: f}, number(f)
		return nil
	}
	n, err := create(path)
	if err != nil {
		return because("write", path, err)
	}
	h.named, h.out = n, number(n.file)
	return nil
}

// create opens an output. A new file, and one that another stood in, appears whole or not at all.
func create(path string) (named, error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && !info.Mode().IsRegular():
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		return named{file: f}, err
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return named{}, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	return named{file: f, path: path}, err
}

func because(what, path string, err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err
	}
	return fmt.Errorf("cannot %s %s: %w", what, path, err)
}

// deliver gives an output its name if all went well, and else takes it away. It returns the status to end with.
func (h *helper) deliver(status int) int {
	n := h.named
	h.named = named{}
	if n.file == nil {
		return status
	}
	err := n.file.Close()
	if n.path == "" {
		return status
	}
	if status == 0 && err == nil {
		if err = os.Rename(n.file.Name(), n.path); err == nil {
			return 0
		}
	}
	_ = os.Remove(n.file.Name())
	if status == 0 {
		h.complain(because("write", n.path, err).Error())
		return h.failing()
	}
	return status
}
