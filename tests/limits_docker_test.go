package tests

import (
	"strings"
	"testing"

	"hull/tests/image"
)

// inForce prints what the kernel has of a container's limits, as the container sees it: version 1's files or version 2's, but for
// the weight, which older Dockers convert in another way.
const inForce = `cd /sys/fs/cgroup
for f in memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us cpu/cpu.shares pids/pids.max \
	memory.max memory.swap.max cpu.max pids.max; do if test -e $f; then echo $f $(cat $f); fi; done`

// TestLimitsLikeDocker demands that docker's flags of limits come to the same in the kernel, when a container starts and
// when they are changed while it runs, and that what docker refuses is refused.
func TestLimitsLikeDocker(t *testing.T) {
	docker := docker(t)
	set, err := image.Set()
	if err != nil {
		t.Fatal(err)
	}
	at := dockerRegistry(t)
	if err := image.Push(at, map[string]any{"limits:1": set["host:1"]}); err != nil {
		t.Fatal(err)
	}
	ref := at + "/limits:1"
	sh := mountHull(t)
	docker("pull", "-q", ref)
	sh("./pull " + ref)
	same := func(what, ours, theirs string) {
		t.Helper()
		if ours != theirs || !strings.Contains(ours, "pids.max ") {
			t.Errorf("%s: the kernel has\n%swith Docker\n%s", what, ours, theirs)
		}
	}
	for _, flags := range []string{
		"-m 64m --pids-limit 50", // swap as much again
		"-m 64m --memory-swap 64m --pids-limit -1",
		"--memory 1.5g --memory-swap 2g --cpus 0.5 --pids-limit 50",
		"-m 67108864 --memory-swap -1 -c 512 --pids-limit 0",
		"--cpu-shares 2 --cpus 1 --pids-limit 50",
		"--memory-swap -1 --pids-limit 50",
		"--pids-limit 50 --ulimit nofile=64:128 --ulimit core=0 --ulimit nproc=500:1000",
	} {
		command := inForce
		if strings.Contains(flags, "--ulimit") {
			command += "; ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -Hc; ulimit -Su"
		}
		theirs := docker(append(append([]string{"run", "--rm", "--network", "none"}, strings.Fields(flags)...), ref, "bash", "-c", command)...)
		same(flags, sh("./run --rm "+flags+" "+quoted([]string{ref, "bash", "-c", command})), theirs)
	}

	docker("run", "-d", "--network", "none", "--name", "limits", "--pids-limit", "50", ref, "sleep", "1000")
	t.Cleanup(func() { docker("rm", "-f", "limits") })
	sh("./run -d --name limits --pids-limit 50 " + ref + " sleep 1000")
	config := func(name, value string) { sh("echo " + value + " > containers/limits/config/" + name) }
	for _, step := range []struct {
		update string
		change func()
	}{
		{"-m 64m --memory-swap 96m", func() { config("memory", "64m"); config("memory_swap", "96m") }},
		{"--memory-swap 512m", func() { config("memory_swap", "512m") }},
		{"-m 256m", func() { config("memory", "256m") }},
		{"--cpus 0.75", func() { config("cpus", "0.75") }},
		{"--cpu-shares 256", func() { config("cpu_shares", "256") }},
		{"--pids-limit 20", func() { config("pids", "20") }},
		{"--pids-limit -1", func() { config("pids", "-1") }},
	} {
		docker(append(append([]string{"update"}, strings.Fields(step.update)...), "limits")...)
		step.change()
		same("update "+step.update, sh("containers/limits/enter sh -c "+quoted([]string{inForce})), docker("exec", "limits", "sh", "-c", inForce))
	}

	client := dockerClient(t)
	for _, flags := range []string{
		"-m 1m", "-m 64m --memory-swap 32m", "--memory-swap 64m", "-m lots", "--memory-swap lots", "--cpus 100000", "--cpus -1", "--cpus x",
		"--cpu-shares 1", "--cpu-shares x", "--pids-limit x", "--ulimit nofile=2:1", "--ulimit nosuch=1", "--ulimit nofile", "--ulimit nofile=x",
	} {
		args := append(append([]string{"run", "--rm", "--network", "none"}, strings.Fields(flags)...), ref, "true")
		if out, err := dockerd.client(client, args...).CombinedOutput(); err == nil {
			t.Errorf("Docker takes %s: %s", flags, out)
		}
		code := line(sh("./run --rm " + flags + " " + ref + " true > $DIR/out 2>&1; echo $?"))
		if code != "125" {
			t.Errorf("hull does not refuse %s: exit status %s", flags, code)
		}
	}
}
