package registry

import (
	"fmt"
	"runtime"
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
	switch len(names) {
	case 0:
		return "it is for no platform at all"
	case 1:
		return "it is for " + names[0] + ", and this host is " + platformName(host)
	}
	return "it is for " + strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1] +
		", and this host is " + platformName(host)
}
