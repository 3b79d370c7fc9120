package knownanswers

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"net/rpc"
	"reflect"
	"time"

	argocd "github.com/argoproj-labs/argocd-ephemeral-access/api/argoproj/v1alpha1"
	api "github.com/argoproj-labs/argocd-ephemeral-access/api/ephemeral-access/v1alpha1"
	"github.com/argoproj-labs/argocd-ephemeral-access/pkg/plugin"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A call is one net/rpc request and the answer to it. Several calls go over one connection, in order: type
// definitions are on the wire before their first use only.
type call struct {
	method   string
	argument any
	// reply is what the client decodes into.
	reply any
	// expected is what the plugin receives, for the reader of the fixture.
	expected any
}

// An exchange is the calls of one connection, together with the plugin that answers them.
type exchange struct {
	name        string
	description string
	crate       crate
	calls       func() []call
	impl        plugin.AccessRequester
	// service registers what answers instead of a plugin.
	service func(*rpc.Server) error
}

// fixed answers every call in the same way.
type fixed struct {
	init   error
	grant  *plugin.GrantResponse
	revoke *plugin.RevokeResponse
	err    error
}

func (f fixed) Init() error { return f.init }

func (f fixed) GrantAccess(*api.AccessRequest, *argocd.Application) (*plugin.GrantResponse, error) {
	return f.grant, f.err
}

func (f fixed) RevokeAccess(*api.AccessRequest, *argocd.Application) (*plugin.RevokeResponse, error) {
	return f.revoke, f.err
}

func exchanges() []exchange {
	granted := &plugin.GrantResponse{Status: plugin.GrantStatusGranted, Message: "granted, see **CHG-1**"}
	revoked := &plugin.RevokeResponse{Status: plugin.RevokeStatusRevoked, Message: "revoked"}
	nothing := func() any { return new(struct{}) }
	callControl := func(method string) func() []call {
		return func() []call { return []call{{method: method, argument: true, reply: nothing(), expected: true}} }
	}
	dispense := func(key string) func() []call {
		return func() []call {
			return []call{{method: "Dispenser.Dispense", argument: key, reply: new(uint32), expected: key}}
		}
	}
	initCall := func(argument any, expected any) func() []call {
		return func() []call {
			return []call{{method: "Plugin.Init", argument: argument, reply: new(plugin.InitResponseRPC), expected: expected}}
		}
	}
	grant := func(requests ...Request) func() []call {
		return func() []call {
			var calls []call
			for _, r := range requests {
				calls = append(calls, call{
					method:   "Plugin.GrantAccess",
					argument: &plugin.GrantAccessArgsRPC{AccReq: r.AccessRequest, App: r.Application},
					reply:    new(plugin.GrantAccessResponseRPC),
					expected: r,
				})
			}
			return calls
		}
	}
	revoke := func(r Request) func() []call {
		return func() []call {
			return []call{{
				method:   "Plugin.RevokeAccess",
				argument: &plugin.RevokeAccessArgsRPC{AccReq: r.AccessRequest, App: r.Application},
				reply:    new(plugin.RevokeAccessResponseRPC),
				expected: r,
			}}
		}
	}
	asInterface := func(value any) *any { return &value }

	return []exchange{
		{"control-ping", "the first call a host makes", netrpc, callControl("Control.Ping"), nil, registerControl},
		{"control-quit", "the host ends the plugin", netrpc, callControl("Control.Quit"), nil, registerControl},
		{"dispense", "the host asks for the plugin by its key and gets a broker id", netrpc, dispense(greeterKey), nil, registerControl},
		{"dispense-unknown-key", "a key the plugin does not have", netrpc, dispense("nosuchkey"), nil, registerControl},
		{"unknown-method", "a method that the service does not have", netrpc, callControl("Control.Nope"), nil, registerControl},
		{"unknown-service", "a service that does not exist", netrpc, callControl("Nope.Ping"), nil, registerControl},
		{"malformed-method", "a service method without a dot", netrpc, callControl("Ping"), nil, registerControl},
		{
			"control-session", "ping, dispense and quit on one connection: later messages carry no type definitions", netrpc,
			func() []call {
				return []call{
					{method: "Control.Ping", argument: true, reply: nothing(), expected: true},
					{method: "Dispenser.Dispense", argument: greeterKey, reply: new(uint32), expected: greeterKey},
					{method: "Control.Quit", argument: true, reply: nothing(), expected: true},
				}
			}, nil, registerControl,
		},

		{"init-nil-interface", "what upstream's client sends: a pointer to a nil interface", access, initCall(new(any), nil), fixed{}, nil},
		{"init-string", "an interface that holds a string", access, initCall(asInterface("hello"), "hello"), fixed{}, nil},
		{
			"init-registered-struct", "an interface that holds a registered struct", access,
			initCall(asInterface(&plugin.PluginError{Err: "as an argument"}), map[string]string{"Err": "as an argument"}), fixed{}, nil,
		},
		{"init-error", "Init fails", access, initCall(new(any), nil), fixed{init: errors.New("no credentials")}, nil},

		{"grant-full", "every field set; granted", access, grant(Full()), fixed{grant: granted}, nil},
		{"grant-minimal", "nothing set; granted without a message", access, grant(minimal()), fixed{grant: &plugin.GrantResponse{Status: plugin.GrantStatusGranted}}, nil},
		{"grant-nil-objects", "both objects nil; denied", access, grant(Request{}), fixed{grant: &plugin.GrantResponse{Status: plugin.GrantStatusDenied, Message: "denied"}}, nil},
		{"grant-nil-access-request", "a nil AccessRequest beside an Application; pending", access, grant(Request{Application: Full().Application}), fixed{grant: &plugin.GrantResponse{Status: plugin.GrantStatusPending, Message: "waiting"}}, nil},
		{"grant-nil-application", "an AccessRequest beside a nil Application; a nil response", access, grant(Request{AccessRequest: Full().AccessRequest}), fixed{}, nil},
		{"grant-times", "one history entry for each kind of time; an empty response", access, grant(times()), fixed{grant: &plugin.GrantResponse{}}, nil},
		{"grant-durations", "one call for each kind of duration", access, grant(durations()...), fixed{grant: &plugin.GrantResponse{}}, nil},
		{"grant-managed-fields", "managedFields entries: JSON, not JSON, empty, none", access, grant(managedFields()), fixed{grant: granted}, nil},
		{"grant-error", "a PluginError and a nil response", access, grant(minimal()), fixed{err: errors.New("the ticket system is down")}, nil},
		{"grant-empty-error", "a PluginError with an empty text", access, grant(minimal()), fixed{err: errors.New("")}, nil},
		{"grant-response-and-error", "a PluginError beside a response", access, grant(minimal()), fixed{grant: granted, err: errors.New("both")}, nil},
		{"grant-twice", "two calls on one connection: the second carries no type definitions", access, grant(Full(), minimal()), fixed{grant: granted}, nil},
		{"grant-error-twice", "two PluginErrors on one connection", access, grant(minimal(), Full()), fixed{err: errors.New("again")}, nil},
		{"revoke-full", "every field set; revoked", access, revoke(Full()), fixed{revoke: revoked}, nil},
		{"revoke-pending", "revoke-pending", access, revoke(minimal()), fixed{revoke: &plugin.RevokeResponse{Status: plugin.RevokeStatusPending, Message: "later"}}, nil},
		{"revoke-nil", "a nil response", access, revoke(minimal()), fixed{}, nil},
		{"revoke-error", "a PluginError and a nil response", access, revoke(minimal()), fixed{err: errors.New("the ticket system is down")}, nil},
		{
			"session", "Init, GrantAccess, RevokeAccess, GrantAccess on one connection, as the controller makes them", access,
			func() []call {
				calls := initCall(new(any), nil)()
				calls = append(calls, grant(Full())()...)
				calls = append(calls, revoke(Full())()...)
				return append(calls, grant(minimal())()...)
			}, fixed{grant: granted, revoke: revoked}, nil,
		},
	}
}

// Request is the pair of objects that a call carries.
type Request struct {
	AccessRequest *api.AccessRequest  `json:"accessRequest"`
	Application   *argocd.Application `json:"application"`
}

// MarshalJSON gives what a plugin receives. gob sends no pointer to a zero value, and what is not JSON, in a
// managedFields entry, has no form here.
func (r Request) MarshalJSON() ([]byte, error) {
	var wire bytes.Buffer
	if err := gob.NewEncoder(&wire).Encode(plugin.GrantAccessArgsRPC{AccReq: r.AccessRequest, App: r.Application}); err != nil {
		return nil, err
	}
	var received plugin.GrantAccessArgsRPC
	if err := gob.NewDecoder(&wire).Decode(&received); err != nil {
		return nil, err
	}
	if received.AccReq != nil {
		for i, entry := range received.AccReq.ManagedFields {
			if entry.FieldsV1 != nil && !json.Valid(entry.FieldsV1.Raw) {
				received.AccReq.ManagedFields[i].FieldsV1 = nil
			}
		}
	}
	type plain Request
	return json.Marshal(plain{received.AccReq, received.App})
}

func pointer[T any](value T) *T { return &value }

var instant = time.Date(2026, time.March, 14, 15, 9, 26, 535897932, time.UTC)

// Full sets every field. Maps have one entry: gob writes them in random order.
func Full() Request {
	deleted := metav1.NewTime(instant.Add(time.Hour).In(time.FixedZone("", -(9*60+30)*60)))
	expires := metav1.NewTime(instant.Add(4 * time.Hour).In(time.FixedZone("", 5*60*60+45*60)))
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{
			Name:                       name,
			GenerateName:               name + "-",
			Namespace:                  "argocd",
			SelfLink:                   "/apis/" + name,
			UID:                        "0e6cd2b6-54b4-4c3a-8a1d-8e2f5c1f9a11",
			ResourceVersion:            "18446744073709551615",
			Generation:                 7,
			CreationTimestamp:          metav1.NewTime(instant),
			DeletionTimestamp:          &deleted,
			DeletionGracePeriodSeconds: pointer(int64(-30)),
			Labels:                     map[string]string{"team": "payments"},
			Annotations:                map[string]string{"note": "größer als 日本 🚀"},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "apps/v1", Kind: "Deployment", Name: "owner", UID: "1", Controller: pointer(true), BlockOwnerDeletion: pointer(false),
			}},
			Finalizers: []string{"ephemeral-access.argoproj-labs.io/finalizer", ""},
			ManagedFields: []metav1.ManagedFieldsEntry{{
				Manager: "kubectl", Operation: metav1.ManagedFieldsOperationApply, APIVersion: "v1", Time: pointer(metav1.NewTime(instant)),
				FieldsType: "FieldsV1", FieldsV1: &metav1.FieldsV1{Raw: []byte(`{"f:metadata":{"f:labels":{}}}`)}, Subresource: "status",
			}},
		}
	}
	accessRequest := &api.AccessRequest{
		TypeMeta:   metav1.TypeMeta{Kind: "AccessRequest", APIVersion: "ephemeral-access.argoproj-labs.io/v1alpha1"},
		ObjectMeta: meta("request"),
		Spec: api.AccessRequestSpec{
			Duration: metav1.Duration{Duration: 4*time.Hour + 30*time.Minute + 1*time.Nanosecond},
			Role: api.TargetRole{
				TemplateRef:  api.TargetRoleTemplate{Name: "admin", Namespace: "argocd"},
				Ordinal:      -3,
				FriendlyName: pointer("Administrator"),
			},
			Application: api.TargetApplication{Name: "shop", Namespace: "argocd"},
			Subject:     api.Subject{Username: "alice@example.com"},
		},
		Status: api.AccessRequestStatus{
			RequestState:     api.GrantedStatus,
			TargetProject:    "payments",
			ExpiresAt:        &expires,
			RoleTemplateHash: "9f86d081",
			RoleName:         "ephemeral-admin-argocd-shop",
			History: []api.AccessRequestHistory{
				{TransitionTime: metav1.NewTime(instant), RequestState: api.InitiatedStatus},
				{TransitionTime: metav1.NewTime(instant.Add(time.Minute)), RequestState: api.GrantedStatus, Details: pointer("by policy")},
			},
		},
	}
	// UserId exists from v1.0.0.
	if field := reflect.ValueOf(&accessRequest.Spec.Subject).Elem().FieldByName("UserId"); field.IsValid() {
		field.Set(reflect.ValueOf(pointer("alice")))
	}
	return Request{
		AccessRequest: accessRequest,
		Application: &argocd.Application{
			TypeMeta:   metav1.TypeMeta{Kind: "Application", APIVersion: "argoproj.io/v1alpha1"},
			ObjectMeta: meta("shop"),
			Spec:       argocd.ApplicationSpec{Project: "payments"},
		},
	}
}

func minimal() Request {
	return Request{AccessRequest: &api.AccessRequest{}, Application: &argocd.Application{}}
}

// times has one history entry for each form that time.Time takes on the wire.
func times() Request {
	r := minimal()
	for _, entry := range []struct {
		name string
		time time.Time
	}{
		{"the zero time", time.Time{}},
		{"UTC", instant},
		{"an offset of zero that is not UTC", instant.In(time.FixedZone("GMT", 0))},
		{"ahead by hours and minutes", instant.In(time.FixedZone("IST", 5*60*60+30*60))},
		{"behind by hours and minutes", instant.In(time.FixedZone("NST", -(3*60*60 + 30*60)))},
		{"ahead, with seconds in the offset", instant.In(time.FixedZone("LMT", 17*60+30))},
		{"behind, with seconds in the offset", instant.In(time.FixedZone("LMT", -(4*60*60 + 56*60 + 2)))},
		{"before 1970, with nanoseconds", time.Date(1969, time.December, 31, 23, 59, 59, 999999999, time.UTC)},
		{"the first century", time.Date(33, time.April, 3, 15, 0, 0, 1, time.UTC)},
		{"the last second of 9999", time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC)},
	} {
		r.AccessRequest.Status.History = append(r.AccessRequest.Status.History, api.AccessRequestHistory{
			TransitionTime: metav1.NewTime(entry.time), RequestState: api.RequestedStatus, Details: pointer(entry.name),
		})
	}
	return r
}

// durations has one request for each kind of duration.
func durations() []Request {
	var requests []Request
	for _, duration := range []time.Duration{
		0, 1, 999, 1500 * time.Microsecond, 90 * time.Second, 36*time.Hour + 1, -time.Minute, 1<<63 - 1, -1 << 63,
	} {
		r := minimal()
		r.AccessRequest.Spec.Duration = metav1.Duration{Duration: duration}
		requests = append(requests, r)
	}
	return requests
}

func managedFields() Request {
	r := minimal()
	for _, raw := range []*metav1.FieldsV1{
		{Raw: []byte(`{"f:spec":{".":{},"f:role":{}}}`)},
		{Raw: []byte("not JSON \xff\x00")},
		{Raw: []byte{}},
		{},
		nil,
	} {
		r.AccessRequest.ManagedFields = append(r.AccessRequest.ManagedFields, metav1.ManagedFieldsEntry{Manager: "m", FieldsV1: raw})
	}
	return r
}

// requestBytes is what a net/rpc client puts on the wire for the calls, and where each message ends.
func (e exchange) requestBytes() (wire []byte, ends []int, err error) {
	conn := newOneWay()
	client := rpc.NewClient(conn)
	for _, c := range e.calls() {
		// Go returns once the request is written.
		client.Go(c.method, c.argument, c.reply, nil)
		ends = append(ends, len(conn.written))
	}
	return conn.written, ends, nil
}

// responseBytes is what a net/rpc server answers to the request, and where each message ends. The calls are
// played one at a time, as a host makes them.
func (e exchange) responseBytes(wire []byte, ends []int) (answer []byte, answerEnds []int, err error) {
	server := rpc.NewServer()
	if e.service != nil {
		err = e.service(server)
	} else {
		err = server.RegisterName("Plugin", &plugin.AccessRequesterRPCServer{Impl: e.impl})
	}
	if err != nil {
		return nil, nil, err
	}
	input := newGate(wire, ends)
	conn := newPlayed(input)
	go server.ServeConn(conn)
	for range ends {
		input.open()
		answer = append(answer, <-conn.written...)
		// The server flushes once per answer, but a large one may come in pieces.
		for quiet := false; !quiet; {
			select {
			case more := <-conn.written:
				answer = append(answer, more...)
			case <-time.After(100 * time.Millisecond):
				quiet = true
			}
		}
		answerEnds = append(answerEnds, len(answer))
	}
	return answer, answerEnds, conn.Close()
}

// gate lets a reader see one more message each time it is opened.
type gate struct {
	messages [][]byte
	current  *bytes.Reader
	tickets  chan struct{}
}

func newGate(wire []byte, ends []int) *gate {
	g := &gate{current: bytes.NewReader(nil), tickets: make(chan struct{}, len(ends))}
	start := 0
	for _, end := range ends {
		g.messages = append(g.messages, wire[start:end])
		start = end
	}
	return g
}

func (g *gate) open() { g.tickets <- struct{}{} }

func (g *gate) Read(data []byte) (int, error) {
	if g.current.Len() == 0 {
		if len(g.messages) == 0 {
			return 0, errors.New("every message was played")
		}
		<-g.tickets
		g.current.Reset(g.messages[0])
		g.messages = g.messages[1:]
	}
	return g.current.Read(data)
}

// check decodes the answers with a net/rpc client, so that no fixture is written that Go itself cannot read.
func (e exchange) check(answer []byte, ends []int) error {
	input := newGate(answer, ends)
	replies := newPlayed(input)
	defer replies.Close()
	client := rpc.NewClient(replies)
	for _, c := range e.calls() {
		done := client.Go(c.method, c.argument, c.reply, nil).Done
		input.open()
		select {
		case finished := <-done:
			if _, refused := finished.Error.(rpc.ServerError); finished.Error != nil && !refused {
				return fmt.Errorf("%s: %w", c.method, finished.Error)
			}
		case <-time.After(10 * time.Second):
			return fmt.Errorf("%s: the answer did not arrive", c.method)
		}
	}
	return nil
}
