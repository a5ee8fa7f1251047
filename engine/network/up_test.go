package network

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Who has a kernel without a part of what networks are made of is told which, and what works nevertheless.
func TestAKernelThatLacksAPart(t *testing.T) {
	n := onPaper(t)
	said := func(err error) error { return fmt.Errorf("netlink receive: %w", err) }
	for _, c := range []struct {
		err  error
		kind Kind
		says string
	}{
		{lacking(partBridges, "back", said(unix.EOPNOTSUPP), "the bridge cannot be made"), Unsupported, "no bridges (the module bridge); containers with the network host or none work"},
		{lacking(partBridges, "back", said(unix.ENOSPC), "the bridge cannot be made"), Full, "the bridge cannot be made"},
		{lacking(partPairs, "back", said(unix.EOPNOTSUPP), "the link cannot be made"), Unsupported, "no pairs of links (the module veth); containers with the network host or none work"},
		{n.noRules("back", said(unix.ENOENT)), Unsupported, "nf_tables with inet, bridge, nat, fib and masq"},
		{n.noRules("back", said(unix.EAFNOSUPPORT)), Unsupported, "containers with the network host or none work"},
		{n.noRules("back", said(unix.EPERM)), System, "the rules of the network back cannot be written"},
		{n.noRules("back", fail("write", "", Interrupted, "hull is ending")), Interrupted, "hull is ending"},
	} {
		var e *Error
		if !errors.As(c.err, &e) || KindOf(c.err) != c.kind || !strings.Contains(c.err.Error(), c.says) {
			t.Errorf("%v (kind %d), want %q (kind %d)", c.err, KindOf(c.err), c.says, c.kind)
		}
	}
}
