package tests

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sys/unix"

	"hull/tests/image"
)

// meaning is one case of what an image's configuration or a flag means. The line is a piece of shell that is run
// twice, with docker's containers and with hull's; what it prints and its exit status are compared.
//
// In a line, $R is where the images are, $S one with volumes that have files, and $N a name for a container, which is removed afterwards. The functions are
// run, linked (run, with a network), detached (run -d), into NAME FLAGS COMMAND… (exec), ctl NAME VERB [ARGUMENT] (start, stop, kill …), code NAME
// (waits for the end and prints the exit status), logs NAME, and look NAME FILE (what hull has a file for). $T is a
// directory.
type meaning struct {
	name, line string
	// hull is what comes of it with hull where that is something else on purpose, and why the reason.
	hull, why string
}

// ours is how the functions are written for hull.
const ours = `
run() { ./run "$@"; }
linked() { ./run "$@"; }
detached() { ./run -d "$@" > /dev/null; }
into() { n=$1 f=$2; shift 2; containers/$n/enter $f "$@"; }
ctl() { n=$1; shift; echo "$@" > containers/$n/ctl; }
code() { containers/$1/wait; echo $?; }
logs() { cat containers/$1/logs; }
look() {
	case $2 in
	labels) sed -n '/^  "labels": {/,/^  }/s/^ *"\(.*\)": "\(.*\)",*$/\1 \2/p' containers/$1/inspect.json ;;
	*) cat containers/$1/$2 ;;
	esac
}
`

// theirs is the same for docker.
const theirs = `
docker() { "$CLIENT" "$@"; }
run() { docker run --network none "$@"; }
linked() { docker run "$@"; }
detached() { docker run -d --network none "$@" > /dev/null; }
into() { n=$1 f=$2; shift 2; docker exec $f $n "$@"; }
ctl() {
	n=$1 verb=$2
	shift 2
	case $verb in
	kill) set -- ${1:+-s $1} ;;
	stop | restart) set -- ${1:+-t $1} ;;
	esac
	docker $verb "$@" $n > /dev/null
}
code() { docker wait $1; }
logs() { docker logs $1; }
look() {
	case $2 in
	status) docker inspect -f '{{.State.Status}}' $1 ;;
	restarts) docker inspect -f '{{.RestartCount}}' $1 ;;
	exit) docker inspect -f '{{.State.ExitCode}}' $1 ;;
	health) docker inspect -f '{{.State.Health.Status}}' $1 ;;
	changes) docker diff $1 ;;
	labels) docker inspect -f '{{range $name, $value := .Config.Labels}}{{println $name $value}}{{end}}' $1 | grep . ;;
	esac
}
`

// TestSemantics compares what images and flags mean with docker.
func TestSemantics(t *testing.T) {
	docker(t)
	m := ground(t, "semantics")
	m.mount(t)
	for repo, change := range meantImages {
		variant(t, "means/"+repo+":1", change)
	}
	for _, dir := range []string{m.path("docker"), m.path("ours")} {
		if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(dir+"/env", []byte(meantEnv), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	client := dockerClient(t)
	for i, c := range meanings {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // docker mostly waits
			n := fmt.Sprintf("case-%d", i)
			theirs := dockerd.client("sh", "-c", theirs+c.line)
			theirs.Env = append(theirs.Env, "CLIENT="+client)
			ours := exec.Command("sh", "-c", "cd \"$H\"\n"+ours+c.line)
			ours.Env = append(os.Environ(), "H="+m.path("hull"))
			want := make(chan string, 1)
			go func() { want <- meant(theirs, m.path("docker"), n) }()
			got := meant(ours, m.path("ours"), n)
			compare(t, c, got, <-want)
			if strings.Contains(c.line, "$N") {
				_ = dockerd.client(client, "rm", "-f", n).Run() // it need not be there any more
				m.must(t, fmt.Sprintf("! test -d containers/%[1]s || echo 'remove force' > containers/%[1]s/ctl", n))
			}
		})
	}
}

func compare(t *testing.T, c meaning, hull, docker string) {
	t.Helper()
	switch {
	case c.why == "" && hull != docker:
		t.Errorf("%s\ndocker: %q\nhull:   %q", c.line, docker, hull)
	case c.why != "" && hull != c.hull:
		t.Errorf("%s\nhull:   %q\nwanted: %q\ndocker: %q", c.line, hull, c.hull, docker)
	case c.why != "" && hull == docker:
		t.Errorf("%s\nhull is as docker is, so there is no difference to explain: %q", c.line, docker)
	}
}

// meant runs a line. It answers what it printed, and how it ended.
func meant(cmd *exec.Cmd, dir, container string) string {
	cmd.Env = append(cmd.Env, "R="+addr+"/means", "S="+addr+"/seeded:1", "N="+container, "T="+dir, "CALLER=the caller's")
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	late := time.AfterFunc(patience, func() { _ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) })
	defer late.Stop()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err.Error()
	}
	return fmt.Sprintf("%sexit %d", stdout.String(), cmd.ProcessState.ExitCode())
}

// variant pushes the image of the host's programs with another configuration.
func variant(t *testing.T, as string, change func(*v1.Config)) {
	t.Helper()
	ref, err := name.ParseReference(addr+"/host:1", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	change(&file.Config)
	if img, err = mutate.ConfigFile(img, file); err != nil {
		t.Fatal(err)
	}
	if err := image.Push(addr, map[string]any{as: img}); err != nil {
		t.Fatal(err)
	}
}
