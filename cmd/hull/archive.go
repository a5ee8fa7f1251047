package main

import (
	"context"
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"hull/fs"
	"hull/fs/session"
	"hull/layers/pack"
	"hull/layers/reference"
)

// pipe is the helper's pipe, made so that the end of the context ends a read or
// write under way. Nobody else has this end of it. Whatever else somebody may have
// sent in the place of a pipe is refused: root's reads and writes can do to a file of
// the kernel's what those of who opened it cannot, and none of them would end.
func pipe(ctx context.Context, f *os.File) (own *os.File, done func(), err error) {
	if f == nil {
		return nil, nil, errors.New("execute this file: its input and output are what it works on")
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, nil, err
	}
	fd, failed := -1, error(nil)
	err = raw.Control(func(n uintptr) {
		var st unix.Stat_t
		if failed = unix.Fstat(int(n), &st); failed == nil && st.Mode&unix.S_IFMT != unix.S_IFIFO {
			failed = errors.New("an archive goes through a pipe, which hull's own helper makes")
		}
		if failed != nil {
			return
		}
		if fd, failed = unix.FcntlInt(n, unix.F_DUPFD_CLOEXEC, 3); failed == nil {
			failed = unix.SetNonblock(fd, true)
		}
	})
	if err := errors.Join(err, failed); err != nil {
		return nil, nil, err
	}
	own = os.NewFile(uintptr(fd), "pipe") // it does not block, so that Close ends what is under way
	stop := context.AfterFunc(ctx, func() { _ = own.Close() })
	return own, func() { stop(); _ = own.Close() }, nil
}

// unread tells that nobody reads what is written any more, as in save | head. The
// helper has met the same, and ends as a program whose pipe is broken.
func unread(err error) bool { return errors.Is(err, unix.EPIPE) }

// save writes an image, and more of them if they are named, to the helper's output.
func (v verbs) save(ctx context.Context, c *session.Call) (*session.Answer, error) {
	names := []string{c.Object}
	for _, arg := range c.Args {
		name, err := v.mayAlsoSave(fs.Credential(c.By), arg)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	out, done, err := pipe(ctx, c.Stdio[1])
	if err != nil {
		return nil, err
	}
	defer done()
	if err := v.store.Save(ctx, out, names, keychain(c.By.UID)); err != nil && !unread(err) {
		return nil, fromStore("images/"+c.Object, err)
	}
	return &session.Answer{}, nil
}

// mayAlsoSave finds another image, and makes sure that whoever asks could save it by
// its own file.
func (v verbs) mayAlsoSave(by fs.Credential, arg string) (string, error) {
	arg = v.walked(arg)
	name := arg
	if _, _, id := reference.ID(arg); !id {
		var err error
		if name, err = v.store.Parse(arg); err != nil {
			return "", err
		}
	}
	return name, v.tree.May(by, "images/"+name+"/save", fs.Session)
}

// load makes images of the archive on the helper's input.
func (v verbs) load(ctx context.Context, c *session.Call) (*session.Answer, error) {
	if len(c.Args) > 0 {
		return nil, errors.New("load takes no arguments: load < FILE, or load -i FILE")
	}
	if err := v.tree.May(fs.Credential(c.By), "images", fs.Change); err != nil {
		return nil, err
	}
	in, done, err := pipe(ctx, c.Stdio[0])
	if err != nil {
		return nil, err
	}
	defer done()
	names, err := v.store.Load(ctx, in, c.By.UID)
	var b strings.Builder
	for _, n := range names {
		if _, _, id := reference.ID(n); id {
			b.WriteString("Loaded image ID: " + n + "\n")
		} else {
			b.WriteString("Loaded image: " + n + "\n")
		}
	}
	if err != nil {
		c.Print(b.String())
		return nil, fromStore("images", err)
	}
	return &session.Answer{Text: b.String()}, nil
}

// export writes a container's file system to the helper's output, as it is at this
// moment.
func (v verbs) export(ctx context.Context, c *session.Call) (*session.Answer, error) {
	if len(c.Args) > 0 {
		return nil, errors.New("export takes no arguments: export > FILE, or export -o FILE")
	}
	out, done, err := pipe(ctx, c.Stdio[1])
	if err != nil {
		return nil, err
	}
	defer done()
	view, err := v.engine.OwnView(ctx, c.Object)
	if err != nil {
		return nil, fromEngine("containers/"+c.Object, err)
	}
	defer view.Release()
	_, err = pack.Tree(ctx, out, view.Dir, pack.Options{Base: view.Base})
	var p *pack.Error
	switch {
	case err == nil || unread(err):
		return &session.Answer{}, nil
	case errors.As(err, &p):
		return nil, &fs.Error{Op: "export", Object: "containers/" + c.Object, Kind: packKinds[p.Kind], Sentence: err.Error(), Err: err}
	}
	return nil, fromContext("containers/"+c.Object, err)
}
