// Package refplugin is the Go plugin that the Rust test plugin is compared with: both keep the same contract, this one
// on upstream's own API. The annotation Annotation on the AccessRequest says what a call does; without it the answer
// is the request itself, as JSON, in the message.
package refplugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	argocd "github.com/argoproj-labs/argocd-ephemeral-access/api/argoproj/v1alpha1"
	api "github.com/argoproj-labs/argocd-ephemeral-access/api/ephemeral-access/v1alpha1"
	"github.com/argoproj-labs/argocd-ephemeral-access/pkg/plugin"
	"github.com/hashicorp/go-hclog"
	goPlugin "github.com/hashicorp/go-plugin"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// Annotation on the AccessRequest tells the plugin what to do.
	Annotation = "test/do"
	// InitErrorVariable in the environment makes Init fail with its value.
	InitErrorVariable = "TEST_INIT_ERROR"

	// NoAccessRequest and NoApplication are the errors for nil objects. The Rust trait cannot be called with them.
	NoAccessRequest = "the host sent no AccessRequest"
	NoApplication   = "the host sent no Application"
)

// Serve runs the plugin until the host quits it.
func Serve() {
	logger := hclog.New(&hclog.LoggerOptions{
		Name:       "plugin",
		Level:      hclog.Trace,
		Output:     os.Stderr,
		JSONFormat: true,
	})
	goPlugin.Serve(plugin.NewServerConfig(&Requester{Logger: logger}, logger))
}

// Requester implements upstream's AccessRequester.
type Requester struct {
	Logger hclog.Logger
}

// Init fails if the environment says so.
func (r *Requester) Init() error {
	if text := os.Getenv(InitErrorVariable); text != "" {
		return errors.New(text)
	}
	return nil
}

// GrantAccess does what the annotation says.
func (r *Requester) GrantAccess(ar *api.AccessRequest, app *argocd.Application) (*plugin.GrantResponse, error) {
	if err := complete(ar, app); err != nil {
		return nil, err
	}
	switch do := ar.Annotations[Annotation]; do {
	case "nil":
		return nil, nil
	case "empty":
		return &plugin.GrantResponse{}, nil
	case "pending":
		return &plugin.GrantResponse{Status: plugin.GrantStatusPending, Message: "pending"}, nil
	case "denied":
		return &plugin.GrantResponse{Status: plugin.GrantStatusDenied, Message: "denied"}, nil
	default:
		if err := r.perform(do); err != nil {
			return nil, err
		}
		return &plugin.GrantResponse{Status: plugin.GrantStatusGranted, Message: Dump(ar, app)}, nil
	}
}

// RevokeAccess does what the annotation says.
func (r *Requester) RevokeAccess(ar *api.AccessRequest, app *argocd.Application) (*plugin.RevokeResponse, error) {
	if err := complete(ar, app); err != nil {
		return nil, err
	}
	switch do := ar.Annotations[Annotation]; do {
	case "nil":
		return nil, nil
	case "empty":
		return &plugin.RevokeResponse{}, nil
	case "revoke-pending":
		return &plugin.RevokeResponse{Status: plugin.RevokeStatusPending, Message: "revoke-pending"}, nil
	default:
		if err := r.perform(do); err != nil {
			return nil, err
		}
		return &plugin.RevokeResponse{Status: plugin.RevokeStatusRevoked, Message: Dump(ar, app)}, nil
	}
}

func complete(ar *api.AccessRequest, app *argocd.Application) error {
	switch {
	case ar == nil:
		return errors.New(NoAccessRequest)
	case app == nil:
		return errors.New(NoApplication)
	default:
		return nil
	}
}

func (r *Requester) perform(do string) error {
	verb, argument, _ := strings.Cut(do, ":")
	switch verb {
	case "":
		return nil
	case "error":
		return errors.New(argument)
	case "panic":
		panic("the annotation asks for a panic")
	case "hang":
		select {}
	case "print":
		size, err := strconv.Atoi(argument)
		if err != nil {
			return err
		}
		fmt.Println(strings.Repeat("x", size))
		return nil
	case "log":
		r.Logger.Trace("at trace")
		r.Logger.Debug("at debug")
		r.Logger.Info("at info")
		r.Logger.Warn("at warn")
		r.Logger.Error("at error")
		return nil
	case "sleep":
		milliseconds, err := strconv.Atoi(argument)
		if err != nil {
			return err
		}
		time.Sleep(time.Duration(milliseconds) * time.Millisecond)
		return nil
	default:
		return fmt.Errorf("unknown instruction %q", do)
	}
}

// Dump renders both objects in their Kubernetes JSON names. A managedFields entry that is not JSON has no such form
// (json.Marshal refuses it), so it is dumped as an entry without fieldsV1.
func Dump(ar *api.AccessRequest, app *argocd.Application) string {
	ar.ManagedFields = jsonOnly(ar.ManagedFields)
	app.ManagedFields = jsonOnly(app.ManagedFields)
	dump, err := json.Marshal(struct {
		AccessRequest *api.AccessRequest  `json:"accessRequest"`
		Application   *argocd.Application `json:"application"`
	}{ar, app})
	if err != nil {
		return "the request has no JSON form: " + err.Error()
	}
	return string(dump)
}

func jsonOnly(entries []metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	for i := range entries {
		if entries[i].FieldsV1 != nil && !json.Valid(entries[i].FieldsV1.Raw) {
			entries[i].FieldsV1 = nil
		}
	}
	return entries
}
