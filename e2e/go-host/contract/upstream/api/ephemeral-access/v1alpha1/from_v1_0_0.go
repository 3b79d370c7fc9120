//go:build !before_v1_0_0

package v1alpha1

// TargetRole is the role that is asked for.
type TargetRole struct {
	TemplateRef  TargetRoleTemplate `json:"templateRef"`
	Ordinal      int                `json:"ordinal"`
	FriendlyName *string            `json:"friendlyName,omitempty"`
}

// Subject is who asks.
type Subject struct {
	Username string  `json:"username"`
	UserId   *string `json:"userId"`
}
