package scenarios

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	api "github.com/argoproj-labs/argocd-ephemeral-access/api/ephemeral-access/v1alpha1"
	"github.com/argoproj-labs/argocd-ephemeral-access/pkg/plugin"

	"github.com/ephemeral-access-dev/inject-ephemeral-access-plugin/e2e/go-host/shared/hosting"
	"github.com/ephemeral-access-dev/inject-ephemeral-access-plugin/e2e/go-host/shared/refplugin"
)

const callers = 16

func answers() []scenario {
	return []scenario{
		{name: "the connection answers pings", run: func(r *run) error {
			started, err := r.start()
			if err != nil {
				return err
			}
			connection, err := started.RPC()
			if err != nil {
				return err
			}
			for range 100 {
				if err := connection.Ping(); err != nil {
					return err
				}
			}
			return grants(started)
		}},
		// The host's keepalive is such a ping every 30 s; unanswered, it ends the connection.
		{name: "the session answers yamux pings", run: func(r *run) error {
			started, err := r.start()
			if err != nil {
				return err
			}
			conn, err := net.Dial("unix", started.Socket())
			if err != nil {
				return err
			}
			_, session, err := controlStream(conn)
			if err != nil {
				conn.Close()
				return err
			}
			defer session.Close()
			for range 100 {
				if _, err := session.Ping(); err != nil {
					return err
				}
			}
			return grants(started)
		}},
		{name: "every grant status", run: func(r *run) error {
			started, err := r.start()
			if err != nil {
				return err
			}
			for do, status := range map[string]plugin.GrantStatus{
				"": plugin.GrantStatusGranted, "pending": plugin.GrantStatusPending, "denied": plugin.GrantStatusDenied,
			} {
				response, err := started.GrantAccess(request(do), application)
				if err != nil || response == nil || response.Status != status || response.Message == "" {
					return fmt.Errorf("%q must give %q with a message, got %v and %v", do, status, response, err)
				}
			}
			return nil
		}},
		{name: "every revoke status", run: func(r *run) error {
			started, err := r.start()
			if err != nil {
				return err
			}
			for do, status := range map[string]plugin.RevokeStatus{
				"": plugin.RevokeStatusRevoked, "revoke-pending": plugin.RevokeStatusPending,
			} {
				response, err := started.RevokeAccess(request(do), application)
				if err != nil || response == nil || response.Status != status || response.Message == "" {
					return fmt.Errorf("%q must give %q with a message, got %v and %v", do, status, response, err)
				}
			}
			return nil
		}},
		// The Rust trait has no way to give back no response or one without a status.
		{name: "nil and empty responses", only: goPeer, run: func(r *run) error {
			started, err := r.start()
			if err != nil {
				return err
			}
			grant, err := started.GrantAccess(request("nil"), application)
			if grant != nil || err != nil {
				return fmt.Errorf("must give nothing, got %v and %v", grant, err)
			}
			revoke, err := started.RevokeAccess(request("nil"), application)
			if revoke != nil || err != nil {
				return fmt.Errorf("must give nothing, got %v and %v", revoke, err)
			}
			grant, err = started.GrantAccess(request("empty"), application)
			if grant == nil || *grant != (plugin.GrantResponse{}) || err != nil {
				return fmt.Errorf("must give an empty response, got %v and %v", grant, err)
			}
			return grants(started)
		}},
		{name: "nil objects", run: func(r *run) error {
			started, err := r.start()
			if err != nil {
				return err
			}
			var none *api.AccessRequest
			for _, send := range []func() error{
				func() error { _, err := started.GrantAccess(none, application); return err },
				func() error { _, err := started.GrantAccess(none, nil); return err },
				func() error { _, err := started.RevokeAccess(none, application); return err },
			} {
				if err := isPluginError(send(), refplugin.NoAccessRequest); err != nil {
					return err
				}
			}
			_, err = started.GrantAccess(request(""), nil)
			if err := isPluginError(err, refplugin.NoApplication); err != nil {
				return err
			}
			return grants(started)
		}},
		{name: "errors arrive as *plugin.PluginError", run: func(r *run) error {
			started, err := r.start()
			if err != nil {
				return err
			}
			for _, text := range []string{"no", "größer 日本 🚀", "two\nlines", "%s %d", strings.Repeat("long ", 1<<18)} {
				response, err := started.GrantAccess(request("error:"+text), application)
				if err := isPluginError(err, text); err != nil || response != nil {
					return fmt.Errorf("GrantAccess: %w (response %v)", err, response)
				}
				revoked, err := started.RevokeAccess(request("error:"+text), application)
				if err := isPluginError(err, text); err != nil || revoked != nil {
					return fmt.Errorf("RevokeAccess: %w (response %v)", err, revoked)
				}
				if err := grants(started); err != nil {
					return err
				}
			}
			return nil
		}},
		{name: "an error without a text is still an error", run: func(r *run) error {
			started, err := r.start()
			if err != nil {
				return err
			}
			var pluginError *plugin.PluginError
			if _, err := started.GrantAccess(request("error:"), application); !errors.As(err, &pluginError) {
				return fmt.Errorf("must be a *plugin.PluginError, got %T: %w", err, err)
			}
			return grants(started)
		}},
		{name: "an error of Init", run: func(r *run) error {
			started, err := r.start(refplugin.InitErrorVariable + "=no credentials")
			if err := isPluginError(err, "no credentials"); err != nil {
				return err
			}
			// The controller ends here; another host may ask again.
			if err := isPluginError(started.Init(), "no credentials"); err != nil {
				return fmt.Errorf("the second time: %w", err)
			}
			return nil
		}},
		{name: "Init twice", run: func(r *run) error {
			started, err := r.start()
			if err != nil {
				return err
			}
			return first(started.Init, started.Init, func() error { return grants(started) })
		}},
		{name: "calls before Init", run: func(r *run) error {
			started, err := r.startOnly(hosting.Options{})
			if err != nil {
				return err
			}
			return first(func() error { return grants(started) }, started.Init)
		}},
		{name: "16 callers at once, each gets its own answer", run: func(r *run) error {
			started, err := r.start()
			if err != nil {
				return err
			}
			var group sync.WaitGroup
			failed := make(chan error, callers)
			for caller := range callers {
				group.Go(func() {
					for i := range 250 {
						if err := ownAnswer(started, fmt.Sprintf("caller-%d-call-%d", caller, i), i); err != nil {
							failed <- err
							return
						}
					}
				})
			}
			group.Wait()
			close(failed)
			return <-failed
		}},
		{name: "a slow call does not hold up the others", run: func(r *run) error {
			started, err := r.start()
			if err != nil {
				return err
			}
			slow := make(chan error, 1)
			go func() { _, err := started.GrantAccess(request("sleep:3000"), application); slow <- err }()
			time.Sleep(100 * time.Millisecond)
			if err := within(2*time.Second, "100 calls beside a slow one", func() error {
				for range 100 {
					if err := grants(started); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				return err
			}
			return <-slow
		}},
		{name: "5 MB each way", run: func(r *run) error {
			started, err := r.start()
			if err != nil {
				return err
			}
			ar := request("")
			ar.Annotations = map[string]string{"large": strings.Repeat("x", 5<<20)}
			for range 5 {
				response, err := started.GrantAccess(ar, application)
				if err != nil || response == nil || len(response.Message) < 5<<20 {
					return fmt.Errorf("must echo 5 MB: %v", err)
				}
			}
			return grants(started)
		}},
		{name: "text that is not UTF-8", run: func(r *run) error {
			started, err := r.start()
			if err != nil {
				return err
			}
			ar := request("")
			ar.Spec.Subject.Username = "a\xff\xfeb\xc3"
			response, err := started.GrantAccess(ar, application)
			if err != nil || response == nil || response.Status != plugin.GrantStatusGranted {
				return fmt.Errorf("must be granted, got %v and %v", response, err)
			}
			return grants(started)
		}},
	}
}

func isPluginError(err error, text string) error {
	var pluginError *plugin.PluginError
	if !errors.As(err, &pluginError) {
		return fmt.Errorf("must be a *plugin.PluginError, got %T: %w", err, err)
	}
	if !errors.Is(err, pluginError) || pluginError.Err != text || err.Error() != text {
		return fmt.Errorf("must say %.100q, got %.100q", text, pluginError.Err)
	}
	return nil
}

// ownAnswer makes a call whose answer no other call has.
func ownAnswer(started *hosting.Plugin, name string, i int) error {
	if i%10 == 9 {
		_, err := started.GrantAccess(request("error:"+name), application)
		return isPluginError(err, name)
	}
	ar := request("")
	ar.Name = name
	var message string
	if i%2 == 0 {
		response, err := started.GrantAccess(ar, application)
		if err != nil {
			return err
		}
		message = response.Message
	} else {
		response, err := started.RevokeAccess(ar, application)
		if err != nil {
			return err
		}
		message = response.Message
	}
	if !strings.Contains(message, `"name":"`+name+`"`) {
		return fmt.Errorf("%s got the answer %.200q", name, message)
	}
	return nil
}
