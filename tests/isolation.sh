#!/bin/sh
# Prints what a container is isolated from, of hull, docker and podman side by
# side, as far as they are there: isolation.sh [IMAGE]
#
# IMAGE (debian:12 if none is named) is one that each of them can run; it has a
# shell and the usual programs. HULL is the mounted tree, /hull if not set.
# PODMAN and PODMAN_FLAGS are podman's command and its flags for run.
# Columns are separated by tabs; with a terminal they are aligned.
set -eu
image=${1:-debian:12}
tree=${HULL:-/hull}
tab=$(printf '\t')

# What is looked at, by a shell in the container: a name, a tab, a value. The
# host's namespaces come as arguments.
probe='
tab=$(printf "\t")
say() { printf "%s\t%s\n" "$1" "$2"; }
for pair in "$@"; do
	name=${pair%%=*}
	if [ "$(readlink /proc/self/ns/$name)" = "${pair#*=}" ]; then say "namespace $name" "the host'"'"'s"; else say "namespace $name" own; fi
done
while read -r inside outside count; do say "user ids" "$inside = $outside, $count of them"; break; done < /proc/self/uid_map
while IFS=: read -r name value; do
	value=$(echo $value)
	case $name in
	CapInh | CapPrm | CapEff | CapBnd | CapAmb) say "capabilities $name" "$value" ;;
	NoNewPrivs) say "no_new_privs" "$value" ;;
	Seccomp) case $value in 0) value=none ;; 2) value=filter ;; esac; say "seccomp" "$value" ;;
	esac
done < /proc/self/status
for f in /proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/sched_debug /proc/scsi \
	/proc/timer_list /proc/timer_stats /sys/firmware /sys/fs/selinux /sys/devices/virtual/powercap /sys/devices/system/cpu/cpu0/thermal_throttle; do
	if [ -d $f ]; then
		if [ -z "$(ls -A $f 2>/dev/null)" ]; then v=hidden; else v=shown; fi
	elif [ -c $f ]; then v=hidden
	elif [ -e $f ]; then v=shown
	else v=absent; fi
	say "sees $f" $v
done
flags() { # of the last mount at a path
	found="not mounted"
	while read -r id parent numbers top at options rest; do
		if [ "$at" = "$1" ]; then found=$options; fi
	done < /proc/self/mountinfo
	echo "$found" | tr , "\n" | grep -E "^(ro|rw|nosuid|nodev|noexec|not mounted)$" | tr "\n" " "
}
for m in / /proc /proc/sys /proc/bus /proc/fs /proc/irq /proc/sysrq-trigger /sys /sys/fs/cgroup /dev /dev/pts /dev/shm /dev/mqueue; do
	say "mount $m" "$(flags $m)"
done
for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/sysrq-trigger /sys/kernel/uevent_helper /sys/kernel/mm/ksm/run; do
	if [ ! -e $f ]; then v=absent; elif (: >> $f) 2>/dev/null; then v=open; else v=refused; fi
	say "write $f" $v
done
devices=
for d in /dev/*; do
	if [ ! -L $d ] && { [ -c $d ] || [ -b $d ]; }; then devices="$devices ${d#/dev/}"; fi
done
say devices "${devices# }"
for f in pids/pids.max pids.max; do
	if [ -r /sys/fs/cgroup/$f ]; then say "most processes" "$(cat /sys/fs/cgroup/$f)"; break; fi
done
for s in ip_unprivileged_port_start ping_group_range; do
	if [ -r /proc/sys/net/ipv4/$s ]; then say "net.ipv4.$s" "$(echo $(cat /proc/sys/net/ipv4/$s))"; fi
done
for try in "mknod /tmp/probe c 1 3" "mount -t tmpfs none /tmp" "hostname evil"; do
	if $try 2>/dev/null; then v=done; else v=refused; fi
	say "$try" $v
done
'

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
spaces=
for n in cgroup ipc mnt net pid user uts; do spaces="$spaces $n=$(readlink /proc/self/ns/$n)"; done

engines=
# look NAME COMMAND…: the command runs what follows in a container.
look() {
	name=$1
	shift
	if "$@" sh -c "$probe" probe $spaces >"$work/$name" 2>"$work/$name.error" </dev/null; then
		engines="$engines $name"
	else
		echo "isolation.sh: $name has no container to look into: $(tail -n 1 "$work/$name.error")" >&2
	fi
}
if [ -x "$tree/run" ]; then look hull "$tree/run" --rm "$image"; fi
if docker version >/dev/null 2>&1; then look docker docker run --rm --network none "$image"; fi
if ${PODMAN:-podman} version >/dev/null 2>&1; then look podman ${PODMAN:-podman} run --rm --network none ${PODMAN_FLAGS-} "$image"; fi
if [ -z "$engines" ]; then
	echo "isolation.sh: none of hull (at $tree), docker and podman is there" >&2
	exit 1
fi

files=
for e in $engines; do files="$files $work/$e"; done
table() {
	printf 'what'
	for e in $engines; do printf '\t%s' "$e"; done
	printf '\n'
	awk -F "$tab" '
		FNR == 1 { file++ }
		!($1 in seen) { seen[$1] = 1; order[++n] = $1 }
		{ value[file, $1] = $2 }
		END {
			for (i = 1; i <= n; i++) {
				line = order[i]
				for (f = 1; f <= file; f++) line = line "\t" ((f, order[i]) in value ? value[f, order[i]] : "-")
				print line
			}
		}' $files
}
if [ -t 1 ]; then table | column -t -s "$tab"; else table; fi
