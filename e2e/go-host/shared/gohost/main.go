// Package gohost is the command line of the Go host. One binary is built for each upstream version.
package gohost

import (
	"fmt"
	"os"

	"github.com/hashicorp/go-hclog"

	"github.com/ephemeral-access-dev/inject-ephemeral-access-plugin/e2e/go-host/shared/bench"
	"github.com/ephemeral-access-dev/inject-ephemeral-access-plugin/e2e/go-host/shared/compare"
	"github.com/ephemeral-access-dev/inject-ephemeral-access-plugin/e2e/go-host/shared/knownanswers"
	"github.com/ephemeral-access-dev/inject-ephemeral-access-plugin/e2e/go-host/shared/scenarios"
)

var commands = map[string]func(version string, arguments []string) error{
	"bench":         bench.Main,
	"child-host":    scenarios.ChildHost,
	"compare":       compare.Main,
	"known-answers": knownanswers.Main,
	"scenarios":     scenarios.Main,
	"soak":          bench.Soak,
}

// Main runs the command that the first argument names. controllerLogger makes the logger that this upstream version's
// controller gives to go-plugin.
func Main(version string, controllerLogger func() (hclog.Logger, error)) {
	scenarios.ControllerLogger = controllerLogger
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "error: a command must be given")
		os.Exit(2)
	}
	command, known := commands[os.Args[1]]
	if !known {
		fmt.Fprintf(os.Stderr, "error: no command is named %q\n", os.Args[1])
		os.Exit(2)
	}
	if err := command(version, os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "error: %s\n", err)
		os.Exit(1)
	}
}
