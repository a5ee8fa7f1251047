package child

import (
	"fmt"
	"strings"
)

// Describe lists the program's calls as strace would, with name giving the
// system calls' names. Golden files are made of it.
func (p *Program) Describe(name func(nr uint64) string) string {
	var b strings.Builder
	var step Step
	for i, c := range p.calls {
		if i == 0 || c.step != step {
			step = c.step
			fmt.Fprintf(&b, "%s\n", step.What)
		}
		if c.nr == opJump {
			b.WriteString("\tjump to it\n")
			continue
		}
		args := make([]string, count(c.args))
		for j := range args {
			args[j] = c.args[j].describe()
		}
		fmt.Fprintf(&b, "\t%d %s(%s)%s\n", i, name(c.nr), strings.Join(args, ", "), flagNote(c.flags))
	}
	return b.String()
}

// count leaves out the zeros at the end, which a call may not even have.
func count(args []Arg) int {
	n := len(args)
	for n > 0 && args[n-1].kind == argInt && args[n-1].value == 0 {
		n--
	}
	return n
}

func flagNote(flags uint64) string {
	switch flags {
	case flagTry:
		return ", or not"
	case flagAbsent:
		return ", if it is there"
	case flagExists:
		return ", unless it is there"
	case flagAwait:
		return ", or end"
	}
	return ""
}

// describe gives an argument as text. Long data is only counted.
func (a Arg) describe() string {
	const long = 200
	switch a.kind {
	case argBytes:
		if len(a.data) > long {
			return fmt.Sprintf("[%d bytes]", len(a.data))
		}
		return fmt.Sprintf("%q", strings.TrimRight(string(a.data), "\x00"))
	case argBuffer:
		return fmt.Sprintf("[buffer of %d]", len(a.data))
	case argStruct:
		parts := make([]string, len(a.parts))
		for i, f := range a.parts {
			parts[i] = f.describe()
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case argResult:
		return fmt.Sprintf("result %d", a.value)
	case argPlace:
		return fmt.Sprintf("argument %d of %d", a.arg, a.value)
	case argInt:
	}
	switch n := int64(a.value); {
	case n < 0:
		return fmt.Sprint(n)
	case n < 1024:
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%#x", a.value)
}
