// The Go host on upstream v1.0.3.
package main

import "github.com/ephemeral-access-dev/inject-ephemeral-access-plugin/e2e/go-host/shared/gohost"

func main() {
	gohost.Main("v1.0.3")
}
