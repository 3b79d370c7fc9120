// The same change as the Rust function makes by default, written with kyaml as functions in Go are.
package main

import (
	"errors"
	"os"

	"sigs.k8s.io/kustomize/kyaml/fn/framework"
	"sigs.k8s.io/kustomize/kyaml/kio"
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

const (
	initContainer = `
name: plugin-installer
env:
- name: PLUGIN_PATH
  value: /workspace/plugin
securityContext:
  allowPrivilegeEscalation: false
  capabilities:
    drop:
    - ALL
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  seccompProfile:
    type: RuntimeDefault
volumeMounts:
- name: plugins
  mountPath: /tmp/plugin/
`
	volume      = "name: plugins\nemptyDir: {}\n"
	volumeMount = "name: plugins\nmountPath: /tmp/plugin/\nreadOnly: true\n"
	variable    = "name: EPHEMERAL_PLUGIN_PATH\nvalue: /tmp/plugin/plugin\n"
)

type config struct {
	Spec struct {
		Image string `yaml:"image"`
	} `yaml:"spec"`
}

func main() {
	list := &kio.ByteReadWriter{Reader: os.Stdin, Writer: os.Stdout, KeepReaderAnnotations: true}
	var config config
	inject := func(items []*yaml.RNode) ([]*yaml.RNode, error) {
		for _, item := range items {
			if !isController(item) {
				continue
			}
			return items, change(item, config.Spec.Image)
		}
		return nil, errors.New("no controller Deployment")
	}
	processor := framework.SimpleProcessor{Config: &config, Filter: kio.FilterFunc(inject)}
	if err := framework.Execute(processor, list); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}

func isController(item *yaml.RNode) bool {
	labels := item.GetLabels()
	return item.GetApiVersion() == "apps/v1" && item.GetKind() == "Deployment" &&
		labels["app.kubernetes.io/name"] == "argocd-ephemeral-access" &&
		labels["app.kubernetes.io/component"] == "controller"
}

func change(deployment *yaml.RNode, image string) error {
	installer, err := yaml.Parse(initContainer)
	if err != nil {
		return err
	}
	if err := installer.PipeE(yaml.SetField("image", yaml.NewStringRNode(image))); err != nil {
		return err
	}
	pod, err := deployment.Pipe(yaml.Lookup("spec", "template", "spec"))
	if err != nil || pod == nil {
		return errors.Join(err, errors.New("no pod template"))
	}
	container, err := pod.Pipe(yaml.Lookup("containers", "[name=controller]"))
	if err != nil || container == nil {
		return errors.Join(err, errors.New("no container"))
	}
	return errors.Join(
		set(pod, "initContainers", "plugin-installer", installer),
		set(pod, "volumes", "plugins", yaml.MustParse(volume)),
		set(container, "volumeMounts", "plugins", yaml.MustParse(volumeMount)),
		set(container, "env", "EPHEMERAL_PLUGIN_PATH", yaml.MustParse(variable)),
	)
}

// set puts a named element into a list, in place of one of that name.
func set(parent *yaml.RNode, list, name string, element *yaml.RNode) error {
	return parent.PipeE(
		yaml.LookupCreate(yaml.SequenceNode, list),
		yaml.ElementSetter{Keys: []string{"name"}, Values: []string{name}, Element: element.YNode()},
	)
}
