package tests

import (
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// meantImages are the images of the lines in meanings, by repository: the host's programs, and this configuration.
var meantImages = map[string]func(*v1.Config){
	"cmd": func(c *v1.Config) { c.Cmd = []string{"echo", "the image's", "command"} },
	"entry": func(c *v1.Config) {
		c.Entrypoint, c.Cmd = []string{"printf", "[%s]"}, []string{"the image's", "command"}
	},
	"shell": func(c *v1.Config) {
		c.Entrypoint, c.Cmd = []string{"/bin/sh", "-c", "echo $0 $#"}, []string{"the image's", "command"}
	},
	"none":  func(c *v1.Config) { c.Cmd = nil },
	"noenv": func(c *v1.Config) { c.Env = nil },
	"env": func(c *v1.Config) {
		c.Env = append(c.Env, "A=image", "EMPTY=", "SPACE=a b", "EQUALS=a=b=c", "HOME=/of/the/image", "TWICE=1", "TWICE=2")
	},
	"app":     func(c *v1.Config) { c.User = "app" },
	"number":  func(c *v1.Config) { c.User = "1000" },
	"pair":    func(c *v1.Config) { c.User = "app:staff" },
	"numbers": func(c *v1.Config) { c.User = "1234:4321" },
	"empty":   func(c *v1.Config) { c.User = "1000:" },
	"ghost":   func(c *v1.Config) { c.User = "ghost" },
	"work":    func(c *v1.Config) { c.WorkingDir = "/srv/made/for it" },
	"appwork": func(c *v1.Config) { c.WorkingDir, c.User = "/srv/made", "app" },
	"file":    func(c *v1.Config) { c.WorkingDir = "/etc/passwd" },
	"quit":    func(c *v1.Config) { c.StopSignal = "SIGQUIT" },
	"labels":  func(c *v1.Config) { c.Labels = map[string]string{"image": "1", "kept": "a b"} },
	"sick": func(c *v1.Config) {
		c.Healthcheck = &v1.HealthConfig{Test: []string{"CMD-SHELL", "test -e /well"}, Interval: 200 * time.Millisecond, Retries: 2}
	},
	"seven": func(c *v1.Config) { c.StopSignal = "7" },
}

// meantEnv is the file of the lines with --env-file.
const meantEnv = "# a comment\n\nA=file\nB=\"quoted\"\nC= spaces  \nCALLER\nNOBODYS\n"

// script is a container's command that says which signals it gets, until it is told to end.
const script = `sh -c 'for s in HUP INT QUIT TERM USR1; do trap "echo $s" $s; done; trap "echo BUS" 7; trap "exit 3" USR2; echo ready; while :; do sleep 0.1; done'`

// isReady waits until that script can be sent signals.
const isReady = `until logs $N 2>/dev/null | grep -q ready; do sleep 0.1; done; `

var meanings = []meaning{
	// The images of a name, one after the other: what is for another machine has this one's programs.
	{name: "platform", line: `M=${R%/means}/machines:1
		run --rm --platform linux/arm64 $M cat /etc/machine; run --rm $M cat /etc/machine
		run --rm --platform linux/amd64 $M cat /etc/machine; run --rm --platform aarch64 $M cat /etc/machine
		for p in windows/amd64 nosuch linux/nosuch linux/s390x linux/arm64/v8/x; do run --rm --platform $p $M true; echo $?; done`},

	// The command and its arguments.
	{name: "command of the image", line: `run --rm $R/cmd:1`},
	{name: "other command", line: `run --rm $R/cmd:1 echo mine`},
	{name: "entrypoint with the image's command", line: `run --rm $R/entry:1`},
	{name: "entrypoint with other arguments", line: `run --rm $R/entry:1 one two`},
	{name: "other entrypoint drops the command", line: `run --rm --entrypoint echo $R/entry:1`},
	{name: "other entrypoint with arguments", line: `run --rm --entrypoint echo $R/entry:1 one two`},
	{name: "entrypoint of an image without", line: `run --rm --entrypoint echo $R/cmd:1`},
	{name: "no entrypoint and a command", line: `run --rm --entrypoint "" $R/entry:1 echo mine`},
	{name: "no entrypoint and no command", line: `run --rm --entrypoint "" $R/entry:1`},
	{name: "entrypoint is one word", line: `run --rm --entrypoint "echo one" $R/entry:1`},
	{name: "entrypoint in a shell", line: `run --rm $R/shell:1`},
	{name: "entrypoint in a shell with arguments", line: `run --rm $R/shell:1 a b`},
	{name: "nothing to run", line: `run --rm $R/none:1`},
	{name: "no entrypoint at all but a command", line: `run --rm $R/none:1 echo mine`},
	{name: "empty argument", line: `run --rm $R/entry:1 a "" b`},
	{name: "spaces and tabs", line: `run --rm $R/entry:1 " a  b " "$(printf 'c\td')"`},
	{name: "quotes", line: `run --rm $R/entry:1 "it's" '"so"' '\"'`},
	{name: "newline in an argument", line: `run --rm $R/entry:1 "$(printf 'a\nb')"`},
	{name: "nothing is expanded", line: `run --rm $R/entry:1 '*' '$HOME' '~' '{a,b}' '\n'`},
	{name: "not only ASCII", line: `run --rm $R/entry:1 'Größe' '日本語' '🚢'`},
	{name: "arguments like flags", line: `run --rm $R/entry:1 -a --rm -- -e`},
	{name: "long argument", line: `run --rm $R/entry:1 "$(head -c 100000 /dev/zero | tr '\0' x)" | wc -c`},
	{name: "many arguments", line: `run --rm $R/entry:1 $(seq 3000) | wc -c`},
	{name: "flags end at two dashes", line: `run --rm -- $R/cmd:1 echo mine`},
	{name: "flag with =", line: `run --rm --entrypoint=echo -e=A=1 $R/cmd:1 a`},

	// The environment.
	{name: "environment of the image", line: `run --rm -h box $R/env:1 sh -c 'env | sort'`},
	{name: "environment by default", line: `run --rm -h box $R/noenv:1 sh -c 'env | sort'`},
	{name: "environment with a terminal", line: `run --rm -t -h box $R/cmd:1 sh -c 'env | sort'`},
	{name: "variable over the image's", line: `run --rm -e A=mine $R/env:1 sh -c 'echo $A'`},
	{name: "variable beside the image's", line: `run --rm -e B=mine $R/env:1 sh -c 'echo $A $B'`},
	{name: "variable of the caller", line: `run --rm -e CALLER $R/env:1 sh -c 'echo $CALLER'`},
	{name: "variable that the caller does not have", line: `run --rm -e NOBODYS $R/env:1 sh -c 'env | grep -c NOBODYS'`},
	{name: "variable taken away", line: `run --rm -e A $R/env:1 sh -c 'env | grep -c ^A='`},
	{name: "empty variable", line: `run --rm -e A= $R/env:1 sh -c 'env | grep ^A='`},
	{name: "variable with spaces", line: `run --rm -e 'A= a  b ' $R/env:1 sh -c 'env | grep ^A='`},
	{name: "variable with newline", line: `run --rm -e "A=$(printf 'a\nb')" $R/env:1 sh -c 'echo "$A"'`},
	{name: "variable twice", line: `run --rm -e A=1 -e A=2 $R/env:1 sh -c 'env | grep ^A='`},
	{name: "no name of a variable", line: `run --rm -e =x $R/env:1 true`},
	{name: "PATH of one's own", line: `run --rm -e PATH=/bin $R/env:1 sh -c 'echo $PATH'`},
	{name: "PATH finds the command", line: `run --rm -e PATH=/nowhere $R/env:1 true`},
	{name: "HOME of one's own", line: `run --rm -e HOME=/x $R/cmd:1 sh -c 'echo $HOME'`},
	{name: "HOSTNAME of one's own", line: `run --rm -e HOSTNAME=x $R/cmd:1 sh -c 'echo $HOSTNAME'`},
	{name: "file of variables", line: `run --rm --env-file $T/env $R/env:1 sh -c 'env | grep -E "^(A|B|C|CALLER|NOBODYS)="'`},
	{name: "variable over the file's", line: `run --rm -e A=mine --env-file $T/env $R/env:1 sh -c 'echo $A'`},

	// The user.
	{name: "root by default", line: `run --rm $R/cmd:1 sh -c 'id; echo $HOME'`},
	{name: "user of the image", line: `run --rm $R/app:1 sh -c 'id; echo $HOME'`},
	{name: "user of the image by number", line: `run --rm $R/number:1 sh -c 'id; echo $HOME'`},
	{name: "user and group of the image", line: `run --rm $R/pair:1 sh -c 'id; echo $HOME'`},
	{name: "user and group that nobody has", line: `run --rm $R/numbers:1 sh -c 'id; echo $HOME'`},
	{name: "user of the image that is not there", line: `run --rm $R/ghost:1 true`},
	{name: "user by name", line: `run --rm -u app $R/cmd:1 sh -c 'id; echo $HOME'`},
	{name: "user over the image's", line: `run --rm -u root $R/app:1 sh -c 'id; echo $HOME'`},
	{name: "user by number", line: `run --rm -u 1000 $R/cmd:1 sh -c 'id; echo $HOME'`},
	{name: "user by number that nobody has", line: `run --rm -u 4711 $R/cmd:1 sh -c 'id; echo $HOME'`},
	{name: "user and group by name", line: `run --rm -u root:staff $R/cmd:1 sh -c 'id; echo $HOME'`},
	{name: "user by name and group by number", line: `run --rm -u app:7 $R/cmd:1 id`},
	{name: "user by number and group by name", line: `run --rm -u 7:staff $R/cmd:1 id`},
	{name: "user that is not there", line: `run --rm -u ghost $R/cmd:1 true`},
	{name: "group that is not there", line: `run --rm -u app:ghost $R/cmd:1 true`},
	{name: "user zero", line: `run --rm -u 0:0 $R/app:1 id`},
	{name: "group without a user", line: `run --rm -u :staff $R/cmd:1 id`},
	{name: "user with nothing behind the colon", line: `run --rm -u app: $R/cmd:1 id; run --rm $R/empty:1 id`},
	{name: "more groups", line: `run --rm --group-add staff --group-add 1234 $R/cmd:1 id; run --rm -u app --group-add 7 $R/cmd:1 id; run --rm -u 7:8 --group-add staff $R/cmd:1 id; run --rm --group-add ghost $R/cmd:1 id`},
	{name: "more groups of a session", line: `detached --name $N --group-add staff $R/cmd:1 sleep 1000; into $N "" id; into $N "-u 7" id`},
	{name: "umask", line: `run --rm $R/cmd:1 sh -c 'umask; touch /x; stat -c %a /x'`},
	{name: "what another user may", line: `run --rm -u app $R/cmd:1 sh -c 'touch /x /tmp/x; ls /tmp /root'`},

	// The working directory.
	{name: "root is the directory by default", line: `run --rm $R/cmd:1 sh -c 'pwd; echo $PWD'`},
	{name: "directory of the image is made", line: `run --rm $R/work:1 sh -c 'pwd; stat -c "%a %U" . ..'`},
	{name: "directory of another user is made", line: `run --rm $R/appwork:1 sh -c 'pwd; stat -c "%a %U" . ..'`},
	{name: "directory over the image's", line: `run --rm -w /tmp $R/work:1 sh -c 'pwd; ls /srv'`},
	{name: "directory that is made", line: `run --rm -w /a/b/c $R/cmd:1 sh -c 'pwd; ls /a'`},
	{name: "directory that is not absolute", line: `run --rm -w a/b $R/cmd:1 sh -c pwd`},
	{name: "directory with dots", line: `run --rm -w /tmp/../etc/./ $R/cmd:1 sh -c pwd`},
	{name: "directory that is a file", line: `run --rm $R/file:1 true`},
	{name: "command relative to the directory", line: `run --rm -w /usr $R/cmd:1 bin/echo mine`},

	// The host's name, and the container's files about it.
	{name: "name of the host by default", line: `run --rm $R/cmd:1 sh -c 'hostname | tr 0-9a-f x; test $(hostname) = $HOSTNAME && test $(cat /etc/hostname) = $HOSTNAME'`},
	{name: "name of the host", line: `run --rm -h box $R/cmd:1 sh -c 'hostname; cat /etc/hostname; echo $HOSTNAME'`},
	{name: "name of the host with a domain", line: `run --rm -h box.example.org $R/cmd:1 sh -c 'hostname; cat /etc/hostname; echo $HOSTNAME'`},
	{name: "localhost", line: `run --rm $R/cmd:1 sh -c 'grep -c "^127.0.0.1.localhost$" /etc/hosts; grep -c "^::1.localhost " /etc/hosts'`},
	{name: "files about the host can be written", line: `run --rm $R/cmd:1 sh -c 'for f in hosts hostname resolv.conf; do echo x >> /etc/$f && stat -c "%a %u" /etc/$f; done'`},
	{
		name: "bad name of the host", line: `run --rm -h 'a b' $R/cmd:1 true`,
		hull: "exit 125", why: "the kernel takes it, and no program can use it",
	},

	// The network.
	{name: "links", line: `linked --rm $R/cmd:1 sh -c 'ls /sys/class/net'`},
	{name: "links of none", line: `linked --rm --network none $R/cmd:1 sh -c 'ls /sys/class/net; tail -n +2 /proc/net/route'`},
	{name: "host's network", line: `linked --rm --network host $R/cmd:1 sh -c 'hostname; cat /etc/hostname; echo $HOSTNAME'`},
	{name: "host's network, and another name", line: `linked --rm --network host -h box $R/cmd:1 sh -c 'hostname; cat /etc/hostname; echo $HOSTNAME'`},
	{name: "names in hosts", line: `linked --rm -h box $R/cmd:1 sh -c 'tr "\t" " " < /etc/hosts | cut -d " " -f 2- | sort -u'`},
	{name: "more names in hosts", line: `linked --rm --add-host db:10.1.2.3 --add-host six:fd00::6 $R/cmd:1 sh -c 'grep -E "[[:space:]](db|six)$" /etc/hosts'`},
	{name: "host in hosts", line: `linked --rm --add-host up:host-gateway $R/cmd:1 sh -c 'grep -c "^[0-9.]*.up$" /etc/hosts'`},
	{name: "bad name for hosts", line: `linked --rm --add-host db:nowhere $R/cmd:1 true`},
	{name: "domains to search", line: `linked --rm --dns 192.0.2.1 --dns-search example.org --dns-option timeout:3 $R/cmd:1 sh -c 'grep ^search /etc/resolv.conf; grep -c timeout:3 /etc/resolv.conf'`},
	{name: "bad server for names", line: `linked --rm --dns nowhere $R/cmd:1 true`},
	{name: "no such network", line: `linked --rm --network nosuch $R/cmd:1 true`},
	{name: "another's network", line: `linked -d --name $N -h box $R/cmd:1 sleep 1000 > /dev/null; linked --rm --network container:$N $R/cmd:1 sh -c 'hostname; cat /etc/hostname; ls /sys/class/net'`},
	{name: "another's network, and a name", line: `detached --name $N $R/cmd:1 sleep 1000; linked --rm --network container:$N -h own $R/cmd:1 true`},
	{name: "another's network, and a port", line: `detached --name $N $R/cmd:1 sleep 1000; linked --rm --network container:$N -p 0:80 $R/cmd:1 true`},
	{name: "network of one that has ended", line: `detached --name $N $R/cmd:1 true; code $N; linked --rm --network container:$N $R/cmd:1 true`},
	{name: "network of nobody", line: `linked --rm --network container:nobody $R/cmd:1 true`},
	{name: "port that is none", line: `linked --rm -p 70000:80 $R/cmd:1 true`},
	{name: "protocol that is none", line: `linked --rm -p 8080:80/ip $R/cmd:1 true`},
	{name: "ranges of ports that do not fit", line: `linked --rm -p 8000-8001:80-82 $R/cmd:1 true`},
	{name: "address that is none", line: `linked --rm -p 1.2.3:8080:80 $R/cmd:1 true`},

	// What is mounted.
	{name: "devices", line: `run --rm $R/cmd:1 sh -c 'cd /dev; ls | grep -v core; readlink stdin stdout stderr fd ptmx'`},
	{name: "devices with a terminal", line: `run --rm -t $R/cmd:1 sh -c 'test -c /dev/console && tty'`},
	{name: "file systems", line: `run --rm $R/cmd:1 sh -c 'for d in /proc /sys /dev /dev/pts /dev/shm /dev/mqueue; do stat -f -c "%n %T" $d; done'`},
	{name: "shared memory", line: `run --rm $R/cmd:1 sh -c 'stat -f -c "%b %S" /dev/shm; stat -c %a /dev/shm'`},
	{name: "kernel's parameters are read-only", line: `run --rm $R/cmd:1 sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'`},
	{name: "sysfs is read-only", line: `run --rm $R/cmd:1 sh -c 'touch /sys/x'`},
	{name: "processes", line: `run --rm $R/cmd:1 sh -c 'echo $$; ls -d /proc/[0-9]* | head -n 1'`},
	{name: "open files", line: `run --rm $R/cmd:1 sh -c 'ls /proc/$$/fd'`},

	// What is mounted by image and flags.
	{name: "volumes of the image", line: `run --rm $S sh -c 'cd /seed && find . | sort; stat -c "%n %u:%g %a %F" . fifo setuid deep /var/empty /var/missing; readlink link; cat file; test file -ef hard'`},
	{name: "volume with no name gets the image's files", line: `run --rm -v /seed/deep $S sh -c 'find /seed/deep | sort; stat -c "%u:%g %a" /seed/deep'`},
	{name: "volume gets the image's files once", line: `run --rm -v $N:/seed $S sh -c 'rm -r /seed/deep; echo kept > /seed/mine'; run --rm -v $N:/seed $S sh -c 'cat /seed/mine; ls -A /seed'; run --rm -v $N:/etc/more $R/cmd:1 ls -A /etc/more`},
	{name: "volume that gets nothing", line: `run --rm -v $N:/seed:nocopy $S ls -A /seed`},
	{name: "volume for reading", line: `run --rm -v $N:/v $R/cmd:1 sh -c 'echo x > /v/x'; run --rm -v $N:/v:ro $R/cmd:1 sh -c 'cat /v/x; touch /v/y'`},
	{name: "volume in words", line: `run --rm --mount type=volume,source=$N,target=/v/w $R/cmd:1 sh -c 'echo x > /v/w/x; stat -c "%u:%g %a" /v /v/w'; run --rm --mount type=volume,src=$N,dst=/v,readonly $R/cmd:1 sh -c 'cat /v/x; touch /v/y'`},
	{name: "volume of two containers", line: `detached --name $N -v $N:/v $R/cmd:1 sleep 1000; run --rm -v $N:/v $R/cmd:1 sh -c 'echo x > /v/x; chown 7:8 /v/x'; into $N "" sh -c 'cat /v/x; stat -c %u:%g /v/x'`},
	{name: "directory of the host", line: `mkdir $T/$N; echo x > $T/$N/f; chown 7:8 $T/$N/f; run --rm -v $T/$N:/m/n $R/cmd:1 sh -c 'cat /m/n/f; stat -c %u:%g /m/n/f; echo y > /m/n/g; chown 9:10 /m/n/g'; stat -c %u:%g $T/$N/g; cat $T/$N/g`},
	{name: "directory of the host for reading", line: `mkdir $T/$N; run --rm -v $T/$N:/m:ro $R/cmd:1 touch /m/x; run --rm --mount type=bind,src=$T/$N,dst=/m,readonly $R/cmd:1 touch /m/x; ls -A $T/$N`},
	{name: "file of the host", line: `echo x > $T/$N; run --rm -v $T/$N:/etc/motd -v $T/$N:/not/there $R/cmd:1 sh -c 'cat /etc/motd /not/there; echo y >> /not/there'; cat $T/$N`},
	{name: "file of the host in the place of hosts", line: `echo 10.1.1.1 x > $T/$N; run --rm -v $T/$N:/etc/hosts $R/cmd:1 cat /etc/hosts`},
	{name: "nothing of the host", line: `run --rm --mount type=bind,src=$T/nothing,dst=/m $R/cmd:1 true; ls $T/nothing`},
	{name: "directory over a file", line: `mkdir $T/$N; run --rm -v $T/$N:/etc/motd $R/cmd:1 true`},
	{
		name: "nothing of the host, by -v", line: `run --rm -v $T/$N:/m $R/cmd:1 true; test -e $T/$N && echo made`,
		hull: "exit 1", why: "hull makes no directories of root's on the host for who mistypes a path",
	},
	{name: "mounts that are none", line: `for m in /etc:m /etc:/ /etc:/m:rq $N:m /m:/m:/m:/m; do run --rm -v $m $R/cmd:1 true; echo $?; done; for m in type=bind,dst=/m type=nosuch,dst=/m type=volume,src=$N nonsense; do run --rm --mount $m $R/cmd:1 true; echo $?; done`},
	{name: "two mounts in one place", line: `run --rm -v $N:/m -v /etc:/m $R/cmd:1 true`},
	{name: "mounts in mounts", line: `mkdir $T/$N; run --rm -v $N:/m/n -v $T/$N:/m --tmpfs /m/n/o $R/cmd:1 sh -c 'touch /m/a /m/n/b /m/n/o/c'; ls -A $T/$N; run --rm -v $N:/m $R/cmd:1 ls -A /m`},
	{name: "in memory", line: `run --rm --tmpfs /m $R/cmd:1 sh -c 'stat -c "%a %u:%g" /m; stat -f -c %T /m; grep " /m " /proc/mounts | cut -d " " -f 4 | tr , "\n" | grep -E "^(rw|no.*)$"'`},
	{name: "in memory, with options", line: `run --rm --tmpfs /m:size=1m,mode=750,exec,uid=7 $R/cmd:1 sh -c 'stat -c "%a %u:%g" /m; stat -f -c "%b %S" /m; grep " /m " /proc/mounts | grep -c noexec'`},
	{name: "in memory, in words", line: `run --rm --mount type=tmpfs,dst=/m,tmpfs-size=1m,tmpfs-mode=1770 $R/cmd:1 sh -c 'stat -c "%a %u:%g" /m; stat -f -c "%b %S" /m'`},
	{name: "size of shared memory", line: `run --rm --shm-size 1m $R/cmd:1 stat -f -c "%b %S" /dev/shm`},
	{name: "read-only", line: `run --rm --read-only --tmpfs /m -v $N:/v $R/cmd:1 sh -c 'for f in /x /etc/x /tmp/x /m/x /v/x /dev/shm/x /etc/hosts /etc/resolv.conf /etc/hostname; do (: >> $f) 2>/dev/null && echo $f; done'`},
	{name: "device", line: `run --rm --device /dev/zero:/dev/given:r $R/cmd:1 sh -c 'head -c 3 /dev/given | wc -c; stat -c %t:%T /dev/given; echo x > /dev/given'`},
	{
		name: "device that is none", line: `run --rm --device /dev/nothing $R/cmd:1 true`,
		hull: "exit 125", why: "127 says that the container has no such command, and it is the host that has no such device",
	},
	{name: "parameter of the kernel", line: `run --rm --sysctl kernel.msgmax=9000 $R/cmd:1 cat /proc/sys/kernel/msgmax; run --rm --sysctl kernel.panic=1 $R/cmd:1 true`},
	{name: "no capabilities", line: `run --rm --cap-drop ALL --cap-add KILL $R/cmd:1 grep -E '^Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status`},
	{name: "capability that is none", line: `run --rm --cap-add NOSUCH $R/cmd:1 true`},
	{name: "labels", line: `detached --name $N -l mine=1 -l image=over -l empty $R/labels:1 sleep 1000; look $N labels`},

	// Input, output and terminals.
	{name: "input", line: `echo typed | run --rm -i $R/cmd:1 cat`},
	{name: "no input without -i", line: `echo typed | run --rm $R/cmd:1 cat`},
	{name: "bytes of all kinds", line: `head -c 300000 /dev/urandom > $T/$N.bytes; run --rm -i $R/cmd:1 cat < $T/$N.bytes | cmp - $T/$N.bytes`},
	{name: "two outputs", line: `run --rm $R/cmd:1 true 2>/dev/null; run --rm $R/cmd:1 sh -c 'echo out; echo err >&2' 2>$T/$N.err; cat $T/$N.err; rm $T/$N.err`},
	{name: "terminal", line: `run --rm -t $R/cmd:1 sh -c 'test -t 0 && test -t 1 && test -t 2 && tty; echo x'`},
	{name: "no terminal", line: `run --rm $R/cmd:1 sh -c 'test -t 0 || test -t 1; echo $?; tty'`},
	{name: "input is nothing by default", line: `run --rm $R/cmd:1 sh -c 'readlink /proc/self/fd/0; read x; echo $?'`},

	// How it ends.
	{name: "success", line: `run --rm $R/cmd:1 true`},
	{name: "failure", line: `run --rm $R/cmd:1 false`},
	{name: "exit status", line: `run --rm $R/cmd:1 sh -c 'exit 42'`},
	{name: "highest exit status", line: `run --rm $R/cmd:1 sh -c 'exit 255'`},
	{name: "exit status 125 of the command", line: `run --rm $R/cmd:1 sh -c 'exit 125'`},
	{name: "no such flag", line: `run --rm --nonsense $R/cmd:1 true`},
	{name: "no such command", line: `run --rm $R/cmd:1 nonsense`},
	{name: "no such file", line: `run --rm $R/cmd:1 /no/such/thing`},
	{name: "not to be executed", line: `run --rm $R/cmd:1 /usr/bin/noexec`},
	{
		name: "not to be executed, by PATH", line: `run --rm $R/cmd:1 noexec`,
		hull: "exit 126", why: "a command that is there is not said to be missing",
	},
	{name: "directory as the command", line: `run --rm $R/cmd:1 /etc`},
	{
		name: "no program", line: `run --rm $R/cmd:1 garbage`,
		hull: "exit 126", why: "126 stands for whatever is there and cannot be executed",
	},
	{name: "empty command", line: `run --rm $R/cmd:1 ""`},
	{name: "ended by a signal", line: `run --rm --init $R/cmd:1 sh -c 'kill -9 $$'`},
	{name: "child ended by a signal", line: `run --rm $R/cmd:1 sh -c 'sh -c "kill -15 \$\$"; exit $?'`},
	{name: "process 1 is deaf to itself", line: `run --rm $R/cmd:1 sh -c 'kill -TERM $$; kill -KILL $$; echo lives'`},

	// Signals and states.
	{name: "stop", line: `detached --name $N $R/cmd:1 ` + script + `; ` + isReady + `ctl $N stop 1; logs $N; look $N status; look $N exit`},
	{name: "stop signal of the image", line: `detached --name $N $R/quit:1 ` + script + `; ` + isReady + `ctl $N stop 1; logs $N`},
	{name: "stop signal of the image by number", line: `detached --name $N $R/seven:1 ` + script + `; ` + isReady + `ctl $N stop 1; logs $N`},
	{name: "stop signal over the image's", line: `detached --name $N --stop-signal USR2 $R/quit:1 ` + script + `; ` + isReady + `ctl $N stop 30; logs $N; look $N exit`},
	{name: "stop time-out", line: `detached --name $N --stop-timeout 0 $R/cmd:1 ` + script + `; ` + isReady + `ctl $N stop; look $N exit`},
	{name: "bad stop signal", line: `run --rm --stop-signal NONSENSE $R/cmd:1 true`},
	{name: "kill", line: `detached --name $N $R/cmd:1 sleep 1000; ctl $N kill; code $N; look $N status`},
	{name: "signals", line: `detached --name $N $R/cmd:1 ` + script + `; ` + isReady + `
		for s in HUP SIGINT 3; do ctl $N kill $s; until logs $N | grep -q -e "${s#SIG}" -e QUIT; do sleep 0.1; done; done; ctl $N kill USR2; code $N; logs $N`},
	{name: "signals of the caller", line: `run --name $N $R/cmd:1 ` + script + ` > $T/$N.out & pid=$!; until grep -q ready $T/$N.out; do sleep 0.1; done; kill -USR2 $pid; wait $pid; echo $?`},
	{name: "no such signal", line: `detached --name $N $R/cmd:1 sleep 1000; ctl $N kill NONSENSE 2>/dev/null || echo refused; look $N status`},
	{name: "kill what has ended", line: `run --name $N $R/cmd:1 true; ctl $N kill 2>/dev/null || echo refused`},
	{name: "stop what has ended", line: `run --name $N $R/cmd:1 true; ctl $N stop && look $N status`},
	{name: "start again", line: `run --name $N $R/cmd:1 sh -c 'echo x >> /x; cat /x; exit 3'; ctl $N start; code $N; logs $N`},
	{
		name: "start what runs", line: `detached --name $N $R/cmd:1 sleep 1000; ctl $N start 2>/dev/null; echo $?`,
		hull: "1\nexit 0", why: "what does nothing says so",
	},
	{name: "restart", line: `detached --name $N $R/cmd:1 sh -c 'echo x >> /x; cat /x; exec sleep 1000'; until logs $N | grep -q x; do sleep 0.1; done
		ctl $N restart 0; until test "$(logs $N | wc -l)" = 3; do sleep 0.1; done; look $N status`},
	{name: "pause", line: `detached --name $N $R/cmd:1 sleep 1000; ctl $N pause; look $N status; ctl $N unpause; look $N status`},
	{name: "pause twice", line: `detached --name $N $R/cmd:1 sleep 1000; ctl $N pause; ctl $N pause 2>/dev/null || echo refused`},
	{name: "name taken", line: `run --name $N $R/cmd:1 true; run --name $N $R/cmd:1 true`},
	{name: "bad name", line: `run --name -x/y $R/cmd:1 true`},
	{name: "removed at its end", line: `run --rm --name $N $R/cmd:1 true; run --rm --name $N $R/cmd:1 echo again`},
	{name: "what has changed", line: `run --name $N $R/cmd:1 sh -c 'echo x > /new; rm /etc/motd; echo y >> /etc/release'; look $N changes | grep -v hosts | sort`},

	// Restart policies.
	{name: "restart on failure", line: `detached --name $N --restart on-failure:2 $R/cmd:1 sh -c 'echo x; exit 3'
		until test "$(logs $N | wc -l)" = 3 -a "$(look $N status)" = exited; do sleep 0.1; done; look $N exit; look $N restarts`},
	{name: "restart on failure of what succeeds", line: `detached --name $N --restart on-failure $R/cmd:1 sh -c 'echo x'
		until test "$(look $N status)" = exited; do sleep 0.1; done; logs $N; look $N restarts`},
	{name: "restart always", line: `detached --name $N --restart always $R/cmd:1 sh -c 'echo x'; until test "$(logs $N | wc -l)" -ge 3; do sleep 0.1; done
		ctl $N stop; look $N status`},
	{name: "restarting", line: `detached --name $N --restart always $R/cmd:1 sh -c 'exit 4'; until test "$(look $N restarts)" -ge 4 -a "$(look $N status)" = restarting; do sleep 0.1; done
		ctl $N stop; look $N status; look $N exit`},
	{name: "restart and stop", line: `detached --name $N --restart always $R/cmd:1 ` + script + `; ` + isReady + `ctl $N stop 0; look $N status; look $N restarts`},
	{name: "restart and kill", line: `detached --name $N --restart unless-stopped $R/cmd:1 sleep 1000; ctl $N kill; code $N; look $N status; look $N restarts`},
	{name: "restart of what is started again", line: `detached --name $N --restart on-failure:1 $R/cmd:1 sh -c 'echo x; exit 3'
		until test "$(logs $N | wc -l)" = 2 -a "$(look $N status)" = exited; do sleep 0.1; done
		ctl $N start; until test "$(logs $N | wc -l)" = 4 -a "$(look $N status)" = exited; do sleep 0.1; done; look $N restarts`},
	{name: "restart and wait", line: `detached --name $N --restart always $R/cmd:1 sh -c 'sleep 1; exit 7'; code $N; code $N; look $N restarts | grep -c '[1-9]'`},
	{name: "restart of what is sick", line: `detached --name $N --restart always $R/sick:1 sleep 1000; until test "$(look $N health)" = unhealthy; do sleep 0.1; done
		look $N status; look $N restarts`},
	{name: "restart and remove", line: `run --rm --restart always $R/cmd:1 true 2>/dev/null || echo refused; run --rm --restart no $R/cmd:1 echo fine`},
	{name: "restart policies", line: `for p in never always:1 no:1 on-failure:-1 on-failure:x; do run --rm --restart $p $R/cmd:1 true 2>/dev/null && echo $p; done; echo`},

	// Health.
	{name: "health by the image", line: `detached --name $N $R/sick:1 sleep 1000; until test "$(look $N health)" = unhealthy; do sleep 0.1; done
		into $N "" touch /well; until test "$(look $N health)" = healthy; do sleep 0.1; done; look $N status`},
	{name: "health by flags", line: `detached --name $N --health-cmd 'test -d /etc' --health-interval 200ms $R/sick:1 sleep 1000
		until test "$(look $N health)" = healthy; do sleep 0.1; done; look $N status`},
	{name: "no health", line: `detached --name $N --no-healthcheck $R/sick:1 sleep 1000; look $N health 2>/dev/null | grep -c healthy`},
	{name: "health in the time of the start", line: `detached --name $N --health-start-period 1h $R/sick:1 sleep 1000; sleep 2; look $N health`},
	{name: "health of which the flags contradict", line: `run --rm --no-healthcheck --health-cmd true $R/cmd:1 true 2>/dev/null`},

	// Sessions.
	{name: "session", line: `detached --name $N -h box -e A=1 -w /tmp -u app $R/cmd:1 sleep 1000; into $N "" sh -c 'id; pwd; env | sort'`},
	{name: "session of root", line: `detached --name $N -u app $R/cmd:1 sleep 1000; into $N "-u root" sh -c 'id; echo $HOME'`},
	{name: "session with variables", line: `detached --name $N -e A=1 $R/cmd:1 sleep 1000; into $N "-e A=2 -e B=3" sh -c 'echo $A $B'`},
	{name: "session in a directory", line: `detached --name $N $R/cmd:1 sleep 1000; into $N "-w /etc" sh -c pwd`},
	{name: "session with input", line: `detached --name $N $R/cmd:1 sleep 1000; echo typed | into $N -i cat`},
	{name: "session without input", line: `detached --name $N $R/cmd:1 sleep 1000; echo typed | into $N "" cat`},
	{name: "session with a terminal", line: `detached --name $N $R/cmd:1 sleep 1000; into $N -t sh -c 'test -t 1 && echo $TERM'`},
	{name: "exit status of a session", line: `detached --name $N $R/cmd:1 sleep 1000; into $N "" sh -c 'exit 9'`},
	{name: "session ended by a signal", line: `detached --name $N $R/cmd:1 sleep 1000; into $N "" sh -c 'kill -9 $$'`},
	{
		name: "session without such a command", line: `detached --name $N $R/cmd:1 sleep 1000; into $N "" nonsense 2>/dev/null`,
		hull: "exit 127", why: "the exit status is as run's, and the reason does not come out as the command's own output",
	},
	{
		name: "session that is not to be executed", line: `detached --name $N $R/cmd:1 sleep 1000; into $N "" /usr/bin/noexec 2>/dev/null`,
		hull: "exit 126", why: "the exit status is as run's, and the reason does not come out as the command's own output",
	},
	{
		name: "session in what has ended", line: `run --name $N $R/cmd:1 true; into $N "" true 2>/dev/null`,
		hull: "exit 125", why: "that hull could not do it is 125, as for run",
	},
	{
		name: "session in what is paused", line: `detached --name $N $R/cmd:1 sleep 1000; ctl $N pause; into $N "" true 2>/dev/null`,
		hull: "exit 125", why: "that hull could not do it is 125, as for run",
	},
}
