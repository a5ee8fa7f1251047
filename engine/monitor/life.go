package monitor

import (
	"bytes"
	"fmt"
	"os"
	"time"

	"hull/engine/internal/sys"
)

// Life tells the monitor that is this process's parent from any other, also of another day: what a daemon leaves to the
// next one of the same mount is not what it leaves to a new mount. Empty if that cannot be known.
func Life() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	parent := os.Getppid()
	stat, err := sys.ReadStat(parent)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s %d %d", bytes.TrimSpace(boot), parent, stat.Began/(10*time.Millisecond))
}
