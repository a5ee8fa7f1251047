package resolver

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	confSize    = 64 << 10 // what is read of a resolv.conf
	confServers = 8        // how many of its servers count
)

// Conf is what a resolv.conf says.
type Conf struct {
	Servers []netip.Addr // with their zones
	Search  []string
	Options []string
}

// ParseConf reads a resolv.conf as the C library does: what it does not understand it passes over.
func ParseConf(text []byte) Conf {
	var c Conf
	for line := range bytes.Lines(text) {
		line, _, _ = bytes.Cut(line, []byte("#"))
		line, _, _ = bytes.Cut(line, []byte(";"))
		words := strings.Fields(string(line))
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			if addr, err := netip.ParseAddr(words[1]); err == nil && len(c.Servers) < confServers && !slices.Contains(c.Servers, addr) {
				c.Servers = append(c.Servers, addr)
			}
		case "search":
			c.Search = words[1:]
		case "domain":
			c.Search = words[1:2]
		case "options":
			c.Options = append(c.Options, words[1:]...)
		}
	}
	return c
}

// hostConf is the host's resolv.conf as it is now.
type hostConf struct {
	path string
	log  *slog.Logger

	mu      sync.Mutex
	read    stamp
	conf    Conf
	trouble string // what was said last about not being able to read it
}

// stamp tells one state of a file from another.
type stamp struct {
	dev, ino     uint64
	size         int64
	mtime, ctime syscall.Timespec
	settled      bool
}

// now is what the file says now. Without a server in it, or without the file, that is this machine's own, as for
// everybody on the host.
func (h *hostConf) now() Conf {
	h.mu.Lock()
	defer h.mu.Unlock()
	state := look(h.path)
	if state == h.read && state.settled {
		return h.conf
	}
	text, err := readConf(h.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		if said := err.Error(); said != h.trouble {
			h.trouble = said
			h.log.Warn("the host's name servers cannot be read: asking those known before", "file", h.path, "err", err)
		}
		return h.conf
	}
	h.trouble = ""
	h.read, h.conf = state, ParseConf(text)
	if len(h.conf.Servers) == 0 {
		h.conf.Servers = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	return h.conf
}

// look takes a file's stamp, before it is read. A file changed this very moment may change again without its times
// showing it, on kernels whose clock for files is coarse: it has not settled.
func look(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{settled: true}
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return stamp{}
	}
	age := time.Since(time.Unix(st.Ctim.Unix()))
	return stamp{
		dev: st.Dev, ino: st.Ino, size: st.Size, mtime: st.Mtim, ctime: st.Ctim,
		settled: age < 0 || age > 50*time.Millisecond,
	}
}

func readConf(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // it could be a FIFO
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, confSize))
}
