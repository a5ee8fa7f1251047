package tests

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/creack/pty"
	"github.com/rogpeppe/go-internal/testscript"
)

// cmdPTY runs a line of shell on a terminal of 24 rows and 80 columns and holds
// a conversation: pty CONVERSATION 'LINE'. The conversation's lines are:
//
//	> TEXT       type TEXT and return
//	^ C          type ctrl-C (any letter)
//	< REGEXP     wait until what was printed since the last match has it
//	! REGEXP     nothing that was printed so far has it
//	size R C     resize the terminal
//	exit N       wait for the end, with this status
func cmdPTY(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: pty CONVERSATION 'COMMAND LINE'")
	}
	cmd := exec.Command("sh", "-c", args[1])
	cmd.Dir = of(ts).path("hull")
	cmd.Env = append(os.Environ(), "TERM=xterm", "PS1=host> ", "H="+ts.Getenv("H"), "I="+ts.Getenv("I"), "REG="+ts.Getenv("REG"), "HOME="+ts.Getenv("HOME"), "AUTH="+ts.Getenv("AUTH"), "WORK="+ts.Getenv("WORK"))
	f, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	ts.Check(err)
	c := &conversation{f: f, cmd: cmd, ended: make(chan error, 1)}
	go c.read()
	go func() { c.ended <- cmd.Wait() }()
	defer func() {
		_ = cmd.Process.Kill()
		_ = f.Close()
	}()
	for _, line := range strings.Split(strings.TrimSpace(ts.ReadFile(filepath.Join(ts.Getenv("WORK"), args[0]))), "\n") {
		if why := c.step(strings.TrimSpace(line)); why != "" {
			ts.Fatalf("%s: %s\nprinted:\n%s", line, why, c.text())
		}
	}
	ts.Logf("%s", c.text())
}

type conversation struct {
	f     *os.File
	cmd   *exec.Cmd
	ended chan error

	mu   sync.Mutex
	out  bytes.Buffer
	from int // what was matched already
}

func (c *conversation) read() {
	b := make([]byte, 4096)
	for {
		n, err := c.f.Read(b)
		c.mu.Lock()
		c.out.Write(b[:n])
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (c *conversation) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.String()
}

func (c *conversation) step(line string) string {
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "", "#":
		return ""
	case ">":
		return c.write(rest + "\r")
	case "^":
		return c.write(string(rune(strings.ToUpper(rest)[0] - '@')))
	case "<":
		return c.expect(regexp.MustCompile(rest))
	case "!":
		if regexp.MustCompile(rest).MatchString(c.text()) {
			return "it was printed"
		}
		return ""
	case "size":
		var r, col int
		fields := strings.Fields(rest)
		r, _ = strconv.Atoi(fields[0])
		col, _ = strconv.Atoi(fields[1])
		if err := pty.Setsize(c.f, &pty.Winsize{Rows: uint16(r), Cols: uint16(col)}); err != nil {
			return err.Error()
		}
		return ""
	case "exit":
		return c.exit(rest)
	}
	return "not a line of a conversation"
}

func (c *conversation) write(s string) string {
	if _, err := c.f.WriteString(s); err != nil {
		return err.Error()
	}
	return ""
}

func (c *conversation) expect(re *regexp.Regexp) string {
	deadline := time.Now().Add(patience)
	for {
		c.mu.Lock()
		at := re.FindIndex(c.out.Bytes()[c.from:])
		if at != nil {
			c.from += at[1]
		}
		c.mu.Unlock()
		if at != nil {
			return ""
		}
		if time.Now().After(deadline) {
			return "not printed"
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (c *conversation) exit(want string) string {
	select {
	case <-c.ended:
	case <-time.After(patience):
		return "did not end"
	}
	if got := strconv.Itoa(c.cmd.ProcessState.ExitCode()); got != want {
		return "ended with " + got
	}
	return ""
}
