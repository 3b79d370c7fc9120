package scenarios

import (
	"errors"
	"fmt"
	"net/rpc"
	"strings"
	"time"

	"github.com/argoproj-labs/argocd-ephemeral-access/pkg/plugin"

	"github.com/ephemeral-access-dev/inject-ephemeral-access-plugin/e2e/go-host/shared/hosting"
)

func failures() []scenario {
	return []scenario{
		{name: "a panic is an error of its call", only: rustPeer, run: func(r *run) error {
			started, err := r.start()
			if err != nil {
				return err
			}
			var pluginError *plugin.PluginError
			for range 20 {
				if _, err := started.GrantAccess(request("panic"), application); !errors.As(err, &pluginError) {
					return fmt.Errorf("GrantAccess must give a *plugin.PluginError, got %T: %w", err, err)
				}
				if _, err := started.RevokeAccess(request("panic"), application); !errors.As(err, &pluginError) {
					return fmt.Errorf("RevokeAccess must give a *plugin.PluginError, got %T: %w", err, err)
				}
				if err := grants(started); err != nil {
					return err
				}
			}
			if !started.Log.Await(5*time.Second, func(entry map[string]any) bool {
				return entry["@level"] == "error" && strings.Contains(fmt.Sprint(entry["@message"]), "panic")
			}) {
				return fmt.Errorf("the panic must be logged at error, the log is:\n%s", started.Log)
			}
			return nil
		}},
		// A panic ends a Go plugin: what the Rust one is spared.
		{name: "a panic ends the plugin", only: goPeer, run: func(r *run) error {
			started, err := r.start()
			if err != nil {
				return err
			}
			if _, err := started.GrantAccess(request("panic"), application); err == nil {
				return errors.New("the call must fail")
			}
			return within(5*time.Second, "the plugin ends", func() error {
				for !started.Client.Exited() {
					time.Sleep(10 * time.Millisecond)
				}
				return nil
			})
		}},
		{name: "a call that never returns meets its deadline", only: rustPeer, run: func(r *run) error {
			started, err := r.start("TEST_DEADLINE_MS=1000")
			if err != nil {
				return err
			}
			for range 3 {
				if err := within(10*time.Second, "the deadline of 1 s", func() error {
					_, err := started.GrantAccess(request("hang"), application)
					var pluginError *plugin.PluginError
					if !errors.As(err, &pluginError) {
						return fmt.Errorf("must give a *plugin.PluginError, got %T: %w", err, err)
					}
					return nil
				}); err != nil {
					return err
				}
			}
			return grants(started)
		}},
		{name: "more calls hang than callers are served at once", only: rustPeer, run: func(r *run) error {
			started, err := r.start("TEST_DEADLINE_MS=1000")
			if err != nil {
				return err
			}
			const hanging = 100
			results := make(chan error, hanging)
			for range hanging {
				go func() { _, err := started.GrantAccess(request("hang"), application); results <- err }()
			}
			return within(30*time.Second, "100 hanging calls", func() error {
				var pluginError *plugin.PluginError
				for range hanging {
					if err := <-results; !errors.As(err, &pluginError) {
						return fmt.Errorf("must give a *plugin.PluginError, got %T: %w", err, err)
					}
				}
				return grants(started)
			})
		}},
		{name: "a megabyte printed on one line", run: func(r *run) error {
			started, err := r.start()
			if err != nil {
				return err
			}
			for range 5 {
				if err := within(20*time.Second, "a call that prints", func() error {
					_, err := started.GrantAccess(request("print:1048576"), application)
					return err
				}); err != nil {
					return err
				}
			}
			return grants(started)
		}},
		{name: "an unknown key is refused, the next is dispensed", run: func(r *run) error {
			started, err := r.start()
			if err != nil {
				return err
			}
			connection, err := started.RPC()
			if err != nil {
				return err
			}
			for range 50 {
				var id uint32
				if err := controlCall(started, "Dispenser.Dispense", "nosuchkey", &id); err == nil {
					return errors.New("an unknown key must be refused")
				}
			}
			for range 20 {
				raw, err := connection.Dispense(plugin.Key)
				if err != nil {
					return err
				}
				again := &hosting.Plugin{AccessRequester: raw.(plugin.AccessRequester)}
				if err := grants(again); err != nil {
					return err
				}
			}
			return grants(started)
		}},
		{name: "a message over the limit fails without hanging", only: rustPeer, run: func(r *run) error {
			started, err := r.start()
			if err != nil {
				return err
			}
			ar := request("")
			ar.Annotations = map[string]string{"huge": strings.Repeat("x", 80<<20)}
			if err := within(30*time.Second, "80 MB", func() error {
				if _, err := started.GrantAccess(ar, application); err == nil {
					return errors.New("80 MB must be refused")
				}
				return nil
			}); err != nil {
				return err
			}
			// The host's connection may be lost. A new one is served, or the plugin has ended and says so.
			again, err := r.startOnly(hosting.Options{Reattach: started.Client.ReattachConfig()})
			if err != nil {
				return err
			}
			return within(10*time.Second, "a call on a new connection", func() error { return grants(again) })
		}},
		{name: "a call to a method that does not exist", run: func(r *run) error {
			started, err := r.start()
			if err != nil {
				return err
			}
			for _, method := range []string{"Control.Nope", "Nope.Ping", "Ping"} {
				var nothing struct{}
				err := controlCall(started, method, true, &nothing)
				var refused rpc.ServerError
				if !errors.As(err, &refused) {
					return fmt.Errorf("%s must be refused by the plugin, got %T: %w", method, err, err)
				}
			}
			connection, err := started.RPC()
			if err != nil {
				return err
			}
			return first(connection.Ping, func() error { return grants(started) })
		}},
	}
}

// controlCall makes any call on the control stream of a connection of its own.
func controlCall(started *hosting.Plugin, method string, argument, reply any) error {
	conn, err := dial(started)
	if err != nil {
		return err
	}
	control, session, err := controlStream(conn)
	if err != nil {
		conn.Close()
		return err
	}
	defer session.Close()
	client := rpc.NewClient(control)
	done := client.Go(method, argument, reply, nil).Done
	select {
	case call := <-done:
		return call.Error
	case <-time.After(10 * time.Second):
		return fmt.Errorf("%s: no answer", method)
	}
}
