package fs

import (
	"context"
	"strconv"
	"time"
)

// table is the tree: every name, once. Sizes, look-ups, listings, README and TREE.md follow from it.
//
//go:generate go test -run TestTreeDocument -update .
func table(settings []Setting) *row {
	root := dir("", 0o755, "",
		text("README", 0o644, "how to use this tree", readme),
		verb("run", "IMAGE [COMMAND…] with docker run's flags; pulls the image if it is absent"),
		verb("pull", "REFERENCE; shows progress on a terminal, ends when the pull ends (-q quiet, -a all tags, --platform linux/arm64)"),
		verb("load", "a docker or OCI archive on its input, or written to it, becomes images; prints their names").streams(loadArchive),
		verb("prune", "[-n] [-a] containers|images|networks|volumes|all: what nobody uses goes; prints it, and how many bytes; all leaves volumes"),
		ctl("ctl", "commands of the whole", rootCommands()).only(kept),
		text("error", 0o644, "the last failure of your own calls", userError),
		growing("events", 0o644, "what happened, a line of JSON each (hullfs(5)); of others' objects root and the group see it; a bounded ring on disk", events),
		text("info", 0o644, "this hull and its host, a \"key value\" line each", info),
		text("df", 0o644, "what takes the disk and what is shared, a \"key value\" line each", df),
		text("version", 0o644, "hull's version", version),
		text("containers.txt", 0o644, "docker container ls -a", allContainers),
		text("running.txt", 0o644, "docker container ls", runningContainers),
		text("images.txt", 0o644, "docker image ls", allImages),
		text("containers.json", 0o644, "every container, for scripts", containersJSON),
		text("images.json", 0o644, "every image, for scripts", imagesJSON),
		collection("images", 0o755, "images by reference · mkdir REF pulls · rmdir REF untags · ln -s REF NEW tags · mv retags",
			openImages, imageRow(), unlisted("error", "the last failure among images", placeError("images"))),
		collection("containers", 0o755, "containers by name · mkdir NAME creates · rmdir removes · mv renames",
			openContainers, containerRow(settings), unlisted("error", "the last failure among containers", placeError("containers"))),
		collection("volumes", 0o755, "volumes by name: directories that outlive containers · mkdir NAME makes · rmdir removes an empty one",
			openVolumes, volumeRow(), unlisted("error", "the last failure among volumes", placeError("volumes"))),
		collection("networks", 0o755, "networks by name: bridges with subnets of their own · mkdir NAME makes · rmdir removes one that no container is on",
			openNetworks, networkRow(), unlisted("error", "the last failure among networks", placeError("networks"))),
		collection("registries", 0o755, "registries by host · mkdir HOST makes one known · rmdir logs out and forgets it",
			openRegistries, registryRow(), unlisted("error", "the last failure among registries", placeError("registries"))),
		collection("layers", 0o755, "the layers that images are made of, each stored once; they come and go with images",
			openLayers, layerRow()),
		dir("rootfs", 0o755, "where the links named rootfs lead",
			collection("containers", 0o755, "the containers' file systems, read-write", openContainerRoots,
				passthrough("NAME", "a container's file system; root only, others copy with exec/tar")),
			collection("images", 0o755, "the images' file systems, read-only", openImageRoots,
				passthrough("ID", "an image's file system; root only")),
			collection("volumes", 0o755, "the volumes' files, read-write", openVolumeRoots,
				passthrough("NAME", "a volume's files, with owners as containers see them; root only")),
			collection("layers", 0o755, "the layers by themselves, read-only", openLayerRoots,
				passthrough("ID", "what one layer brings; a device 0,0 stands for what it takes away; root only")),
		),
	)
	return root.link(nil)
}

// imageRow is an image's directory.
func imageRow() *row {
	return member("REF", "one image", openImage,
		imageText("id", "the config's digest, as docker's IMAGE ID", func(i *Image) string { return line(i.ID) }),
		imageText("digest", "the digest of what the reference named", func(i *Image) string { return line(i.Digest) }),
		imageText("size", "bytes of its layers, unpacked", imageSize),
		imageText("created", "when it was built", func(i *Image) string { return stamp(i.Created) }),
		imageText("platform", "what machine it is for, as linux/amd64", func(i *Image) string { return line(i.Platform) }),
		imageText("status", "one word: waiting pulling ready failed pushing", func(i *Image) string { return line(i.Status) }),
		text("error", 0o644, "why its last command, pull or push failed; empty if it did not", imageError),
		imageText("bytes", "done and total of a pull or push under way", imageBytes),
		imageText("tags", "every reference to this id, one a line", func(i *Image) string { return lines(i.Tags) }),
		text("config.json", 0o644, "the image config, as the registry gave it", document(func(d *Documents) []byte { return d.Config })),
		text("manifest.json", 0o644, "the manifest, as the registry gave it", document(func(d *Documents) []byte { return d.Manifest })),
		text("history", 0o644, "docker history", document(func(d *Documents) []byte { return d.History })),
		growing("progress", 0o644, "a line a layer, as docker pull and push print them", progress),
		ctl("ctl", "commands of the image", imageCommands()),
		verb("wait", "until a pull or push has ended; exit status 1 and the reason if it failed"),
		verb("run", "a container of this image: [COMMAND…] with docker run's flags"),
		verb("save", "a docker archive, which is an OCI layout too, on its output: [IMAGE…] for more images in it"),
		collection("containers", 0o755, "links to its containers · mkdir NAME creates and starts one", openImageContainers,
			link("NAME", "to the container, which is removed in containers/", toContainer)),
		collection("layers", 0o755, "links to its layers: 0 is the lowest", openImageLayers,
			link("N", "to the layer", toLayer)),
		link("rootfs", "the image's file system, read-only", imageRootfs).only(imageReady),
	)
}

// containerRow is a container's directory.
func containerRow(settings []Setting) *row {
	var config []*row
	for _, s := range settings {
		config = append(config, setting(s))
	}
	config = append(config, setting(Setting{Name: "json", Mode: 0o640, Summary: "all that are set, as one JSON object; writing it sets all of them or none"}),
		text("pending", 0o640, "settings that await the next start, one a line", pending))
	return member("NAME", "one container", openContainer,
		containerText("id", 0o644, "its ID, 64 hex digits", func(c *Container) string { return line(c.ID) }),
		containerText("image", 0o644, "the reference it was made from", func(c *Container) string { return line(c.Image) }),
		containerText("command", 0o640, "the command line in force", func(c *Container) string { return line(c.Command) }),
		containerText("created", 0o644, "when it was created", func(c *Container) string { return stamp(c.Created) }),
		containerText("started", 0o644, "when it was last started; empty if never", func(c *Container) string { return stamp(c.Started) }),
		containerText("finished", 0o644, "when it last ended; empty if never or if it runs", finished),
		containerText("pid", 0o644, "the host's id of its first process; empty if it does not run", func(c *Container) string { return line(c.Process) }),
		containerText("exit", 0o644, "the code it ended with, 128+n for a signal; empty if it has not", exitCode),
		containerText("status", 0o644, "one word: created waiting running paused stopping restarting exited dead", func(c *Container) string { return line(c.Status) }),
		text("error", 0o644, "why its last command or run failed; empty if it did not", containerError),
		containerText("restarts", 0o644, "how often its restart policy has started it, or is about to, since somebody did", func(c *Container) string { return line(strconv.Itoa(c.Restarts)) }),
		containerText("oom", 0o644, "true if in its last run the kernel has ended something for want of memory, else false", func(c *Container) string { return line(strconv.FormatBool(c.OOM)) }),
		containerText("health", 0o644, "one word: none starting healthy unhealthy; inspect.json has what the latest looks found", func(c *Container) string { return line(c.Health) }),
		containerText("ip", 0o644, "its address on each of its networks, one a line, those of its first network first; empty if it has none", addresses(func(a Address) string { return a.IP })),
		containerText("ip6", 0o644, "the same for IPv6", addresses(func(a Address) string { return a.IP6 })),
		containerText("ports", 0o644, "what it publishes, as docker port: 80/tcp -> 127.0.0.1:8080", portLines),
		ctl("ctl", "commands of the container", containerCommands()),
		dir("config", 0o755, "one file a setting; empty means the image's or hull's default", config...).opens(openConfig).within(),
		logs("logs", "what it has written, stdout and stderr in order; grows, within config/log_max and log_files"),
		logs("stdout", "what it has written to stdout; grows"),
		logs("stderr", "what it has written to stderr; grows"),
		verb("follow", "its logs until it ends: [-n LINES] [--since TIME] [-t], as docker logs -f"),
		verb("attach", "its own terminal or input and output; ctrl-p ctrl-q leaves it, leaving its shell ends it").within(),
		verb("wait", "until it ends; the exit status is the container's"),
		verb("export", "its file system as a tar on the output, links as they are"),
		collection("exec", 0o755, "one executable for each command on the container's PATH", openExec,
			verb("COMMAND", "runs it in the container with your terminal, pipes, arguments and signals").within()),
		verb("enter", "COMMAND… in the container, as docker exec: [-u USER] [-e NAME=VALUE] [-w DIR] [-d] [-i] [-t] [--privileged]").within(),
		collection("sessions", 0o755, "what was executed in it and who is attached, by number", openSessions, sessionRow()),
		link("rootfs", "the container's file system, read-write", containerRootfs),
		text("changes", 0o640, "A/C/D lines against the image, as docker diff", changes),
		text("processes", 0o640, "its processes, as docker top", processes),
		text("stats", 0o640, "what it uses, a \"key value\" line each: cpu, memory, pids, io, net; empty if it does not run", stats),
		text("inspect.json", 0o640, "everything, with the settings in force", inspect),
	)
}

// sessionRow is the directory of a session in a container.
func sessionRow() *row {
	return member("N", "one session", openContainer,
		sessionText("command", 0o640, "its command line; attach of who is attached", func(s *ContainerSession) string { return line(s.Command) }),
		sessionText("status", 0o644, "one word: running exited", func(s *ContainerSession) string { return line(s.status()) }),
		sessionText("exit", 0o644, "the code it ended with, 128+n for a signal; empty while it goes on", sessionExit),
		sessionText("pid", 0o644, "the host's id of its process; empty of who is attached", func(s *ContainerSession) string { return line(s.Process) }),
		sessionText("started", 0o644, "when it began", func(s *ContainerSession) string { return stamp(s.Started) }),
		link("tty", "of a session on an opened descriptor: a terminal that leads to it, for screen or socat", sessionTTY).only(sessionHasTTY),
		ctl("ctl", "commands of the session", sessionCommands()),
	)
}

// layerRow is a layer's directory.
func layerRow() *row {
	return member("ID", "one layer", nil,
		layerText("id", "its name here: the diff ID, or the chain ID of a layer that takes something from those below it", func(l *Layer) string { return line(l.ID) }),
		layerText("diff_id", "the digest of its tar, as images' configs name it", func(l *Layer) string { return line(l.DiffID) }),
		text("digest", 0o644, "its digests in compressed form, as images' manifests name it, one a line", layerDigests),
		layerText("size", "bytes of its files, unpacked", func(l *Layer) string { return line(strconv.FormatInt(l.Size, 10)) }),
		layerText("entries", "how many files, directories and links it has", func(l *Layer) string { return line(strconv.FormatInt(l.Entries, 10)) }),
		layerText("created", "when it was unpacked here", func(l *Layer) string { return stamp(l.Made) }),
		text("images", 0o644, "the references of the images that have it, one a line", layerImages),
		link("rootfs", "what it brings by itself, read-only", layerRootfs),
	)
}

// volumeRow is a volume's directory.
func volumeRow() *row {
	return member("NAME", "one volume", openVolume,
		text("size", 0o644, "bytes of its files; of very many they are counted now and then", volumeSize),
		text("created", 0o644, "when it was made", func(_ context.Context, _ *Tree, e *entry) ([]byte, error) { return []byte(stamp(e.obj.made)), nil }),
		text("used_by", 0o644, "the containers that have it among their mounts, one a line", volumeUsers),
		text("error", 0o644, "why the last command failed; empty if it did not", objectError),
		ctl("ctl", "commands of the volume", volumeCommands()),
		link("data", "its files", volumeData),
	)
}

// networkRow is a network's directory.
func networkRow() *row {
	return member("NAME", "one network", openNetwork,
		setting(Setting{Name: "subnet", Mode: 0o644, Summary: "its subnets, one for IPv4 and one for IPv6; while no container is on it root can change them"}).alone(),
		networkText("gateway", "the addresses by which its containers reach the host, one a line", func(n *Network) string { return lines(n.Gateways) }),
		text("containers", 0o644, "the containers that are on it or are to be, one a line, with their addresses", networkMembers),
		networkText("created", "when it was made; empty of host and none, which nobody made", networkMade),
		text("error", 0o644, "why the last command failed; empty if it did not", objectError),
	)
}

// registryRow is a registry's directory.
func registryRow() *row {
	return member("HOST", "one registry", openRegistry,
		verb("login", "asks for user and password; or write USER PASSWORD to it; rm logs out").input(login),
		text("user", 0o644, "who you are there, if you have logged in here; empty if not", registryUser),
		text("status", 0o644, "one word: anonymous logged-in", registryStatus),
		text("error", 0o644, "why the last command failed; empty if it did not", objectError),
		setting(Setting{Name: "insecure", Mode: 0o640, Summary: "true: plain http and certificates that nobody vouches for are good enough"}),
		setting(Setting{Name: "mirror", Mode: 0o640, Summary: "servers that are asked first when pulling, an address a line"}),
		verb("search", "TERM: repositories there, as docker search prints them"),
		verb("tags", "REPOSITORY: its tags, one a line"),
	)
}

// rootCommands are those of the root's ctl.
func rootCommands() []command {
	return []command{
		{"check", "", "verify everything in the store; error names what is wrong", checkStore, nil},
		{"repair", "", "mend what is wrong: fetch it again, or drop it", repairStore, nil},
		{"pull", "[--platform PLATFORM] REF", "pull an image, as mkdir does", pullReference, nil},
		{"run", "[FLAGS] IMAGE [COMMAND…]", "make a container and start it, as ./run -d does", nil, runContainer},
		{"prune", "[-a] WHAT", "remove what nobody uses of containers, images, networks, volumes, or all but volumes", pruneStore, nil},
	}
}

// imageCommands are those of an image's ctl.
func imageCommands() []command {
	return []command{
		{"tag", "REF", "give the image another name, or move that name to it", tagImage, nil},
		{"untag", "", "drop this name; the image goes with its last one", untagImage, nil},
		{"pull", "[PLATFORM]", "pull again, or for another platform; a failed pull goes on where it stopped", pullImage, nil},
		{"push", "[REF]", "bring it to its registry, or to REF, which becomes a name of it", pushImage, nil},
		{"remove", "[force]", "drop the image; force: with all its names, and even if containers use it", removeImage, nil},
		{"cancel", "", "end the pull or push under way", cancelPull, nil},
	}
}

// containerCommands are those of a container's ctl.
func containerCommands() []command {
	return []command{
		{"start", "", "start it", startContainer, nil},
		{"stop", "[SECONDS]", "stop signal, then SIGKILL after its stop_timeout or SECONDS", stopContainer, nil},
		{"restart", "[SECONDS]", "stop and start it", restartContainer, nil},
		{"kill", "[SIGNAL]", "send SIGKILL or SIGNAL; acts during a stop too", killContainer, nil},
		{"pause", "", "freeze its processes", pauseContainer, nil},
		{"unpause", "", "let them go on", unpauseContainer, nil},
		{"rename", "NAME", "give it another name, as mv does", renameContainer, nil},
		{"commit", "REF", "make an image of its files and settings", commitContainer, nil},
		{"recreate", "", "make it anew from the image its name points to now; settings, name and volumes stay, its files go", recreateContainer, nil},
		{"remove", "[force]", "remove it; force: kill it first if it runs", removeContainer, nil},
	}
}

// sessionCommands are those of a session's ctl.
func sessionCommands() []command {
	return []command{
		{"kill", "[SIGNAL]", "send its process SIGKILL or SIGNAL", killSession, nil},
		{"hang-up", "", "end it as the end of its terminal does; who is attached leaves", hangUpSession, nil},
	}
}

// volumeCommands are those of a volume's ctl.
func volumeCommands() []command {
	return []command{
		{"remove", "", "remove it with all that is in it; not while a container has it among its mounts", removeVolume, nil},
	}
}

// bareDelay is how long a mkdir of a bare name in images/ waits for something to be made inside before it pulls.
const bareDelay = 250 * time.Millisecond
