package unpack

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"

	"hull/layers/internal/sys"
)

// Of the notes about directories so much stays in memory, and so much is taken at
// all. A layer of a million directories is honest, and many layers are unpacked at
// once; one that names a long path again and again is not.
const (
	notesKept = 256 << 10
	maxNoted  = 256 << 20
)

// dirTimes are the times of a directory, set when nothing is made in it any more.
type dirTimes struct {
	path  string
	times [2]unix.Timespec
}

// notes are what must be done with directories once all entries are there, in
// order. Most of a long list waits in a file without a name beside the layer.
type notes struct {
	in   sys.FD // the directory on whose disk the file is made
	kept []byte // what is not in the file yet
	file sys.FD
	size int64 // bytes in the file; 0 = there is none
}

// add appends a note.
func (n *notes) add(path string, times [2]unix.Timespec) error {
	n.kept = binary.AppendUvarint(n.kept, uint64(len(path)))
	n.kept = append(n.kept, path...)
	for _, t := range times {
		n.kept = binary.AppendVarint(n.kept, t.Sec)
		n.kept = binary.AppendVarint(n.kept, t.Nsec)
	}
	if len(n.kept) < notesKept {
		return nil
	}
	if n.size > maxNoted {
		return tooLarge("", "the names of its directories take more than %d MiB", maxNoted>>20)
	}
	return n.spill()
}

// spill moves what is in memory to the file.
func (n *notes) spill() error {
	if n.size == 0 {
		file, err := n.in.Open(".", unix.O_RDWR|unix.O_TMPFILE, 0o600)
		if err != nil {
			return err
		}
		n.file = file
	}
	if err := n.file.WriteAt(n.kept, n.size); err != nil {
		return err
	}
	n.size += int64(len(n.kept))
	n.kept = n.kept[:0]
	return nil
}

// each calls do with every note, first to last.
func (n *notes) each(do func(dirTimes) error) error {
	if n.size > 0 && len(n.kept) > 0 {
		if err := n.spill(); err != nil {
			return err
		}
	}
	buf, have := n.kept, len(n.kept)
	if n.size > 0 {
		buf, have = make([]byte, 2*notesKept), 0
	}
	for off, at := int64(0), 0; ; {
		if off < n.size && have-at < maxPath+64 { // one more may lie across the end
			have, at = copy(buf, buf[at:have]), 0
			got, err := n.file.ReadAt(buf[have:min(int64(len(buf)), int64(have)+n.size-off)], off)
			if err != nil {
				return err
			}
			have, off = have+got, off+int64(got)
		}
		if at == have {
			return nil
		}
		note, size := readNote(buf[at:have])
		if size <= 0 {
			return errors.New("the notes about directories cannot be read again")
		}
		at += size
		if err := do(note); err != nil {
			return err
		}
	}
}

// readNote reads the first note of b, and says how long it is; 0 if there is none.
func readNote(b []byte) (note dirTimes, size int) {
	length, size := binary.Uvarint(b)
	if size <= 0 || uint64(len(b)-size) < length {
		return note, 0
	}
	note.path = string(b[size : size+int(length)])
	size += int(length)
	for _, v := range []*int64{&note.times[0].Sec, &note.times[0].Nsec, &note.times[1].Sec, &note.times[1].Nsec} {
		n, s := binary.Varint(b[size:])
		if s <= 0 {
			return note, 0
		}
		*v, size = n, size+s
	}
	return note, size
}

// close gives the file up.
func (n *notes) close() {
	if n.size > 0 {
		n.file.Close()
	}
}
