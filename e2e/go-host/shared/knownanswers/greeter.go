package knownanswers

import (
	"net/rpc"

	goPlugin "github.com/hashicorp/go-plugin"
)

const greeterKey = "greeter"

// greeter is a plugin without any of upstream's types, for the crate that knows none of them.
type greeter struct{}

// Greet answers with the name it is given.
func (greeter) Greet(name string, response *string) error {
	*response = "hello, " + name
	return nil
}

type greeterPlugin struct{}

func (greeterPlugin) Server(*goPlugin.MuxBroker) (any, error) { return greeter{}, nil }

func (greeterPlugin) Client(_ *goPlugin.MuxBroker, client *rpc.Client) (any, error) {
	return client, nil
}

// control has the method set of go-plugin's unexported control server.
type control struct{}

func (control) Ping(_ bool, _ *struct{}) error { return nil }
func (control) Quit(_ bool, _ *struct{}) error { return nil }

// dispenser has the method set of go-plugin's unexported dispense server, and its error.
type dispenser struct{}

func (dispenser) Dispense(name string, response *uint32) error {
	if name != greeterKey {
		return unknownPlugin(name)
	}
	*response = 1
	return nil
}

type unknownPlugin string

func (u unknownPlugin) Error() string { return "unknown plugin type: " + string(u) }

func registerControl(server *rpc.Server) error {
	if err := server.RegisterName("Control", control{}); err != nil {
		return err
	}
	return server.RegisterName("Dispenser", dispenser{})
}
