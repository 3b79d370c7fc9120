//go:build before_v1_0_0

package v1alpha1

// TargetRole is the role that is asked for.
type TargetRole struct {
	TemplateRef  TargetRoleTemplate `json:"templateRef"`
	Ordinal      int                `json:"ordinal,omitempty"`
	FriendlyName *string            `json:"friendlyName,omitempty"`
}

// Subject is who asks; its id came with v1.0.0.
type Subject struct {
	Username string `json:"username"`
}
