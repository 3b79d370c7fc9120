// The reference plugin on the contract as upstream v1.2.0 has it.
package main

import "github.com/ephemeral-access-dev/inject-ephemeral-access-plugin/e2e/go-host/shared/refplugin"

func main() {
	refplugin.Serve()
}
