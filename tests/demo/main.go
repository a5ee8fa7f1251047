// Demo goes through a whole session with hull on this machine: it starts a
// registry on loopback that holds images made on the spot, mounts hull in a
// directory of its own, and prints each command with its real output. Any
// failure is its exit status.
//
// With -serve ADDR it only serves the registry, for trying hull by hand.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"hull/tests/image"
)

// session is what the demo does, a line of shell each, in the mounted
// directory. I stands for images/ADDR.
var session = []string{
	"ls",
	"mkdir -p $I/host:1                     # pull",
	"$I/host:1/wait",
	"cat $I/host:1/progress",
	"cat images.txt",
	"ls $I/host:1/rootfs/                   # browse it without running it",
	"mkdir $I/host:1/containers/web         # run",
	"cat containers/web/status",
	"containers/web/wait; cat containers.txt",
	"rmdir containers/web",
	"./run --rm $REG/host:1 echo hello from a container",
	"./run -d --name clock $REG/host:1 sh -c 'while :; do date +%T.%N; sleep 0.2; done'",
	"timeout 2 tail -s 0.2 -f containers/clock/logs || true",
	"echo 'from inside:'; containers/clock/exec/sh -c 'id; hostname; ls -l /dev/null'",
	"containers/clock/exec/tar cf - -C / etc | tar tf - | head -3",
	"cat containers/clock/rootfs/etc/release",
	"rmdir containers/clock || cat error     # it runs: refused, and why",
	"echo 'stop 1' > containers/clock/ctl",
	"cat containers/clock/status containers/clock/exit",
	"rm -r containers/clock",
	"rmdir $I/host:1; cat images.txt        # untag, delete",
}

func main() {
	hull := flag.String("hull", "bin/hull", "the binary to show")
	serve := flag.String("serve", "", "only serve the registry, at this address")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *hull, *serve); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, hull, serve string) error {
	at := serve
	if at == "" {
		at = "127.0.0.1:0"
	}
	addr, closeRegistry, err := startRegistry(ctx, at)
	if err != nil {
		return err
	}
	defer closeRegistry()
	if serve != "" {
		fmt.Println("serving", addr)
		<-ctx.Done()
		return nil
	}
	hull, err = filepath.Abs(hull)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "hull-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return show(ctx, hull, dir, addr)
}

// startRegistry serves the set of test images on loopback.
func startRegistry(ctx context.Context, at string) (addr string, closeAll func(), err error) {
	set, err := image.Set()
	if err != nil {
		return "", nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", at)
	if err != nil {
		return "", nil, err
	}
	srv := &http.Server{
		Handler:           registry.New(registry.Logger(log.New(io.Discard, "", 0))),
		ReadHeaderTimeout: time.Minute,
	}
	go func() { _ = srv.Serve(l) }()
	addr = l.Addr().String()
	if err := image.Push(addr, set); err != nil {
		_ = srv.Close()
		return "", nil, err
	}
	return addr, func() { _ = srv.Close() }, nil
}

func show(ctx context.Context, hull, dir, addr string) (err error) {
	mnt, run := dir+"/hull", dir+"/run"
	fmt.Println("$ hull mount --background", mnt)
	mount := exec.CommandContext(ctx, hull, "mount", "--background", "--store", dir+"/store", "--run", run, mnt)
	mount.Stdout, mount.Stderr = os.Stdout, os.Stderr
	if err := mount.Run(); err != nil {
		return fmt.Errorf("hull mount: %w", err)
	}
	defer func() {
		fmt.Println("$ hull umount --stop", mnt)
		// The session's context may have ended; the mount must not stay for that.
		c, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		out, e := exec.CommandContext(c, hull, "umount", "--stop", mnt).CombinedOutput()
		if e != nil {
			err = errors.Join(err, fmt.Errorf("hull umount: %w: %s", e, out))
		}
	}()
	for _, line := range session {
		fmt.Printf("$ %s\n", strings.NewReplacer("$I", "images/"+addr, "$REG", addr).Replace(line))
		cmd := exec.CommandContext(ctx, "sh", "-c", line)
		cmd.Dir = mnt
		cmd.Env = append(os.Environ(), "I=images/"+addr, "REG="+addr)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
	}
	return nil
}
