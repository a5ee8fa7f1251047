package engine

import (
	"slices"
	"strings"

	"hull/engine/launch"
	"hull/engine/plan"
	"hull/engine/seccomp"
)

// privileges are what the processes of a container may do. The zero value is the default.
type privileges struct {
	// Capabilities are names; nil is the default ones.
	Capabilities []string `json:"capabilities,omitempty"`
	// None is set where there are no capabilities at all.
	None bool `json:"no_capabilities,omitempty"`
	// Gains is set where set-user-ID programs and file capabilities count: without no_new_privs.
	Gains bool `json:"new_privileges,omitempty"`
	// Profile is a seccomp profile, unconfined, or empty for the default one.
	Profile string `json:"seccomp,omitempty"`
	// HostUsers is set where there is no user namespace.
	HostUsers bool `json:"host_users,omitempty"`
	// Privileged takes the masks and the device filter away, too.
	Privileged bool `json:"privileged,omitempty"`
}

// privileges puts the settings together. A privileged container has everything, as Docker's has; only no_new_privileges
// and seccomp, if they are set, hold for it as well.
func (v values) privileges() privileges {
	p := privileges{
		Privileged: v.flag("privileged"), Profile: v.text("seccomp"), HostUsers: v.text("userns") == hostUsers,
	}
	if p.Privileged {
		p.HostUsers = true
		if p.Profile == "" {
			p.Profile = unconfined
		}
	}
	p.Gains = p.Privileged
	if held, ok := v["no_new_privileges"].(bool); ok {
		p.Gains = !held
	}
	p.Capabilities = v.capabilities(p.Privileged)
	p.None = p.Capabilities != nil && len(p.Capabilities) == 0
	return p
}

// capabilities are Docker's rules: ALL added is all but those dropped; ALL dropped is those added.
func (v values) capabilities(privileged bool) []string {
	add, drop := v.list("cap_add"), v.list("cap_drop")
	if len(add) == 0 && len(drop) == 0 && !privileged {
		return nil
	}
	names := plan.DefaultCapabilities()
	switch {
	case privileged:
		names = everyCapability()
	case slices.Contains(add, allCapabilities):
		names = everyCapability()
	case slices.Contains(drop, allCapabilities):
		names, drop = nil, nil
	}
	names = slices.DeleteFunc(slices.Concat(names, add), func(n string) bool {
		return n == allCapabilities || slices.Contains(drop, n) || slices.Contains(drop, allCapabilities)
	})
	slices.Sort(names)
	return append([]string{}, slices.Compact(names)...)
}

// everyCapability are all that have a name; the launcher leaves out those that this kernel has not.
func everyCapability() []string { return plan.CapabilityNames(^uint64(0)) }

// names are the capabilities for the launcher, to which nil means the default ones.
func (p privileges) names() []string {
	if p.None {
		return []string{}
	}
	return p.Capabilities
}

// filter is the profile that holds; nil lets every system call pass.
func (p privileges) filter() (*seccomp.Profile, error) {
	switch p.Profile {
	case "":
		return seccomp.Default(), nil
	case unconfined:
		return nil, nil
	}
	profile, err := seccomp.Parse(p.Profile)
	if err != nil {
		return nil, fail("start", "", Invalid, "the seccomp profile cannot be used: %w", err)
	}
	return profile, nil
}

// kernel says what the settings change of what the container has of the kernel. It is built before anything of the image
// is there.
func (v values) kernel(spec *launch.Spec) {
	for _, item := range v.list("sysctls") {
		name, value, _ := strings.Cut(item, "=")
		spec.Sysctls = append(spec.Sysctls, launch.Sysctl{Name: name, Value: value})
	}
	spec.ShmSize = v.number("shm_size", 0)
	if v.flag("privileged") {
		spec.Privileged, spec.Masked, spec.ReadOnlyPaths = true, []string{}, []string{}
	}
}
