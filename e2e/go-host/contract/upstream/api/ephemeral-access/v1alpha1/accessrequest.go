// Package v1alpha1 declares the AccessRequest as it goes to a plugin. gob sends the names of the types and of the
// fields, in this order; the JSON names are those of the manifests.
package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AccessRequest asks for a role on one application, for a while.
type AccessRequest struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec   AccessRequestSpec   `json:"spec"`
	Status AccessRequestStatus `json:"status"`
}

// AccessRequestSpec is what is asked for.
type AccessRequestSpec struct {
	Duration    metav1.Duration   `json:"duration"`
	Role        TargetRole        `json:"role"`
	Application TargetApplication `json:"application"`
	Subject     Subject           `json:"subject"`
}

// TargetRoleTemplate is where the role's template is.
type TargetRoleTemplate struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

// TargetApplication is where the application is.
type TargetApplication struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

// AccessRequestStatus is what has become of the request.
type AccessRequestStatus struct {
	RequestState     Status                 `json:"requestState,omitempty"`
	TargetProject    string                 `json:"targetProject,omitempty"`
	ExpiresAt        *metav1.Time           `json:"expiresAt,omitempty"`
	RoleTemplateHash string                 `json:"roleTemplateHash,omitempty"`
	RoleName         string                 `json:"roleName,omitempty"`
	History          []AccessRequestHistory `json:"history,omitempty"`
}

// AccessRequestHistory is one step of a request.
type AccessRequestHistory struct {
	TransitionTime metav1.Time `json:"transitionTime"`
	RequestState   Status      `json:"status"`
	Details        *string     `json:"details,omitempty"`
}

// Status is where a request stands. The states that no test sends are not here.
type Status string

const (
	InitiatedStatus Status = "initiated"
	RequestedStatus Status = "requested"
	GrantedStatus   Status = "granted"
)
