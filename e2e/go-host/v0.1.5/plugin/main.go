// The reference plugin on upstream v0.1.5.
package main

import "github.com/ephemeral-access-dev/inject-ephemeral-access-plugin/e2e/go-host/shared/refplugin"

func main() {
	refplugin.Serve()
}
