package plan

import (
	"fmt"
	"strings"
)

// capabilityNames in the order of their numbers.
func capabilityNames() []string {
	return strings.Fields("CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE")
}

// CapabilityMask makes a mask of names, with or without CAP_, in any case.
func CapabilityMask(names []string) (mask uint64, err error) {
	known := map[string]int{}
	for i, n := range capabilityNames() {
		known[n] = i
	}
	for _, n := range names {
		i, ok := known[strings.TrimPrefix(strings.ToUpper(n), "CAP_")]
		if !ok {
			return 0, fmt.Errorf("there is no capability %q", n)
		}
		mask |= 1 << i
	}
	return mask, nil
}

// CapabilityNames are the names, with CAP_, of a mask.
func CapabilityNames(mask uint64) []string {
	var names []string
	for i, n := range capabilityNames() {
		if mask>>i&1 != 0 {
			names = append(names, "CAP_"+n)
		}
	}
	return names
}
