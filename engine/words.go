package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/shlex"
)

// parseWords reads a command: a JSON array of strings if it begins with '[', else a line in shell quoting. Nothing is
// expanded, there is no shell: '$' and '*' are themselves.
func parseWords(value string) (any, error) {
	value = strings.TrimSpace(value)
	if strings.HasPrefix(value, "[") {
		return parseArray(value)
	}
	words, err := shlex.Split(posix(value))
	if err != nil {
		return nil, errors.New("a quote is not closed, or it ends in a backslash")
	}
	return words, nil
}

// posix writes a line so that shlex, which differs from a shell in three things, reads it as one does: '#' outside
// quotes begins no comment (a command that silently loses arguments is worse than one that has a '#' in it), a
// backslash in double quotes is itself unless what follows is special there, and one before the end of a line joins
// it to the next.
func posix(line string) string {
	if !strings.ContainsAny(line, `#\`) {
		return line
	}
	var b strings.Builder
	var quote byte
	for i := 0; i < len(line); i++ {
		c := line[i]
		if c == '\\' && quote != '\'' && i+1 < len(line) {
			i++
			switch {
			case line[i] == '\n':
			case quote == '"' && !strings.ContainsRune("\"\\$`", rune(line[i])):
				b.WriteString(`\\`)
				b.WriteByte(line[i])
			default:
				b.WriteByte('\\')
				b.WriteByte(line[i])
			}
			continue
		}
		switch {
		case c == '#' && quote == 0:
			b.WriteByte('\\')
		case c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		}
		b.WriteByte(c)
	}
	return b.String()
}

func parseArray(value string) ([]string, error) {
	words := []string{}
	if err := json.Unmarshal([]byte(value), &words); err != nil {
		return nil, errors.New("it begins like a JSON array of strings and is not one")
	}
	for _, w := range words {
		if strings.ContainsRune(w, 0) {
			return nil, errors.New("it has a zero byte in it")
		}
	}
	return words, nil
}

// parseList reads one item a line, with empty lines and those that begin with '#' left out as in Docker's --env-file,
// or a JSON array of strings (for items that have lines in them).
func parseList(value string) ([]string, error) {
	if trimmed := strings.TrimSpace(value); strings.HasPrefix(trimmed, "[") {
		return parseArray(trimmed)
	}
	items := []string{}
	for line := range strings.Lines(value) {
		line = strings.TrimRight(line, "\r\n")
		text := strings.TrimLeft(line, " \t")
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		items = append(items, text)
	}
	return items, nil
}

// formatList is parseList the other way round.
func formatList(items []string) string {
	for _, item := range items {
		plain, err := parseList(item)
		if err != nil || len(plain) != 1 || plain[0] != item {
			return FormatWords(items)
		}
	}
	return strings.Join(items, "\n")
}

// FormatWords writes a value for command or entrypoint (or a list) that stands for exactly these words.
func FormatWords(words []string) string {
	if words == nil {
		words = []string{}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(words); err != nil {
		panic(fmt.Sprintf("engine: strings do not encode: %v", err))
	}
	return strings.TrimSuffix(b.String(), "\n")
}
