// The Go host on the contract as upstream v0.1.5 has it.
package main

import (
	"os"

	"github.com/hashicorp/go-hclog"

	"github.com/ephemeral-access-dev/inject-ephemeral-access-plugin/e2e/go-host/shared/gohost"
)

func main() {
	gohost.Main("contract-v0.1.5", controllerLogger)
}

// controllerLogger is go-plugin's own kind of logger. What the controller of this version has, only the run with
// upstream's module shows.
func controllerLogger() (hclog.Logger, error) {
	return hclog.New(&hclog.LoggerOptions{Level: hclog.Debug, Output: os.Stderr, JSONFormat: true}), nil
}
