// Package v1alpha1 declares of Argo CD's Application what goes to a plugin.
package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Application is what a request is about.
type Application struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec ApplicationSpec `json:"spec"`
}

// ApplicationSpec has the one field that the controller reads.
type ApplicationSpec struct {
	Project string `json:"project"`
}
