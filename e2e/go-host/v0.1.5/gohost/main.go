// The Go host on upstream v0.1.5.
package main

import (
	"github.com/argoproj-labs/argocd-ephemeral-access/pkg/log"
	"github.com/hashicorp/go-hclog"

	"github.com/ephemeral-access-dev/inject-ephemeral-access-plugin/e2e/go-host/shared/gohost"
)

func main() {
	gohost.Main("v0.1.5", controllerLogger)
}

func controllerLogger() (hclog.Logger, error) {
	return log.NewPluginLogger(log.WithLevel(log.DebugLevel), log.WithFormat(log.JsonFormat))
}
