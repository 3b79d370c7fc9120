// The Go host on the contract as upstream v1.2.0 has it.
package main

import (
	"github.com/hashicorp/go-hclog"
	zaphclog "github.com/zaffka/zap-to-hclog"
	"go.uber.org/zap"

	"github.com/ephemeral-access-dev/inject-ephemeral-access-plugin/e2e/go-host/shared/gohost"
)

func main() {
	gohost.Main("contract-v1.2.0", controllerLogger)
}

// controllerLogger is of the kind that the controller uses from v1.0.0: zap behind an adapter.
func controllerLogger() (hclog.Logger, error) {
	config := zap.NewProductionConfig()
	config.Level = zap.NewAtomicLevelAt(zap.DebugLevel)
	// Everything is looked at: none is left out because there are many like it.
	config.Sampling = nil
	logger, err := config.Build()
	if err != nil {
		return nil, err
	}
	return zaphclog.Wrap(logger), nil
}
