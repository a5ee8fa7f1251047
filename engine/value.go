package engine

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"github.com/moby/sys/signal"
)

// maxValue bounds one setting: what an execve takes as one string on Linux is 128 KiB, a list may have several.
const maxValue = 1 << 20

// plausible refuses what no setting can hold.
func plausible(value string) error {
	switch {
	case len(value) > maxValue:
		return fmt.Errorf("a value may have %d bytes and this has %d", maxValue, len(value))
	case strings.ContainsRune(value, 0):
		return errors.New("it has a zero byte in it")
	case !utf8.ValidString(value):
		return errors.New("it is not UTF-8")
	}
	return nil
}

// oneLine takes the line off a value written by echo.
func oneLine(value string) (string, error) {
	value = strings.TrimSpace(value)
	if i := strings.IndexFunc(value, unicode.IsControl); i >= 0 {
		if value[i] == '\n' {
			return "", errors.New("it has more than one line")
		}
		return "", errors.New("it has a control character in it")
	}
	return value, nil
}

func parseReference(value string) (any, error) {
	v, err := oneLine(value)
	if err != nil {
		return nil, err
	}
	if strings.ContainsFunc(v, unicode.IsSpace) {
		return nil, fmt.Errorf("%q is not the name of an image: it has a space in it", v)
	}
	return v, nil
}

// parsePlatform checks the form only; which there are is for the store to say.
func parsePlatform(value string) (any, error) {
	v, err := oneLine(value)
	if err != nil {
		return nil, err
	}
	if strings.ContainsFunc(v, unicode.IsSpace) {
		return nil, fmt.Errorf("%q is not one platform, as linux/arm64: it has a space in it", v)
	}
	return v, nil
}

func parseWorkdir(value string) (any, error) {
	v, err := oneLine(value)
	if err != nil {
		return nil, err
	}
	if !path.IsAbs(v) {
		return nil, fmt.Errorf("%q must begin with a slash", v)
	}
	if len(v) >= syscall.PathMax {
		return nil, errors.New("the path is too long")
	}
	return path.Clean(v), nil
}

// parseUser checks the form only; whether there is such a user is for the container's own files to say.
func parseUser(value string) (any, error) {
	v, err := oneLine(value)
	if err != nil {
		return nil, err
	}
	user, group, _ := strings.Cut(v, ":") // docker takes a colon with nothing behind it, as an empty variable leaves one
	for _, part := range []string{user, group} {
		if strings.ContainsFunc(part, unicode.IsSpace) || strings.ContainsAny(part, ":/") || len(part) > 256 {
			return nil, fmt.Errorf("%q is not USER or USER:GROUP", v)
		}
	}
	for _, part := range []string{user, group} {
		if err := plainID(part); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// parseGroups takes names and numbers of groups.
func parseGroups(value string) (any, error) {
	items, err := parseList(value)
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		if item == "" || len(item) > 256 || strings.ContainsFunc(item, unicode.IsSpace) || strings.ContainsAny(item, ":/") {
			return nil, fmt.Errorf("%q is neither the name nor the number of a group", clip(item))
		}
		if err := plainID(item); err != nil {
			return nil, err
		}
	}
	return items, nil
}

// plainID refuses numbers that could not be an id in a container; 65536 ids is what each has.
func plainID(part string) error {
	if part == "" || strings.Trim(part, "0123456789") != "" {
		return nil
	}
	if n, err := strconv.ParseUint(part, 10, 32); err != nil || n >= rangeSize {
		return fmt.Errorf("%s is above 65535, the highest user or group a container has", part)
	}
	return nil
}

func parseHostname(value string) (any, error) {
	v, err := oneLine(value)
	if err != nil {
		return nil, err
	}
	if len(v) > 64 {
		return nil, errors.New("a host name has at most 64 characters")
	}
	for _, label := range strings.Split(v, ".") {
		ok := label != "" && label[0] != '-' && label[len(label)-1] != '-'
		for _, r := range label {
			ok = ok && (r == '-' || r == '_' || r < 128 && (unicode.IsLetter(r) || unicode.IsDigit(r)))
		}
		if !ok {
			return nil, fmt.Errorf("%q is not a host name: letters, digits, '-' and '.' make one", v)
		}
	}
	return v, nil
}

func parseBool(value string) (any, error) {
	v, err := oneLine(value)
	if err != nil {
		return nil, err
	}
	switch strings.ToLower(v) {
	case "true", "yes", "on", "1":
		return true, nil
	case "false", "no", "off", "0":
		return false, nil
	}
	return nil, fmt.Errorf("%q is neither true nor false", v)
}

func parseSeconds(value string) (any, error) {
	v, err := oneLine(value)
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < -1 || n > maxSeconds {
		return nil, fmt.Errorf("%q is not a number of seconds, nor -1 for no limit", v)
	}
	return n, nil
}

// maxSeconds is as long as a grace can be; three years are as good as for ever, and no time.Duration overflows.
const maxSeconds = 100_000_000

func parseSignalSetting(value string) (any, error) {
	v, err := oneLine(value)
	if err != nil {
		return nil, err
	}
	if _, err := parseSignal(v); err != nil {
		return nil, err
	}
	return v, nil
}

// parseSignal knows SIGTERM, TERM, term, 15, RTMIN+3.
func parseSignal(name string) (syscall.Signal, error) {
	sig, err := signal.ParseSignal(name)
	if err != nil || !signal.ValidSignalForPlatform(sig) {
		return 0, fmt.Errorf("%q is not a signal", name)
	}
	return sig, nil
}

func parseEnv(value string) (any, error) {
	items, err := parseList(value)
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		if name, _, _ := strings.Cut(item, "="); name == "" || strings.ContainsFunc(name, unicode.IsSpace) {
			return nil, fmt.Errorf("%q is neither NAME=VALUE nor the NAME of a variable to take away", clip(item))
		}
	}
	return items, nil
}

func parseLabels(value string) (any, error) {
	items, err := parseList(value)
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		if name, _, _ := strings.Cut(item, "="); strings.TrimSpace(name) == "" {
			return nil, fmt.Errorf("%q is not NAME=VALUE", clip(item))
		}
	}
	return items, nil
}

// clip keeps a sentence readable whatever it quotes.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
