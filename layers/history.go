package layers

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"
)

// History is what docker history prints of an image: its steps, newest first.
func (s *Store) History(name string) ([]byte, error) {
	layers, err := s.Layers(name)
	if err != nil {
		return nil, err
	}
	st, err := s.findStored("read", name)
	if err != nil {
		return nil, err
	}
	config, err := s.ImageConfig(st.ID)
	if err != nil {
		return nil, err
	}
	sizes := make([]int64, len(config.History))
	next := 0
	for i, h := range config.History {
		if !h.EmptyLayer && next < len(layers) {
			sizes[i] = layers[next].Size
			next++
		}
	}
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 10, 1, 3, ' ', 0)
	fmt.Fprintln(w, "IMAGE\tCREATED\tCREATED BY\tSIZE\tCOMMENT")
	for i := len(config.History) - 1; i >= 0; i-- {
		h, id := config.History[i], "<missing>"
		if i == len(config.History)-1 {
			id = st.ID[len("sha256:"):][:12]
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", id, ago(h.Created.Time, time.Now()),
			clip(printable(h.CreatedBy), 45), bytesOf(sizes[i]), printable(h.Comment))
	}
	if err := w.Flush(); err != nil {
		return nil, wrap("read", name, err)
	}
	return b.Bytes(), nil
}

// printable makes text from an image one line that no terminal obeys.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return unicode.ReplacementChar
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// clip shortens to width characters, as Docker does.
func clip(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
}

// bytesOf is a size as Docker prints it: decimal units, three digits.
func bytesOf(n int64) string {
	size, unit := float64(n), 0
	units := []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}
	for size >= 1000 && unit < len(units)-1 {
		size /= 1000
		unit++
	}
	return strconv.FormatFloat(size, 'g', 3, 64) + units[unit]
}

// ago is how long ago something was, as Docker prints it.
func ago(t, now time.Time) string {
	if t.IsZero() || t.Unix() == 0 {
		return "N/A"
	}
	d := max(now.Sub(t), 0)
	hours := int(d.Hours() + 0.5)
	switch {
	case d < time.Second:
		return "Less than a second ago"
	case d < 2*time.Second:
		return "1 second ago"
	case d < time.Minute:
		return fmt.Sprintf("%d seconds ago", int(d.Seconds()))
	case d < 2*time.Minute:
		return "About a minute ago"
	case d < time.Hour:
		return fmt.Sprintf("%d minutes ago", int(d.Minutes()))
	case hours == 1:
		return "About an hour ago"
	case hours < 48:
		return fmt.Sprintf("%d hours ago", hours)
	case hours < 24*7*2:
		return fmt.Sprintf("%d days ago", hours/24)
	case hours < 24*30*2:
		return fmt.Sprintf("%d weeks ago", hours/24/7)
	case hours < 24*365*2:
		return fmt.Sprintf("%d months ago", hours/24/30)
	}
	return fmt.Sprintf("%d years ago", int(d.Hours())/24/365)
}
