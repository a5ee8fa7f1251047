// Attack is what runs in the containers of the attack tests: it tries to get
// out, or at what is not the container's, in every way that it knows, and says
// what came of each, a line each:
//
//	NAME refused REASON
//	NAME DONE WHAT
//
// It knows nothing of hull: it uses what a process in a container has.
//
//	attack                   everything in the table
//	attack NAME…             these
//	attack others PID…       processes of the host's, by the numbers they have there
//	attack abstract NAME…    listening sockets of the host's
//	attack watch SECONDS     whoever enters the container: tries to get hold of him
//	attack shift             what a session is started by, until /tmp/enough is there
//	attack fork              processes that do nothing but make more of them
//	attack eat               all memory there is
//	attack whoami            its user and its capabilities
package main

import (
	"fmt"
	"os"
	"sort"
)

// attempt tries something; nil says that it was done.
type attempt func() error

func main() {
	args := os.Args[1:]
	if len(args) > 0 {
		switch args[0] {
		case "others":
			others(args[1:])
			return
		case "abstract":
			abstract(args[1:])
			return
		case "watch":
			watch(args[1])
			return
		case "shift":
			shift()
			return
		case "fork":
			fork()
		case "eat":
			eat()
		case "whoami":
			whoami()
			return
		}
	}
	table := attempts()
	names := args
	if len(names) == 0 {
		for n := range table {
			names = append(names, n)
		}
		sort.Strings(names)
	}
	for _, n := range names {
		try, ok := table[n]
		if !ok {
			fmt.Printf("%s DONE nothing: there is no such attack\n", n)
			continue
		}
		tell(n, try())
	}
}

func tell(name string, err error) {
	if err == nil {
		fmt.Printf("%s DONE\n", name)
		return
	}
	fmt.Printf("%s refused %v\n", name, err)
}

// attempts is every attack on the kernel's interfaces, by name.
func attempts() map[string]attempt {
	all := map[string]attempt{}
	for _, part := range []map[string]attempt{mounts(), namespaces(), kernel(), devices(), files(), sockets(), inherited(), wide()} {
		for n, a := range part {
			all[n] = a
		}
	}
	return all
}
