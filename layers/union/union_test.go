package union

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"hull/layers/unpack"
)

func TestReadOnly(t *testing.T) {
	needRoot(t)
	for _, mapped := range []bool{false, true} {
		t.Run(map[bool]string{false: "plain", true: "id-mapped"}[mapped], func(t *testing.T) {
			o := Options{Lowers: []*os.File{layer(t, "a=2", "d/", "-d/y", "new=n"), layer(t, "a=1", "d/", "d/x=x", "d/y=y")}}
			if mapped {
				o.Users, o.Base = users(t), base
			}
			m := mounted(t, o)
			wantTree(t, m, "a=2 d/ d/x=x new=n")
			if err := os.WriteFile(at(m, "f"), nil, 0o644); !errors.Is(err, unix.EROFS) {
				t.Errorf("writing: %v, want EROFS", err)
			}
			if got, want := stat(t, at(m, "a")).Uid, uint32(0); mapped {
				want = base
				if got != want {
					t.Errorf("owner %d, want %d", got, want)
				}
			}
		})
	}
}

// TestSingleLayer: one layer is enough, and its whiteouts are not seen, whatever
// directory they are in.
func TestSingleLayer(t *testing.T) {
	needRoot(t)
	l := layer(t, "a=1", "-gone", "d/", "-d/gone", "d/x=x")
	setXattr(t, l, "d", "trusted.overlay.origin", "")
	for _, u := range []*os.File{nil, users(t)} {
		wantTree(t, mounted(t, Options{Lowers: []*os.File{l}, Users: u, Base: base}), "a=1 d/ d/x=x")
	}
}

// TestRoot: the root is that of the highest layer which has an entry for it.
func TestRoot(t *testing.T) {
	needRoot(t)
	top, middle, bottom := layer(t, "a=1"), layer(t, "b=2"), layer(t, "c=3")
	setXattr(t, top, "", unpack.ImpliedRoot, "y")
	setXattr(t, middle, "", "user.note", "n")
	if err := errors.Join(os.Chmod(middle.Name(), 0o711), os.Chown(middle.Name(), 3, 4)); err != nil {
		t.Fatal(err)
	}
	space := users(t)
	lowers := []*os.File{top, middle, bottom}
	upper := layer(t)
	for _, o := range []Options{
		{Lowers: lowers},
		{Lowers: lowers, Users: space, Base: base},
		{Lowers: lowers, Users: space, Base: base, Upper: upper},
	} {
		m := mounted(t, o)
		wantTree(t, m, "a=1 b=2 c=3")
		first := uint32(0)
		if o.Users != nil {
			first = base
		}
		if st := stat(t, at(m, ".")); st.Mode&0o7777 != 0o711 || st.Uid != first+3 || st.Gid != first+4 {
			t.Errorf("the root is %o %d:%d", st.Mode, st.Uid, st.Gid)
		}
	}
	if st := stat(t, upper.Name()+"/upper"); st.Mode&0o7777 != 0o711 || st.Uid != 3 || st.Gid != 4 {
		t.Errorf("upper is %o %d:%d", st.Mode, st.Uid, st.Gid)
	}
}

// TestOpaqueRoot: a layer may hide all those below it.
func TestOpaqueRoot(t *testing.T) {
	needRoot(t)
	l := layer(t, "a=1")
	setXattr(t, l, "", "trusted.overlay.opaque", "y")
	lowers := []*os.File{l, layer(t, "b=2")}
	wantTree(t, mounted(t, Options{Lowers: lowers}), "a=1")
	wantTree(t, mounted(t, Options{Lowers: lowers, Upper: layer(t)}), "a=1")
}

// TestUpper: what a container writes lies in upper with the container's own ids,
// and is there again at the next mount, through whatever range.
func TestUpper(t *testing.T) {
	needRoot(t)
	lowers := []*os.File{layer(t, "a=1", "d/", "d/x=x")}
	upper := layer(t)
	for _, volatile := range []bool{true, true, false} { // twice: the first leaves a note for the second
		o := Options{Lowers: lowers, Upper: upper, Users: users(t), Base: base, Volatile: volatile}
		m, err := Mount(o)
		if err != nil {
			t.Fatal(err)
		}
		err = asUser(base, func() error { // as the container's root
			return errors.Join(
				os.WriteFile(at(m, "a"), []byte("2"), 0o644), os.Chown(at(m, "a"), base+5, base+6),
				os.RemoveAll(at(m, "d")), os.Mkdir(at(m, "d"), 0o755), os.WriteFile(at(m, "new"), nil, 0o644),
			)
		})
		if err != nil {
			t.Error(err)
		}
		wantTree(t, m, "a=2 d/ new=")
		m.Close()
	}
	if st := stat(t, upper.Name()+"/upper/a"); st.Uid != 5 || st.Gid != 6 {
		t.Errorf("on disk a is %d:%d's, want 5:6", st.Uid, st.Gid)
	}
	if st := stat(t, upper.Name()+"/work/work"); st.Uid != 0 {
		t.Errorf("overlay's own directory is %d's, want 0", st.Uid)
	}
	ro := mounted(t, Options{Lowers: lowers, Upper: upper, ReadOnly: true})
	wantTree(t, ro, "a=2 d/ new=")
	if err := os.WriteFile(at(ro, "f"), nil, 0o644); !errors.Is(err, unix.EROFS) {
		t.Errorf("writing: %v, want EROFS", err)
	}
}

// TestFlags: devices never open, set-user-ID only counts where it should.
func TestFlags(t *testing.T) {
	needRoot(t)
	l := layer(t, "a=1")
	if err := unix.Mknod(l.Name()+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
		t.Fatal(err)
	}
	for _, nosuid := range []bool{false, true} {
		m := mounted(t, Options{Lowers: []*os.File{l}, Upper: layer(t), NoSuid: nosuid})
		if _, err := os.Open(at(m, "null")); !errors.Is(err, unix.EACCES) {
			t.Errorf("opening a device: %v, want EACCES", err)
		}
		var st unix.Statfs_t
		if err := unix.Fstatfs(int(m.Fd()), &st); err != nil {
			t.Fatal(err)
		}
		if got := st.Flags&unix.ST_NOSUID != 0; got != nosuid {
			t.Errorf("nosuid is %v, want %v", got, nosuid)
		}
	}
}

func TestManyLayers(t *testing.T) {
	needRoot(t)
	var lowers []*os.File
	for range MaxLayers {
		lowers = append(lowers, layer(t, "f=x"))
	}
	space := users(t)
	wantTree(t, mounted(t, Options{Lowers: lowers, Users: space, Base: base, Upper: layer(t)}), "f=x")
	wantTree(t, mounted(t, Options{Lowers: lowers, Users: space, Base: base}), "f=x")
	_, err := Mount(Options{Lowers: append(lowers, layer(t))})
	var e *Error
	if !errors.As(err, &e) || e.Kind != Limit {
		t.Errorf("501 layers: %v, want Limit", err)
	}
}

// TestTree: layers given by name are the same as layers given open.
func TestTree(t *testing.T) {
	needRoot(t)
	all := layer(t, "a/", "a/diff/", "a/diff/f=a", "b/", "b/diff/", "b/diff/f=b", "b/diff/g=b")
	if err := os.Symlink("a", all.Name()+"/link"); err != nil {
		t.Fatal(err)
	}
	for _, u := range []*os.File{nil, users(t)} {
		o := Options{Tree: all, Names: []string{"a/diff", "b/diff"}, Users: u, Base: base, Upper: layer(t)}
		wantTree(t, mounted(t, o), "f=a g=b")
		for _, name := range []string{"link/diff", "../x", "c"} {
			o.Names[1] = name
			if m, err := Mount(o); err == nil {
				m.Close()
				t.Errorf("mounted %q", name)
			}
		}
	}
}

// TestRefused: what the kernel says becomes a typed error with its own words.
func TestRefused(t *testing.T) {
	needRoot(t)
	upper := layer(t, "upper/", "work=a file")
	if _, err := Mount(Options{Lowers: []*os.File{layer(t)}, Upper: upper}); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("work as a file: %v, want ENOTDIR", err)
	}
	var e *Error
	if _, err := Mount(Options{}); !errors.As(err, &e) {
		t.Errorf("no layers: %v", err)
	}
	proc := opened(t, "/proc/self") // no file system for a layer to lie on
	_, err := Mount(Options{Lowers: []*os.File{layer(t)}, Upper: proc})
	if !errors.As(err, &e) {
		t.Errorf("upper on proc: %v, want an *Error", err)
	}
	_, err = Mount(Options{Lowers: []*os.File{proc}, Users: users(t)})
	if !errors.As(err, &e) {
		t.Errorf("a layer on proc: %v, want an *Error", err)
	}
	t.Log(err)
}
