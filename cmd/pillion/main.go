// Command pillion is the one binary: the proxy, which takes Envoy's command line, and what belongs to it.
package main

import (
	"os"
)

// version is set by the linker.
var version = "dev"

// commands are the words that are no proxy; anything else is Envoy's command line.
var commands = map[string]func(args []string) int{
	"control":  control,
	"demo":     demo,
	"explain":  explainCommand,
	"bookinfo": bookinfoCommand,
}

func main() {
	if len(os.Args) > 1 {
		if run, ok := commands[os.Args[1]]; ok {
			os.Exit(run(os.Args[2:]))
		}
	}
	os.Exit(proxy(os.Args))
}
