package plugin

import (
	"errors"
	"fmt"
	"net/rpc"
	"os/exec"

	"github.com/hashicorp/go-hclog"
	goPlugin "github.com/hashicorp/go-plugin"
)

// Key is the name under which the plugin is dispensed.
const Key = "ephemeralaccess"

var handshake = goPlugin.HandshakeConfig{
	ProtocolVersion:  1,
	MagicCookieKey:   "EPHEMERAL_ACCESS_PLUGIN",
	MagicCookieValue: "ephemeralaccess",
}

// accessRequesterPlugin makes both ends of a dispensed plugin. A host has no implementation.
type accessRequesterPlugin struct {
	implementation AccessRequester
}

func (p accessRequesterPlugin) Server(*goPlugin.MuxBroker) (any, error) {
	if p.implementation == nil {
		return nil, errors.New("a host serves no plugin")
	}
	return &AccessRequesterRPCServer{Impl: p.implementation}, nil
}

func (accessRequesterPlugin) Client(_ *goPlugin.MuxBroker, client *rpc.Client) (any, error) {
	return accessRequesterRPCClient{client}, nil
}

// NewServerConfig is how a plugin is served.
func NewServerConfig(implementation AccessRequester, logger hclog.Logger) *goPlugin.ServeConfig {
	return &goPlugin.ServeConfig{
		HandshakeConfig: handshake,
		Plugins:         map[string]goPlugin.Plugin{Key: accessRequesterPlugin{implementation}},
		Logger:          logger,
	}
}

// NewClientConfig is how the plugin at a path is started.
func NewClientConfig(path string, logger hclog.Logger) *goPlugin.ClientConfig {
	return &goPlugin.ClientConfig{
		HandshakeConfig: handshake,
		Plugins:         map[string]goPlugin.Plugin{Key: accessRequesterPlugin{}},
		Cmd:             exec.Command(path),
		Logger:          logger,
	}
}

// GetAccessRequester starts the plugin and dispenses it.
func GetAccessRequester(client *goPlugin.Client) (AccessRequester, error) {
	connection, err := client.Client()
	if err != nil {
		return nil, fmt.Errorf("the plugin does not start: %w", err)
	}
	dispensed, err := connection.Dispense(Key)
	if err != nil {
		return nil, fmt.Errorf("the plugin is not dispensed: %w", err)
	}
	requester, is := dispensed.(AccessRequester)
	if !is {
		return nil, fmt.Errorf("the plugin must be an AccessRequester, is %T", dispensed)
	}
	return requester, nil
}
