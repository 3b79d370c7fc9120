// Package scenarios plays what can happen between a host and a plugin: answers, errors, and ends, orderly or not.
package scenarios

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	argocd "github.com/argoproj-labs/argocd-ephemeral-access/api/argoproj/v1alpha1"
	api "github.com/argoproj-labs/argocd-ephemeral-access/api/ephemeral-access/v1alpha1"

	"github.com/ephemeral-access-dev/inject-ephemeral-access-plugin/e2e/go-host/shared/hosting"
	"github.com/ephemeral-access-dev/inject-ephemeral-access-plugin/e2e/go-host/shared/refplugin"
)

// A peer is the plugin that a scenario runs against. The Go plugin shows that the scenario itself is right.
type peer string

const (
	goPeer   peer = "go"
	rustPeer peer = "rust"
)

// limit is how long a scenario may take before it counts as hanging.
const limit = 60 * time.Second

type scenario struct {
	name string
	// only is set if the other peer behaves differently by design; the reason stands beside it.
	only peer
	run  func(*run) error
}

// run is one scenario against one plugin.
type run struct {
	peer    peer
	path    string
	started []*hosting.Plugin
	// folder is removed after the scenario.
	folder string
}

// start starts the plugin and calls Init.
func (r *run) start(environment ...string) (*hosting.Plugin, error) {
	started, err := r.startOnly(hosting.Options{Environment: environment})
	if err != nil {
		return nil, err
	}
	return started, started.Init()
}

// startOnly does not call Init.
func (r *run) startOnly(options hosting.Options) (*hosting.Plugin, error) {
	started, err := hosting.Start(r.path, options)
	if err != nil {
		return started, err
	}
	r.started = append(r.started, started)
	return started, nil
}

// gone waits until a plugin that was told to quit has ended and has removed its socket. A Go plugin may exit before its
// answer to Quit is written; then the host uses force, and the socket stays.
func (r *run) gone(pid int, socket string, within time.Duration) error {
	err := hosting.Gone(pid, socket, within)
	if r.peer == goPeer && !hosting.Running(pid) {
		return nil
	}
	return err
}

func (r *run) end() {
	for _, started := range r.started {
		pid := 0
		if config := started.Client.ReattachConfig(); config != nil {
			pid = config.Pid
		}
		started.Client.Kill()
		// Kill asks politely, once; nothing may outlive its scenario.
		if process, err := os.FindProcess(pid); err == nil && pid > 0 && hosting.Running(pid) {
			process.Kill()
		}
	}
	os.RemoveAll(r.folder)
}

// Main runs the scenarios command.
func Main(version string, arguments []string) error {
	flags := flag.NewFlagSet("scenarios", flag.ContinueOnError)
	reference := flags.String("go", "", "the reference plugin")
	other := flags.String("plugin", "", "the plugin under test")
	match := flags.String("run", "", "only the scenarios whose name contains this")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	peers := []struct {
		peer peer
		path string
	}{{goPeer, *reference}, {rustPeer, *other}}
	passed, failed := 0, 0
	for _, p := range peers {
		if p.path == "" {
			continue
		}
		path, err := filepath.Abs(p.path)
		if err != nil {
			return err
		}
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("the plugin must exist: %w", err)
		}
		for _, s := range all() {
			if s.only != "" && s.only != p.peer || !strings.Contains(s.name, *match) {
				continue
			}
			begin := time.Now()
			err := play(s, p.peer, path)
			verdict := "ok  "
			if err != nil {
				verdict = "FAIL"
				failed++
			} else {
				passed++
			}
			fmt.Printf("%s %s %-4s %s (%d ms)\n", verdict, version, p.peer, s.name, time.Since(begin).Milliseconds())
			if err != nil {
				fmt.Printf("     %s\n", err)
			}
		}
	}
	fmt.Printf("scenarios %s: %d passed, %d failed\n", version, passed, failed)
	switch {
	case failed > 0:
		return fmt.Errorf("%d scenarios failed", failed)
	case passed == 0:
		return errors.New("no scenario ran: name a plugin with `-go` or `-plugin`")
	}
	return nil
}

func play(s scenario, p peer, path string) error {
	folder, err := os.MkdirTemp("", "go-host")
	if err != nil {
		return err
	}
	r := &run{peer: p, path: path, folder: folder}
	defer r.end()
	done := make(chan error, 1)
	go func() {
		defer func() {
			if panicked := recover(); panicked != nil {
				done <- fmt.Errorf("the host panicked: %v\n%s", panicked, debug.Stack())
			}
		}()
		done <- s.run(r)
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		return fmt.Errorf("hangs: not done after %s", limit)
	}
}

// application goes along with every request: without one there is nothing to decide.
var application = new(argocd.Application)

// request asks the plugin to do something.
func request(do string) *api.AccessRequest {
	ar := new(api.AccessRequest)
	ar.Name = "request"
	if do != "" {
		ar.Annotations = map[string]string{refplugin.Annotation: do}
	}
	return ar
}

// grants makes one ordinary call and checks its answer: the plugin still serves.
func grants(plugin *hosting.Plugin) error {
	ar := request("")
	ar.Spec.Subject.Username = "alice"
	response, err := plugin.GrantAccess(ar, application)
	switch {
	case err != nil:
		return fmt.Errorf("the next call must be answered: %w", err)
	case response == nil || response.Status != "granted":
		return fmt.Errorf("the next call must be granted, got %v", response)
	case !strings.Contains(response.Message, `"username":"alice"`):
		return fmt.Errorf("the next call must echo its request, got %q", response.Message)
	}
	return nil
}

// within runs a step that must not take longer.
func within(duration time.Duration, what string, step func() error) error {
	done := make(chan error, 1)
	go func() { done <- step() }()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	case <-time.After(duration):
		return fmt.Errorf("%s: not done within %s", what, duration)
	}
}

// first gives back the first error.
func first(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func all() []scenario {
	return slices.Concat(answers(), failures(), strays(), endings(), sockets(), logging())
}
