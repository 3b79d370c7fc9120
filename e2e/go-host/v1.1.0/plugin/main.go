// The reference plugin on upstream v1.1.0.
package main

import "github.com/ephemeral-access-dev/inject-ephemeral-access-plugin/e2e/go-host/shared/refplugin"

func main() {
	refplugin.Serve()
}
