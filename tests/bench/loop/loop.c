// One container after the other, by the kernel calls that hull's own starts are
// made of (engine/plan/testdata, layers/union, engine/cgroup) and nothing else:
// no image, no record, no log, no other process, no look-up. It is what the
// kernel itself takes, written as one would who wants a single fast start.
//
//	loop LOWER DISK FILTER BRIDGE CGROUP...
//
// LOWER is the container's root, DISK an empty directory, FILTER the seccomp
// program, BRIDGE the name of a bridge that is made, on which each container has
// an address, or - for none, each CGROUP a version 1 hierarchy as
// CONTROLLERS=DIRECTORY, in which a cgroup is made. For each byte read from standard input a container of /bin/true
// runs, and a byte is written when all that was made for it is gone.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <arpa/inet.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/if_link.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/veth.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// The rest of sys/mount.h, which does not go with linux/mount.h everywhere.
int mount(const char *, const char *, const char *, unsigned long, const void *);
int umount2(const char *, int);
#define MNT_DETACH 2

#define LEN(a) (sizeof(a) / sizeof *(a))

enum { FIRST = 1900000000, SIZE = 65536, KERNEL = MS_NOSUID | MS_NODEV | MS_NOEXEC };

static const char *lower, *disk, *bridge;
static int host; // a netlink socket of the host's namespace
static char **groups, *controllers[16];
static int group_count, joins[16];
static struct sock_filter filter[8192];
static struct sock_fprog program = {.filter = filter};

static void die(const char *what)
{
	dprintf(2, "%s: %s\n", what, strerror(errno));
	_exit(125);
}

#define MUST(call) \
	do { \
		if ((call) < 0) \
			die(#call); \
	} while (0)

static int file(const char *dir, const char *name, int flags)
{
	char path[4200];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	int fd = open(path, flags | O_CLOEXEC, 0644);
	if (fd < 0)
		die(path);
	return fd;
}

static int create(const char *dir, const char *name, const char *text, int flags)
{
	int fd = file(dir, name, flags);
	if (write(fd, text, strlen(text)) < 0)
		die(name);
	return fd;
}

static void put(const char *dir, const char *name, const char *text)
{
	close(create(dir, name, text, O_WRONLY));
}

static const char *group(int i)
{
	static char path[4096];
	snprintf(path, sizeof path, "%s/hull-bench-loop", groups[i]);
	return path;
}

// has tells whether a hierarchy is a controller's.
static int has(int i, const char *file)
{
	char path[4200];
	snprintf(path, sizeof path, "%s/%s", group(i), file);
	return access(path, F_OK) == 0;
}

static void make_groups(void)
{
	for (int i = 0; i < group_count; i++) {
		MUST(mkdir(group(i), 0755));
		joins[i] = file(group(i), "tasks", O_WRONLY);
		if (has(i, "pids.max"))
			put(group(i), "pids.max", "2048");
		if (!has(i, "devices.deny"))
			continue;
		put(group(i), "devices.deny", "a");
		int fd = create(group(i), "devices.allow", "c 1:3 rwm", O_WRONLY);
		static const char *rules[] = {"c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm", "c 5:0 rwm", "c 5:1 rwm", "c 5:2 rwm", "c 136:* rwm"};
		for (size_t r = 0; r < LEN(rules); r++)
			MUST(write(fd, rules[r], strlen(rules[r])));
		close(fd);
	}
}

static void remove_groups(void)
{
	for (int i = 0; i < group_count; i++) {
		close(joins[i]);
		while (rmdir(group(i)) < 0)
			if (errno != EBUSY)
				die("rmdir");
	}
}

// A request to the kernel's networks, that is being written.
struct request {
	struct nlmsghdr head;
	char rest[1024];
};

static void *room(struct request *r, const void *data, size_t size)
{
	void *at = (char *)r + NLMSG_ALIGN(r->head.nlmsg_len);
	memcpy(at, data, size);
	r->head.nlmsg_len = NLMSG_ALIGN(r->head.nlmsg_len) + size;
	return at;
}

static struct request request(int type, int flags, const void *body, size_t size)
{
	struct request r = {.head = {.nlmsg_len = NLMSG_HDRLEN, .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags}};
	room(&r, body, size);
	return r;
}

static struct rtattr *attr(struct request *r, int type, const void *data, size_t size)
{
	struct rtattr *at = room(r, &(struct rtattr){.rta_len = RTA_LENGTH(size), .rta_type = type}, sizeof *at);
	room(r, data, size);
	return at;
}

static void word(struct request *r, int type, unsigned value) { attr(r, type, &value, sizeof value); }
static void text(struct request *r, int type, const char *value) { attr(r, type, value, strlen(value) + 1); }

// inside ends an attribute that has others in it.
static void inside(struct request *r, struct rtattr *of)
{
	of->rta_len = (char *)r + r->head.nlmsg_len - (char *)of;
}

static void ask(int socket, struct request r)
{
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
		char rest[1024];
	} answer;
	MUST(send(socket, &r, r.head.nlmsg_len, 0));
	MUST(recv(socket, &answer, sizeof answer, 0));
	if (answer.head.nlmsg_type == NLMSG_ERROR && answer.error.error != 0) {
		errno = -answer.error.error;
		die("netlink");
	}
}

static struct request link_up(unsigned index)
{
	struct ifinfomsg up = {.ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	return request(RTM_NEWLINK, 0, &up, sizeof up);
}

static void address(int socket, unsigned index, int family, const char *address, int bits)
{
	unsigned char bytes[16];
	size_t size = family == AF_INET ? 4 : 16;
	struct ifaddrmsg m = {.ifa_family = family, .ifa_prefixlen = bits, .ifa_index = index};
	struct request r = request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &m, sizeof m);
	inet_pton(family, address, bytes);
	attr(&r, IFA_LOCAL, bytes, size);
	attr(&r, IFA_ADDRESS, bytes, size);
	if (family == AF_INET6)
		word(&r, IFA_FLAGS, IFA_F_NODAD);
	ask(socket, r);
}

static void make_bridge(void)
{
	MUST(host = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
	struct ifinfomsg none = {0};
	struct request r = request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &none, sizeof none);
	text(&r, IFLA_IFNAME, bridge);
	struct rtattr *info = attr(&r, IFLA_LINKINFO, "", 0);
	text(&r, IFLA_INFO_KIND, "bridge");
	inside(&r, info);
	if (if_nametoindex(bridge) == 0) // of a loop that was killed
		ask(host, r);
	unsigned index = if_nametoindex(bridge);
	ask(host, link_up(index));
	address(host, index, AF_INET, "10.213.0.1", 24);
	address(host, index, AF_INET6, "fd00:213::1", 64);
}

// without_addresses keeps the kernel from making addresses by itself.
static void without_addresses(struct request *r)
{
	unsigned char none = IN6_ADDR_GEN_MODE_NONE;
	struct rtattr *all = attr(r, IFLA_AF_SPEC, "", 0), *v6 = attr(r, AF_INET6, "", 0);
	attr(r, IFLA_INET6_ADDR_GEN_MODE, &none, sizeof none);
	inside(r, v6);
	inside(r, all);
}

// join makes a pair of links between the bridge and a container, whose end goes when the container's namespace does.
static void join(int pid)
{
	static int count;
	char name[IFNAMSIZ];
	snprintf(name, sizeof name, "bench%d", count++);
	struct ifinfomsg none = {0};
	struct request r = request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &none, sizeof none);
	word(&r, IFLA_NUM_TX_QUEUES, 1);
	word(&r, IFLA_NUM_RX_QUEUES, 1);
	text(&r, IFLA_IFNAME, name);
	word(&r, IFLA_MASTER, if_nametoindex(bridge));
	struct rtattr *info = attr(&r, IFLA_LINKINFO, "", 0);
	text(&r, IFLA_INFO_KIND, "veth");
	struct rtattr *data = attr(&r, IFLA_INFO_DATA, "", 0), *peer = attr(&r, VETH_INFO_PEER, &none, sizeof none);
	word(&r, IFLA_NUM_TX_QUEUES, 1);
	word(&r, IFLA_NUM_RX_QUEUES, 1);
	text(&r, IFLA_IFNAME, "eth0");
	word(&r, IFLA_NET_NS_PID, pid);
	inside(&r, peer);
	inside(&r, data);
	inside(&r, info);
	ask(host, r);
	r = link_up(if_nametoindex(name));
	without_addresses(&r);
	ask(host, r);
}

// connected sets up the container's end.
static void connected(void)
{
	int own = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	unsigned index = if_nametoindex("eth0");
	struct request r = link_up(index);
	without_addresses(&r);
	ask(own, r);
	address(own, index, AF_INET, "10.213.0.2", 24);
	address(own, index, AF_INET6, "fe80::2", 64);
	address(own, index, AF_INET6, "fd00:213::2", 64);
	static const struct { int family; const char *gateway; } ways[] = {{AF_INET, "10.213.0.1"}, {AF_INET6, "fd00:213::1"}};
	for (size_t i = 0; i < LEN(ways); i++) {
		unsigned char bytes[16];
		struct rtmsg way = {.rtm_family = ways[i].family, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_BOOT, .rtm_type = RTN_UNICAST};
		r = request(RTM_NEWROUTE, NLM_F_CREATE, &way, sizeof way);
		inet_pton(ways[i].family, ways[i].gateway, bytes);
		attr(&r, RTA_GATEWAY, bytes, ways[i].family == AF_INET ? 4 : 16);
		word(&r, RTA_OIF, index);
		ask(own, r);
	}
}

// stage is what comes from the kernel.
static void stage(void)
{
	MUST(mount(0, "/", 0, MS_REC | MS_PRIVATE, 0));
	MUST(mount("tmpfs", "/proc", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m"));
	MUST(chdir("/proc"));
	static const char *dirs[] = {"root", "files", "none", "groups", "proc", "sys", "dev"};
	for (size_t i = 0; i < LEN(dirs); i++)
		MUST(mkdir(dirs[i], 0755));
	MUST(mount("none", "none", 0, MS_BIND, 0));
	MUST(mount(0, "none", 0, KERNEL | MS_BIND | MS_REMOUNT | MS_RDONLY, 0));
	MUST(mount("proc", "proc", "proc", KERNEL, 0));
	put("proc/sys/net/ipv4", "ip_unprivileged_port_start", "0");
	put("proc/sys/net/ipv4", "ping_group_range", "0 65535");
	MUST(mount("sysfs", "sys", "sysfs", KERNEL | MS_RDONLY, 0));
	MUST(mount("groups", "sys/fs/cgroup", 0, MS_BIND, 0));
	for (int i = 0; i < group_count; i++) {
		char path[4096];
		snprintf(path, sizeof path, "sys/fs/cgroup/%s", controllers[i]);
		MUST(mkdir(path, 0755));
		MUST(mount("cgroup", path, "cgroup", KERNEL | MS_RDONLY, controllers[i]));
	}
	MUST(mount(0, "sys/fs/cgroup", 0, KERNEL | MS_BIND | MS_REMOUNT | MS_RDONLY, 0));
	MUST(mount("tmpfs", "dev", "tmpfs", MS_NOSUID, "mode=755,nr_inodes=65536,size=65536k"));
	static const char *devices[] = {"dev/null", "dev/zero", "dev/full", "dev/random", "dev/urandom", "dev/tty"};
	for (size_t i = 0; i < LEN(devices); i++) {
		char path[64];
		snprintf(path, sizeof path, "/%s", devices[i]);
		MUST(mknod(devices[i], S_IFREG | 0666, 0));
		MUST(mount(path, devices[i], 0, MS_BIND, 0));
	}
	MUST(mkdir("dev/pts", 0755));
	MUST(mkdir("dev/shm", 0755));
	MUST(mkdir("dev/mqueue", 0755));
	MUST(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"));
	MUST(mount("tmpfs", "dev/shm", "tmpfs", KERNEL, "mode=1777,size=67108864"));
	MUST(mount("mqueue", "dev/mqueue", "mqueue", KERNEL, 0));
	static const char *links[][2] = {{"pts/ptmx", "dev/ptmx"}, {"/proc/self/fd", "dev/fd"}, {"/proc/self/fd/0", "dev/stdin"}, {"/proc/self/fd/1", "dev/stdout"}, {"/proc/self/fd/2", "dev/stderr"}, {"/proc/kcore", "dev/core"}};
	for (size_t i = 0; i < LEN(links); i++)
		MUST(symlink(links[i][0], links[i][1]));
	static const char *masked[] = {"proc/acpi", "proc/asound", "proc/interrupts", "proc/kcore", "proc/keys", "proc/latency_stats", "proc/sched_debug", "proc/scsi", "proc/timer_list", "proc/timer_stats", "sys/firmware", "sys/fs/selinux", "sys/devices/virtual/powercap"};
	for (size_t i = 0; i < LEN(masked); i++) {
		mount("dev/null", masked[i], 0, MS_BIND, 0); // one of the two fits, or none
		mount("none", masked[i], 0, MS_BIND, 0);
	}
	static const char *guarded[] = {"proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"};
	for (size_t i = 0; i < LEN(guarded); i++) {
		mount(guarded[i], guarded[i], 0, MS_BIND | MS_REC, 0);
		mount(0, guarded[i], 0, KERNEL | MS_BIND | MS_REMOUNT | MS_RDONLY, 0);
	}
	MUST(syscall(SYS_pivot_root, ".", "."));
	MUST(umount2(".", MNT_DETACH));
	MUST(chdir("/"));
}

static int in_root(const char *name, int flags, int mode)
{
	struct open_how how = {.flags = flags | O_CLOEXEC | O_NOFOLLOW, .mode = mode, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	int fd = syscall(SYS_openat2, AT_FDCWD, name, &how, sizeof how);
	if (fd < 0)
		die(name);
	return fd;
}

// enter makes the overlay the root.
static void enter(int root)
{
	struct mount_attr nodev = {.attr_set = MOUNT_ATTR_NODEV};
	MUST(syscall(SYS_mount_setattr, root, "", AT_EMPTY_PATH, &nodev, sizeof nodev));
	MUST(syscall(SYS_move_mount, root, "", AT_FDCWD, "/root", MOVE_MOUNT_F_EMPTY_PATH));
	MUST(chdir("/root"));
	static const char *trees[][2] = {{"proc", "/proc"}, {"sys", "/sys"}, {"dev", "/dev"}};
	for (size_t i = 0; i < LEN(trees); i++) {
		mkdir(trees[i][0], 0755);
		int at = in_root(trees[i][0], O_PATH | O_DIRECTORY, 0);
		MUST(syscall(SYS_move_mount, AT_FDCWD, trees[i][1], at, "", MOVE_MOUNT_T_EMPTY_PATH));
	}
	static const char *files[][2] = {{"etc/hostname", "/files/0"}, {"etc/hosts", "/files/1"}, {"etc/resolv.conf", "/files/2"}};
	mkdir("etc", 0755);
	for (size_t i = 0; i < LEN(files); i++) {
		create("", files[i][1] + 1, "127.0.0.1\tlocalhost\n", O_CREAT | O_EXCL | O_WRONLY);
		in_root(files[i][0], O_CREAT | O_WRONLY, 0644);
		int from = syscall(SYS_open_tree, AT_FDCWD, files[i][1], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
		MUST(from);
		MUST(syscall(SYS_move_mount, from, "", in_root(files[i][0], O_PATH, 0), "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
	}
	MUST(syscall(SYS_pivot_root, ".", "."));
	MUST(umount2(".", MNT_DETACH));
	MUST(chdir("/"));
}

// become takes on what the command runs with.
static void become(void)
{
	const unsigned long long keep = 0x800405fb;
	setsid();
	struct rlimit files;
	MUST(getrlimit(RLIMIT_NOFILE, &files));
	MUST(setrlimit(RLIMIT_NOFILE, &files));
	for (int c = 0; c <= CAP_LAST_CAP; c++)
		if (!(keep >> c & 1))
			MUST(prctl(PR_CAPBSET_DROP, c, 0, 0, 0));
	gid_t zero = 0;
	MUST(syscall(SYS_setgroups, 1, &zero));
	MUST(syscall(SYS_setresgid, 0, 0, 0));
	MUST(syscall(SYS_setresuid, 0, 0, 0));
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{.effective = (unsigned)keep, .permitted = (unsigned)keep}};
	MUST(syscall(SYS_capset, &header, data));
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	MUST(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
}

// receive waits for the overlay; at the first call for the word that the maps are there.
static int receive(int socket)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	if (recvmsg(socket, &m, MSG_CMSG_CLOEXEC) != 1)
		_exit(125);
	return CMSG_FIRSTHDR(&m) ? *(int *)CMSG_DATA(CMSG_FIRSTHDR(&m)) : -1;
}

static void child(int parent, int out, int err)
{
	receive(parent);
	MUST(syscall(SYS_setresgid, 0, 0, 0));
	MUST(syscall(SYS_setresuid, 0, 0, 0));
	MUST(syscall(SYS_setgroups, 0, 0));
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	umask(022);
	for (int s = 1; s <= 64; s++)
		if (s != SIGKILL && s != SIGSTOP)
			signal(s, SIG_DFL);
	syscall(SYS_keyctl, 1, 0);
	for (int i = 0; i < group_count; i++)
		MUST(write(joins[i], "0", 1));
	MUST(syscall(SYS_unshare, CLONE_NEWCGROUP));
	MUST(sethostname("c0ffee", 6));
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	MUST(ioctl(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), SIOCSIFFLAGS, &lo));
	if (bridge)
		connected();
	stage();
	enter(receive(parent));
	int null = open("/dev/null", O_RDONLY);
	MUST(dup2(null, 0));
	MUST(dup2(out, 1));
	MUST(dup2(err, 2));
	MUST(syscall(SYS_close_range, 3, ~0u, 0));
	become();
	char *args[] = {"true", 0}, *env[] = {"PATH=/bin", "HOME=/root", "HOSTNAME=c0ffee", 0};
	execve("/bin/true", args, env);
	_exit(127);
}

static int mapped(const char *dir, int users)
{
	int fd = syscall(SYS_open_tree, AT_FDCWD, dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (fd < 0)
		die(dir);
	struct mount_attr map = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = users};
	MUST(syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &map, sizeof map));
	return fd;
}

// as gives this thread the file system ids of a range, and keeps its capabilities.
static void as(int id)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];
	MUST(syscall(SYS_capget, &header, data));
	setfsgid(id);
	setfsuid(id);
	if (id != 0)
		MUST(syscall(SYS_capset, &header, data));
}

static void set(int context, const char *key, int dir, const char *name)
{
	int fd = openat(dir, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char path[64];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (syscall(SYS_fsconfig, context, FSCONFIG_SET_FD, key, 0, fd) < 0) // before Linux 6.13
		MUST(syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, key, path, 0));
	close(fd);
}

// overlay makes the container's root, and its own layer in it.
static int overlay(const char *dir, int users)
{
	char path[4200];
	MUST(mkdir(dir, 0700));
	snprintf(path, sizeof path, "%s/work", dir);
	MUST(mkdir(path, 0700));
	snprintf(path, sizeof path, "%s/upper", dir);
	MUST(mkdir(path, 0755));
	int image = mapped(lower, users), own = mapped(dir, users);
	int context = syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC);
	MUST(context);
	set(context, "lowerdir+", image, ".");
	set(context, "upperdir", own, "upper");
	set(context, "workdir", own, "work");
	static const char *options[][2] = {{"source", "loop"}, {"redirect_dir", "nofollow"}, {"metacopy", "off"}, {"index", "off"}};
	for (size_t i = 0; i < LEN(options); i++)
		MUST(syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, options[i][0], options[i][1], 0));
	as(FIRST);
	MUST(syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, 0, 0, 0));
	as(0);
	int root = syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV);
	MUST(root);
	close(context);
	close(image);
	close(own);
	return root;
}

static void give(int socket, int fd)
{
	char byte = 'r', control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	if (fd >= 0) {
		m.msg_control = control;
		m.msg_controllen = sizeof control;
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		*(int *)CMSG_DATA(c) = fd;
	}
	MUST(sendmsg(socket, &m, 0));
}

static void map(int pid, const char *name)
{
	char dir[64], line[64];
	snprintf(dir, sizeof dir, "/proc/%d", pid);
	snprintf(line, sizeof line, "0 %d %d", FIRST, SIZE);
	put(dir, name, line);
}

static void remove_disk(const char *dir)
{
	static const char *made[] = {"/upper/etc/hostname", "/upper/etc/hosts", "/upper/etc/resolv.conf", "/upper/etc", "/upper/proc", "/upper/sys", "/upper/dev", "/upper", "/work/work", "/work", ""};
	char path[4200];
	for (size_t i = 0; i < LEN(made); i++) {
		snprintf(path, sizeof path, "%s%s", dir, made[i]);
		if (unlink(path) < 0 && rmdir(path) < 0 && errno != ENOENT)
			die(path);
	}
}

static void container(void)
{
	int sockets[2], out[2], err[2], pidfd, status;
	char dir[4096], path[64];
	snprintf(dir, sizeof dir, "%s/container", disk);
	make_groups();
	MUST(pipe2(out, O_CLOEXEC));
	MUST(pipe2(err, O_CLOEXEC));
	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets));
	struct clone_args args = {
		.flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_PIDFD,
		.pidfd = (unsigned long)&pidfd,
		.exit_signal = SIGCHLD,
	};
	int pid = syscall(SYS_clone3, &args, sizeof args);
	MUST(pid);
	if (pid == 0)
		child(sockets[1], out[1], err[1]);
	if (bridge)
		join(pid);
	map(pid, "uid_map");
	map(pid, "gid_map");
	snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
	int users = open(path, O_RDONLY | O_CLOEXEC);
	MUST(users);
	give(sockets[0], -1);
	int root = overlay(dir, users); // while the child builds its stage
	give(sockets[0], root);
	MUST(waitpid(pid, &status, 0));
	if (status != 0) {
		dprintf(2, "the container ended with status %#x\n", status);
		exit(1);
	}
	int all[] = {sockets[0], sockets[1], out[0], out[1], err[0], err[1], pidfd, users, root};
	for (size_t i = 0; i < LEN(all); i++)
		close(all[i]);
	remove_groups();
	remove_disk(dir);
}

int main(int argc, char **argv)
{
	if (argc < 5)
		return 2;
	lower = argv[1];
	disk = argv[2];
	groups = argv + 5;
	group_count = argc - 5;
	for (int i = 0; i < group_count; i++) {
		controllers[i] = groups[i];
		groups[i] = strchr(groups[i], '=');
		if (!groups[i] || (size_t)i == LEN(controllers))
			return 2;
		*groups[i]++ = 0;
		rmdir(group(i)); // of a loop that was killed
	}
	int fd = open(argv[3], O_RDONLY | O_CLOEXEC);
	int size = read(fd, filter, sizeof filter);
	if (size <= 0)
		die(argv[3]);
	close(fd);
	program.len = size / sizeof *filter;
	if (strcmp(argv[4], "-") != 0) {
		bridge = argv[4];
		make_bridge();
	}
	char byte;
	while (read(0, &byte, 1) == 1) {
		container();
		MUST(write(1, &byte, 1));
	}
	if (bridge) {
		struct ifinfomsg it = {.ifi_index = if_nametoindex(bridge)};
		ask(host, request(RTM_DELLINK, 0, &it, sizeof it));
	}
	return 0;
}
