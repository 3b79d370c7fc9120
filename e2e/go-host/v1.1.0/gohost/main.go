// The Go host on upstream v1.1.0.
package main

import (
	"github.com/argoproj-labs/argocd-ephemeral-access/pkg/log"
	"github.com/hashicorp/go-hclog"

	"github.com/ephemeral-access-dev/inject-ephemeral-access-plugin/e2e/go-host/shared/gohost"
)

func main() {
	gohost.Main("v1.1.0", controllerLogger)
}

func controllerLogger() (hclog.Logger, error) {
	zap, err := log.NewZapLogger(log.WithLevel(log.DebugLevel), log.WithFormat(log.JsonFormat))
	if err != nil {
		return nil, err
	}
	return log.NewPluginLogger(zap)
}
