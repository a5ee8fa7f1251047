package registry

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// HostPlatform is what this machine runs, without the finer levels of amd64:
// Docker chooses the plain variant too, and an image should have one ID.
func HostPlatform() v1.Platform {
	return normalize(v1.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH})
}

// normalize spells a platform as Docker and containerd do. A variant that is the
// least of its architecture is left out, except for arm, which has always one.
func normalize(p v1.Platform) v1.Platform {
	p.OS, p.Architecture, p.Variant = strings.ToLower(p.OS), strings.ToLower(p.Architecture), strings.ToLower(p.Variant)
	if p.Variant != "" && p.Variant[0] >= '0' && p.Variant[0] <= '9' {
		p.Variant = "v" + p.Variant
	}
	switch p.Architecture {
	case "x86_64", "x86-64":
		p.Architecture = "amd64"
	case "i386", "i486", "i586", "i686", "x86":
		p.Architecture, p.Variant = "386", ""
	case "aarch64":
		p.Architecture = "arm64"
	case "armhf":
		p.Architecture, p.Variant = "arm", "v7"
	case "armel":
		p.Architecture, p.Variant = "arm", "v6"
	}
	switch {
	case p.Architecture == "amd64" && p.Variant == "v1",
		p.Architecture == "arm64" && (p.Variant == "v8" || p.Variant == "v8.0"):
		p.Variant = ""
	case p.Architecture == "arm" && p.Variant == "":
		p.Variant = "v7"
	}
	return p
}

// architectures are those that images are made for, as Go names them.
var architectures = []string{
	"386", "amd64", "arm", "arm64", "loong64", "mips", "mipsle", "mips64", "mips64le", "ppc64", "ppc64le", "riscv64", "s390x",
}

// ParsePlatform reads a platform as docker's --platform has it: "linux/arm64",
// "linux/arm/v7", or only "linux" or an architecture. It comes back as Docker spells
// it; what is no platform that containers of Linux could have is an error in words.
func ParsePlatform(words string) (v1.Platform, error) {
	parts := strings.Split(words, "/")
	p := v1.Platform{OS: "linux", Architecture: HostPlatform().Architecture}
	switch {
	case len(parts) > 3:
		return p, fmt.Errorf("%q is no platform: those are written as linux/arm64 or linux/arm/v7", printable(words))
	case len(parts) == 3:
		p.OS, p.Architecture, p.Variant = parts[0], parts[1], parts[2]
	case len(parts) == 2:
		p.OS, p.Architecture = parts[0], parts[1]
	case !strings.EqualFold(words, "linux"):
		p.Architecture = words
	}
	given := p.Variant != ""
	p = normalize(p)
	switch {
	case len(parts) == 1 && !slices.Contains(architectures, p.Architecture) && slices.Contains(otherSystems, p.Architecture):
		return p, fmt.Errorf("%q is another system than Linux, and hull runs none", printable(words))
	case p.OS != "linux":
		return p, fmt.Errorf("%q is for another system than Linux, and hull runs none; a platform is written as linux/arm64 or linux/arm/v7", printable(words))
	case !slices.Contains(architectures, p.Architecture):
		return p, fmt.Errorf("%q is no platform that hull knows; there are linux/ and one of %s", printable(words), strings.Join(architectures, " "))
	case len(parts) == 3 && !given, p.Variant != "" && !isVariant(p.Variant):
		return p, fmt.Errorf("%q is no platform: what follows its architecture is a version of that, as v7", printable(words))
	}
	return p, nil
}

// otherSystems are words that docker takes for a platform and that are none here.
var otherSystems = []string{"windows", "darwin", "macos", "freebsd", "wasi"}

// isVariant says whether that is a version, as "v7" or "v8.2".
func isVariant(s string) bool {
	digits, ok := strings.CutPrefix(s, "v")
	return ok && digits != "" && len(digits) < 8 && strings.Trim(digits, "0123456789.") == "" && digits[0] != '.'
}

// PlatformName is a platform as Docker prints it: "linux/arm/v7".
func PlatformName(p v1.Platform) string { return platformName(p) }

// Suits is how well something made for one of the platforms offered, as an image's
// Platform names them, does where another is wanted: the place of the best, or -1.
func Suits(want v1.Platform, offered ...string) int {
	list := make([]v1.Platform, len(offered))
	for i, name := range offered {
		if p, err := v1.ParsePlatform(name); err == nil {
			list[i] = *p
		}
	}
	return choose(want, list)
}

// acceptable lists what a host of platform p can run, best first, as containerd
// does: its own variant, the lesser ones, then the architecture's predecessor.
func acceptable(p v1.Platform) []v1.Platform {
	p = normalize(p)
	var all []v1.Platform
	add := func(arch string, variants ...string) {
		for _, v := range variants {
			all = append(all, v1.Platform{OS: p.OS, Architecture: arch, Variant: v})
		}
	}
	arm := []string{"v8", "v7", "v6", "v5"}
	switch p.Architecture {
	case "amd64":
		levels := []string{"v4", "v3", "v2", ""}
		for i, level := range levels {
			if level == p.Variant {
				add("amd64", levels[i:]...)
			}
		}
		add("386", "")
	case "arm64":
		if p.Variant != "" {
			add("arm64", p.Variant)
		}
		add("arm64", "")
		add("arm", arm...)
	case "arm":
		for i, v := range arm {
			if v == p.Variant {
				add("arm", arm[i:]...)
			}
		}
	}
	if len(all) == 0 {
		add(p.Architecture, p.Variant)
	}
	return all
}

// choose returns the index of the best of the platforms offered, the first of
// equals, or -1 if the host can run none.
func choose(host v1.Platform, offered []v1.Platform) int {
	for _, want := range acceptable(host) {
		for i, have := range offered {
			have = normalize(have)
			if have.OS == want.OS && have.Architecture == want.Architecture && have.Variant == want.Variant {
				return i
			}
		}
	}
	return -1
}

// platformName is a platform as Docker prints it: "linux/arm/v7".
func platformName(p v1.Platform) string {
	p = normalize(p)
	name := printable(p.OS + "/" + p.Architecture)
	if p.Variant != "" {
		name += printable("/" + p.Variant)
	}
	return name
}

// unsuited is the reason for which an image cannot be used on a host.
func unsuited(host v1.Platform, offered []v1.Platform) string {
	var names []string
	seen := map[string]bool{}
	for _, p := range offered {
		if name := platformName(p); !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	if more := len(names) - 12; more > 0 {
		names = append(names[:12], fmt.Sprintf("%d more", more))
	}
	wanted := ", and this host is " + platformName(host) + "; pull it with --platform to have it nevertheless"
	if p := normalize(host); !p.Equals(HostPlatform()) {
		wanted = ", and " + platformName(p) + " is asked for"
	}
	switch len(names) {
	case 0:
		return "it is for no platform at all"
	case 1:
		return "it is for " + names[0] + wanted
	}
	return "it is for " + strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1] + wanted
}
