package plugin

import (
	"encoding/gob"
	"fmt"
	"net/rpc"

	argocd "github.com/argoproj-labs/argocd-ephemeral-access/api/argoproj/v1alpha1"
	api "github.com/argoproj-labs/argocd-ephemeral-access/api/ephemeral-access/v1alpha1"
)

// The name that gob gives it is part of the contract: "*plugin.PluginError".
func init() { gob.Register(new(PluginError)) }

// GrantAccessArgsRPC is the argument of GrantAccess.
type GrantAccessArgsRPC struct {
	AccReq *api.AccessRequest
	App    *argocd.Application
}

// RevokeAccessArgsRPC is the argument of RevokeAccess.
type RevokeAccessArgsRPC struct {
	AccReq *api.AccessRequest
	App    *argocd.Application
}

// InitResponseRPC is the reply to Init.
type InitResponseRPC struct {
	Err error
}

// GrantAccessResponseRPC is the reply to GrantAccess.
type GrantAccessResponseRPC struct {
	Response *GrantResponse
	Err      error
}

// RevokeAccessResponseRPC is the reply to RevokeAccess.
type RevokeAccessResponseRPC struct {
	Response *RevokeResponse
	Err      error
}

// AccessRequesterRPCServer answers net/rpc calls with a plugin.
type AccessRequesterRPCServer struct {
	Impl AccessRequester
}

func (s *AccessRequesterRPCServer) Init(_ any, reply *InitResponseRPC) error {
	reply.Err = sendable(s.Impl.Init())
	return nil
}

func (s *AccessRequesterRPCServer) GrantAccess(args *GrantAccessArgsRPC, reply *GrantAccessResponseRPC) error {
	response, err := s.Impl.GrantAccess(args.AccReq, args.App)
	reply.Response, reply.Err = response, sendable(err)
	return nil
}

func (s *AccessRequesterRPCServer) RevokeAccess(args *RevokeAccessArgsRPC, reply *RevokeAccessResponseRPC) error {
	response, err := s.Impl.RevokeAccess(args.AccReq, args.App)
	reply.Response, reply.Err = response, sendable(err)
	return nil
}

func sendable(err error) error {
	if err == nil {
		return nil
	}
	return &PluginError{Err: err.Error()}
}

// accessRequesterRPCClient is a plugin in another process.
type accessRequesterRPCClient struct {
	client *rpc.Client
}

func (c accessRequesterRPCClient) Init() error {
	var reply InitResponseRPC
	// The argument is a pointer to a nil interface: a plugin gets nothing to read from it.
	return c.call("Init", new(any), &reply, &reply.Err)
}

func (c accessRequesterRPCClient) GrantAccess(request *api.AccessRequest, application *argocd.Application) (*GrantResponse, error) {
	var reply GrantAccessResponseRPC
	err := c.call("GrantAccess", &GrantAccessArgsRPC{request, application}, &reply, &reply.Err)
	return reply.Response, err
}

func (c accessRequesterRPCClient) RevokeAccess(request *api.AccessRequest, application *argocd.Application) (*RevokeResponse, error) {
	var reply RevokeAccessResponseRPC
	err := c.call("RevokeAccess", &RevokeAccessArgsRPC{request, application}, &reply, &reply.Err)
	return reply.Response, err
}

// call gives back the error of the call, or else the plugin's, which is a part of the reply.
func (c accessRequesterRPCClient) call(method string, args, reply any, answered *error) error {
	if err := c.client.Call("Plugin."+method, args, reply); err != nil {
		return fmt.Errorf("the plugin cannot be called: %s: %w", method, err)
	}
	return *answered
}
