package verb

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// display prints what goes on. On a terminal a line "KEY: STATE" takes the place of the earlier one with its key, and
// below all lines stands how far the whole has come. Elsewhere every line is printed once, as it comes.
type display struct {
	fd      int
	drawing bool
	rows    int            // lines printed
	at      map[string]int // the row of each key
	metered bool           // the line below is in use
	rest    string         // of a line that is not complete
}

func newDisplay(fd int) *display {
	return &display{fd: fd, drawing: isTerminal(fd), at: map[string]int{}}
}

// print prints text, of which the last line may be incomplete.
func (d *display) print(text string) {
	text = d.rest + text
	end := strings.LastIndexByte(text, '\n') + 1
	d.rest = text[end:]
	var b strings.Builder
	for line := range strings.Lines(text[:end]) {
		d.line(&b, strings.TrimRight(line, "\r\n"))
	}
	_ = writeAll(d.fd, []byte(b.String()))
}

func (d *display) line(b *strings.Builder, line string) {
	if !d.drawing {
		if !passing(line) {
			b.WriteString(printable(line) + "\n")
		}
		return
	}
	d.clear(b)
	height, width := size(d.fd)
	line = cut(printable(line), width)
	key, keyed := keyOf(line)
	row, known := d.at[key]
	if up := d.rows - row; keyed && known && up < height {
		n := strconv.Itoa(up)
		b.WriteString("\x1b[" + n + "A\r" + line + "\x1b[K\x1b[" + n + "B\r")
		return
	}
	if keyed {
		d.at[key] = d.rows
	}
	d.rows++
	b.WriteString(line + "\x1b[K\n")
}

// meter shows how far the whole has come.
func (d *display) meter(done, total int64) {
	if !d.drawing || total <= 0 {
		return
	}
	_, width := size(d.fd)
	text := cut(amount(done)+" of "+amount(total)+" ("+strconv.FormatInt(100*done/total, 10)+" %)", width)
	d.metered = true
	_ = writeAll(d.fd, []byte("\r"+text+"\x1b[K"))
}

// end leaves the cursor on a new line.
func (d *display) end() {
	var b strings.Builder
	d.clear(&b)
	if d.rest != "" {
		d.line(&b, d.rest)
		d.rest = ""
	}
	_ = writeAll(d.fd, []byte(b.String()))
}

func (d *display) clear(b *strings.Builder) {
	if d.metered {
		b.WriteString("\r\x1b[K")
		d.metered = false
	}
}

// keyOf gives the key of a line: twelve hex digits before a colon.
func keyOf(line string) (string, bool) {
	key, _, ok := strings.Cut(line, ": ")
	if !ok || len(key) != 12 || strings.Trim(key, "0123456789abcdef") != "" {
		return "", false
	}
	return key, true
}

// passing tells whether a line is of the kind that another soon takes the place of, which docker prints on terminals
// only.
func passing(line string) bool {
	key, keyed := keyOf(line)
	if !keyed {
		return false
	}
	state := line[len(key)+len(": "):]
	return strings.HasPrefix(state, "Downloading") || strings.HasPrefix(state, "Extracting") || strings.HasPrefix(state, "Pushing")
}

// size is the height and width of a terminal.
func size(fd int) (rows, cols int) {
	w, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	if err != nil || w.Row == 0 || w.Col == 0 {
		return 24, 80
	}
	return int(w.Row), int(w.Col)
}

// cut shortens a line so that it does not wrap.
func cut(line string, width int) string {
	r := []rune(line)
	if len(r) >= width {
		r = r[:max(width-1, 0)]
	}
	return string(r)
}

// amount writes a number of bytes as docker does.
func amount(n int64) string {
	const units = "kMGTPE"
	if n < 1000 {
		return strconv.FormatInt(n, 10) + " B"
	}
	v, u := float64(n)/1000, 0
	for v >= 1000 && u < len(units)-1 {
		v, u = v/1000, u+1
	}
	return strconv.FormatFloat(v, 'f', 1, 64) + " " + units[u:u+1] + "B"
}

// printable takes from a text what a terminal would obey. Names and messages may come from a registry or an image.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, s)
}
