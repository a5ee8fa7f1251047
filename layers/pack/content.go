package pack

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"

	"hull/layers/internal/sys"
)

// chunk is how much is read and written at a time.
const chunk = 256 << 10

var zeros [chunk]byte

// copy writes the st.Size bytes that the header promised, whatever happens to the
// file meanwhile.
func (p *packer) copy(fd sys.FD, st *unix.Stat_t) error {
	if st.Blocks*512 >= st.Size {
		return p.data(fd, st.Size)
	}
	// It has holes, which need not be read.
	for at := int64(0); at < st.Size; {
		from, err := unix.Seek(int(fd), at, unix.SEEK_DATA)
		switch {
		case errors.Is(err, unix.ENXIO): // nothing but a hole
			from = st.Size
		case errors.Is(err, unix.EINVAL) && at == 0:
			return p.data(fd, st.Size) // a file system that cannot say
		case err != nil:
			return err
		}
		from = min(from, st.Size)
		if err := p.zeros(from - at); err != nil {
			return err
		}
		if from == st.Size {
			return nil
		}
		to, err := unix.Seek(int(fd), from, unix.SEEK_HOLE)
		if errors.Is(err, unix.ENXIO) { // cut off meanwhile
			return p.zeros(st.Size - from)
		}
		if err != nil {
			return err
		}
		to = min(to, st.Size)
		if _, err := unix.Seek(int(fd), from, unix.SEEK_SET); err != nil {
			return err
		}
		if err := p.data(fd, to-from); err != nil {
			return err
		}
		at = to
	}
	return nil
}

// data writes n bytes from where the file is read, and zeros for what it lacks.
func (p *packer) data(fd sys.FD, n int64) error {
	for n > 0 {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		got, err := fd.Read(p.buf[:min(n, chunk)])
		if errors.Is(err, io.EOF) {
			return p.zeros(n)
		}
		if err != nil {
			return err
		}
		if _, err := p.tar.Write(p.buf[:got]); err != nil {
			return err
		}
		n -= int64(got)
	}
	return nil
}

func (p *packer) zeros(n int64) error {
	for n > 0 {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		size := min(n, chunk)
		if _, err := p.tar.Write(zeros[:size]); err != nil {
			return err
		}
		n -= size
	}
	return nil
}
