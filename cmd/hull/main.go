// Hull is a container engine whose user interface is a file system.
//
// One binary plays several roles. Which one is decided by the first argument,
// before anything else is done: `hull verb PATH …` is what an executed file of
// the tree runs, and its start is part of every exec.
package main

import (
	"os"
)

func main() {
	role := ""
	if len(os.Args) > 1 {
		role = os.Args[1]
	}
	os.Exit(play(role, os.Args))
}
