// Package plugin declares what a plugin answers, and how a call to it goes over net/rpc.
package plugin

import (
	argocd "github.com/argoproj-labs/argocd-ephemeral-access/api/argoproj/v1alpha1"
	api "github.com/argoproj-labs/argocd-ephemeral-access/api/ephemeral-access/v1alpha1"
)

// AccessRequester decides about requests.
type AccessRequester interface {
	Init() error
	GrantAccess(request *api.AccessRequest, application *argocd.Application) (*GrantResponse, error)
	RevokeAccess(request *api.AccessRequest, application *argocd.Application) (*RevokeResponse, error)
}

// GrantResponse is the decision about a request.
type GrantResponse struct {
	Status  GrantStatus
	Message string
}

// GrantStatus is what becomes of a request.
type GrantStatus string

const (
	GrantStatusGranted GrantStatus = "granted"
	GrantStatusPending GrantStatus = "grant-pending"
	GrantStatusDenied  GrantStatus = "denied"
)

// RevokeResponse says how far the end of an access has come.
type RevokeResponse struct {
	Status  RevokeStatus
	Message string
}

// RevokeStatus is how far the end of an access has come.
type RevokeStatus string

const (
	RevokeStatusRevoked RevokeStatus = "revoked"
	RevokeStatusPending RevokeStatus = "revoke-pending"
)

// PluginError is a plugin's error on its way to the host: gob sends no other type of error.
type PluginError struct {
	Err string
}

func (e *PluginError) Error() string { return e.Err }
