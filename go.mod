module hull

go 1.26.8

require (
	github.com/creack/pty v1.1.24 // terminals, in tests and for the helper
	github.com/docker/docker-credential-helpers v0.9.13 // the protocol of the helpers that keep registry passwords
	github.com/docker/go-units v0.5.0 // sizes and ulimits written as docker has them
	github.com/dustinkirkland/golang-petname v0.0.0-20260215035315-f0c533e9ce9b // names of containers that were given none
	github.com/google/go-cmp v0.7.0 // differences that a person can read, in tests
	github.com/google/go-containerregistry v0.22.1 // the types of manifests and configs; registries and archives in tests
	github.com/google/nftables v0.3.0 // rules of the kernel's firewall, without a program
	github.com/google/shlex v0.0.0-20191202100458-e7afc7fbc510 // commands written as a shell would
	github.com/hanwen/go-fuse/v2 v2.12.1 // serves the tree
	github.com/klauspost/compress v1.20.4 // inflates gzip and zstd, faster than the standard library
	github.com/mdlayher/netlink v1.7.3-0.20250113171957-fbb4dce95f42 // nftables' own connection to the kernel; links of a start, several messages at a time
	github.com/miekg/dns v1.1.73 // names of containers, and what the host's servers say of others
	github.com/moby/profiles/seccomp v0.3.0 // Docker's own profile as data
	github.com/moby/sys/signal v0.7.1 // names of signals
	github.com/opencontainers/runtime-spec v1.3.0 // the profile's types
	github.com/rogpeppe/go-internal v1.16.0 // testscript, which runs the scripts of tests/testdata
	github.com/spf13/cobra v1.10.2 // the command line
	github.com/spf13/pflag v1.0.10 // cobra's flags, for the man page
	github.com/vishvananda/netlink v1.3.1 // bridges, routes and connections, as what the kernel tells of them
	github.com/vishvananda/netns v0.0.5 // the type by which netlink is told a network namespace
	golang.org/x/net v0.61.0 // filters of what the kernel tells, so that an idle hull is not woken
	golang.org/x/sync v0.25.0 // bounded groups of goroutines
	golang.org/x/sys v0.50.0 // system calls
)

require (
	github.com/docker/cli v29.7.2+incompatible // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/mdlayher/socket v0.5.0 // indirect
	github.com/opencontainers/go-digest v1.0.0 // indirect
	github.com/opencontainers/image-spec v1.1.1 // indirect
	github.com/sirupsen/logrus v1.9.4 // indirect
	golang.org/x/tools v0.52.0 // indirect
	gotest.tools/v3 v3.5.2 // indirect
)
