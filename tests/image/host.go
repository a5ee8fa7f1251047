package image

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
)

// programs are what the image "host" offers, as far as the machine has them.
var programs = strings.Fields(`sh bash dash ls cat echo sleep true false env id ps tar stty tty
	head tail wc seq date grep find mkdir rmdir rm touch sort uname printf dd chmod chown ln mv cp
	stat readlink hostname tr cut sed kill test mount umount mknod sha256sum od yes timeout nproc`)

// libraryDirs is where the loader of a Debian or a similar system looks.
var libraryDirs = []string{
	"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib",
}

// hostPrograms returns the programs named, with the loader and libraries they
// need, as files below usr/bin and at the libraries' own places.
func hostPrograms(names []string) ([]File, error) {
	files := map[string]File{}
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		if err := addProgram(files, path, "usr/bin/"+name); err != nil {
			return nil, fmt.Errorf("program %s: %w", name, err)
		}
	}
	if len(files) == 0 {
		return nil, errors.New("none of the machine's programs was found")
	}
	out := make([]File, 0, len(files))
	for _, f := range files {
		out = append(out, f)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, nil
}

func addProgram(files map[string]File, path, name string) error {
	body, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	files[name] = File{Name: name, Mode: 0o755, Body: body}
	e, err := elf.Open(path)
	if err != nil {
		return nil // a script: as it is
	}
	defer e.Close()
	for _, p := range e.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		b := make([]byte, p.Filesz)
		if _, err := p.ReadAt(b, 0); err != nil {
			return err
		}
		loader := strings.TrimRight(string(b), "\x00")
		if err := addLibrary(files, loader); err != nil {
			return err
		}
	}
	return addNeeded(files, e)
}

func addNeeded(files map[string]File, e *elf.File) error {
	needed, err := e.ImportedLibraries()
	if err != nil {
		return nil // static
	}
	for _, lib := range needed {
		path, err := findLibrary(lib)
		if err != nil {
			return err
		}
		if err := addLibrary(files, path); err != nil {
			return err
		}
	}
	return nil
}

// addLibrary adds a library under the path the loader asks for, which on a
// merged-usr system is below usr.
func addLibrary(files map[string]File, path string) error {
	name := strings.TrimPrefix(path, "/")
	if !strings.HasPrefix(name, "usr/") {
		name = "usr/" + name
	}
	if _, ok := files[name]; ok {
		return nil
	}
	body, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	files[name] = File{Name: name, Mode: 0o755, Body: body}
	e, err := elf.Open(path)
	if err != nil {
		return err
	}
	defer e.Close()
	return addNeeded(files, e)
}

func findLibrary(lib string) (string, error) {
	for _, d := range libraryDirs {
		p := filepath.Join(d, lib)
		if _, err := os.Stat(p); err == nil {
			return p, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return "", fmt.Errorf("the machine has no %s", lib)
}
