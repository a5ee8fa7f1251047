package fs

import (
	"context"
	"strings"
)

const readmeHead = `hull: containers as files.

This directory is a container engine. mkdir, rmdir, mv, ln -s, cat and echo work it:

  mkdir images/debian:12                        pull an image; ./pull debian:12 to watch
  mkdir -p images/ghcr.io/acme/app:1.2          names with slashes are directories
  mkdir images/debian:12/containers/web         make a container of it and start it
  cat containers/web/logs                       see what it writes; tail -f follows
  containers/web/exec/bash                      a shell in it
  containers/web/enter -u app -it sh            any command in it, with docker exec's flags
  containers/web/attach                         its own terminal; ctrl-p ctrl-q leaves it
  exec 3<> containers/web/exec/sh               a shell on a descriptor: sessions/N/tty leads there
  echo stop > containers/web/ctl                stop it
  rmdir containers/web                          remove it
  ln -s images/debian:12 images/mine:1          tag; mv retags, rmdir untags and deletes
  ./run -it --rm debian:12 bash                 as docker run, docker's flags too

  mkdir containers/db                           a container that is not started yet
  echo redis:7 > containers/db/config/image     settings are files
  echo start > containers/db/ctl                one command a line; cat ctl lists them
  echo 512m > containers/db/config/memory       limits act at once; other settings at the next start
  cat containers/db/stats                       what it uses

  mkdir volumes/db                              a directory that outlives containers
  echo db:/data >> containers/db/config/mounts  where it is in one; /srv:/srv:ro of the host
  ls volumes/db/data/                           its files

  mkdir networks/backend                        a network; containers on it find each other by name
  echo backend > containers/db/config/network   its place; default, host and none are there always
  echo 8080:80 >> containers/web/config/ports   publish a port, on 127.0.0.1; 0.0.0.0:8080:80 for others

  registries/docker.io/login                    log in; rm it to log out
  echo push > images/me/app:1/ctl               push; images/me/app:1/wait waits for it
  images/debian:12/save > f.tar                 save; ./load < f.tar or cat f.tar > load
  ./prune -n all                                what nobody uses; without -n it goes
  cat df; echo check > ctl                      what takes the disk; whether all is whole

When something fails, the error file says why in one sentence: that of the image
or container, and ./error for your own last call:

  mkdir images/typo:1 || cat error

Where the kernel itself refuses, with "File exists" or "Permission denied" by a
file's mode, hull is not asked and error does not change.

sudo echo start > ctl writes as you, not as root: the shell opens the file before
sudo runs. Mount with --group to give a group the controls, or write
echo start | sudo tee ctl.

chown -R alice containers/web hands alice that container and no other; chmod and
chgrp say who else may use which of its files. Both are kept.

rsync, scp and tar take debian:12/... for a host: write ./debian:12/... instead.
Names with a colon cannot stand in PATH or be make targets. cp -r of an image's
directory onto a new name starts a pull. The trees of files are links (rootfs, data), so
rm -r, cp -r and file managers do not walk into them.

`

// readme explains the tree to whoever finds it mounted, from the table that defines it.
func readme(_ context.Context, t *Tree, _ *entry) ([]byte, error) {
	var b strings.Builder
	b.WriteString(readmeHead)
	for _, d := range describe(t.table) {
		name := strings.Repeat("  ", d.depth) + d.row.name
		if d.row.kind.directory() {
			name += "/"
		}
		b.WriteString(strings.TrimRight(name+strings.Repeat(" ", max(1, 24-len(name)))+d.row.summary, " ") + "\n")
		for _, c := range d.row.commands {
			b.WriteString(strings.Repeat(" ", 24) + strings.TrimSpace(c.name+" "+c.args) + "\n")
		}
	}
	return []byte(b.String()), nil
}

// described is a row and how deep it stands.
type described struct {
	row   *row
	depth int
}

// describe lists all rows below one, in the table's order.
func describe(r *row) []described {
	var ds []described
	var walk func(r *row, depth int)
	walk = func(r *row, depth int) {
		for _, c := range r.rows {
			ds = append(ds, described{c, depth})
			walk(c, depth+1)
		}
	}
	walk(r, 0)
	return ds
}
