package scenarios

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/rpc"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ephemeral-access-dev/inject-ephemeral-access-plugin/e2e/go-host/shared/hosting"
)

func endings() []scenario {
	return []scenario{
		{name: "Kill ends the plugin in good order", run: func(r *run) error {
			started, err := r.start()
			if err != nil {
				return err
			}
			pid, socket := started.Pid(), started.Socket()
			begin := time.Now()
			started.Client.Kill()
			if took := time.Since(begin); took > 1500*time.Millisecond {
				return fmt.Errorf("the plugin must end on Quit, but Kill took %s: the host had to use force", took)
			}
			if r.peer == rustPeer && strings.Contains(started.Log.String(), "failed to exit gracefully") {
				return errors.New("the host had to use force")
			}
			return r.gone(pid, socket, time.Second)
		}},
		{name: "Quit is answered, then the plugin ends", only: rustPeer, run: func(r *run) error {
			// go-plugin's own server may exit before the answer is written.
			for range 20 {
				started, err := r.start()
				if err != nil {
					return err
				}
				pid, socket := started.Pid(), started.Socket()
				if err := quitIsAnswered(socket); err != nil {
					return err
				}
				if err := hosting.Gone(pid, socket, time.Second); err != nil {
					return err
				}
			}
			return nil
		}},
		{name: "Quit during a call that never returns", only: rustPeer, run: func(r *run) error {
			started, err := r.start()
			if err != nil {
				return err
			}
			pid, socket := started.Pid(), started.Socket()
			go started.GrantAccess(request("hang"), application)
			time.Sleep(200 * time.Millisecond)
			started.Client.Kill()
			if strings.Contains(started.Log.String(), "failed to exit gracefully") {
				return errors.New("the host had to use force")
			}
			return hosting.Gone(pid, socket, time.Second)
		}},
		{name: "reattach", run: func(r *run) error {
			started, err := r.start()
			if err != nil {
				return err
			}
			pid, socket := started.Pid(), started.Socket()
			again, err := r.startOnly(hosting.Options{Reattach: started.Client.ReattachConfig()})
			if err != nil {
				return err
			}
			if err := first(again.Init, func() error { return grants(again) }, func() error { return grants(started) }); err != nil {
				return err
			}
			again.Client.Kill()
			return r.gone(pid, socket, 3*time.Second)
		}},
		{name: "a second host comes and goes", run: func(r *run) error {
			started, err := r.start()
			if err != nil {
				return err
			}
			for range 50 {
				var nothing struct{}
				if err := controlCall(started, "Control.Ping", true, &nothing); err != nil {
					return err
				}
			}
			return grants(started)
		}},
		// go-plugin's server does not look after its host: it stays for ever.
		{name: "the host is killed: the plugin ends within a second", only: rustPeer, run: func(r *run) error {
			for _, do := range []string{"", "hang", "sleep:30000"} {
				child, err := startChildHost(r.path)
				if err != nil {
					return err
				}
				if do != "" {
					if err := child.ask(do); err != nil {
						return err
					}
					time.Sleep(200 * time.Millisecond)
				}
				if !hosting.Running(child.Pid) {
					return errors.New("the plugin must run before its host is killed")
				}
				if err := child.command.Process.Kill(); err != nil {
					return err
				}
				child.command.Wait()
				if err := hosting.Gone(child.Pid, child.Socket, time.Second); err != nil {
					syscall.Kill(child.Pid, syscall.SIGKILL)
					return fmt.Errorf("during %q: %w", do, err)
				}
			}
			return nil
		}},
		{name: "the plugin is killed: its host's calls fail", run: func(r *run) error {
			started, err := r.start()
			if err != nil {
				return err
			}
			pid := started.Pid()
			call := make(chan error, 1)
			go func() { _, err := started.GrantAccess(request("sleep:30000"), application); call <- err }()
			time.Sleep(200 * time.Millisecond)
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				return err
			}
			return within(5*time.Second, "the calls fail", func() error {
				if err := <-call; err == nil {
					return errors.New("the call in flight must fail")
				}
				if _, err := started.GrantAccess(request(""), application); err == nil {
					return errors.New("the next call must fail")
				}
				for !started.Client.Exited() {
					time.Sleep(10 * time.Millisecond)
				}
				return nil
			})
		}},
		// The Go plugin dies of SIGTERM and leaves its socket file.
		{name: "SIGTERM ends the plugin in good order", only: rustPeer, run: func(r *run) error {
			for _, do := range []string{"", "hang"} {
				started, err := r.start()
				if err != nil {
					return err
				}
				if do != "" {
					go started.GrantAccess(request(do), application)
					time.Sleep(200 * time.Millisecond)
				}
				pid, socket := started.Pid(), started.Socket()
				if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
					return err
				}
				if err := hosting.Gone(pid, socket, 2*time.Second); err != nil {
					return fmt.Errorf("during %q: %w", do, err)
				}
			}
			return nil
		}},
		{name: "SIGINT is ignored", run: func(r *run) error {
			started, err := r.start()
			if err != nil {
				return err
			}
			for range 3 {
				if err := syscall.Kill(started.Pid(), syscall.SIGINT); err != nil {
					return err
				}
				time.Sleep(50 * time.Millisecond)
				if err := grants(started); err != nil {
					return err
				}
			}
			return nil
		}},
		{name: "started by hand, without the cookie", run: func(r *run) error {
			for _, environment := range [][]string{{}, {"EPHEMERAL_ACCESS_PLUGIN="}, {"EPHEMERAL_ACCESS_PLUGIN=wrong"}} {
				command := exec.Command(r.path)
				command.Env = environment
				var stdout, stderr strings.Builder
				command.Stdout, command.Stderr = &stdout, &stderr
				var failed *exec.ExitError
				if err := within(10*time.Second, "the plugin ends", func() error {
					if err := command.Run(); !errors.As(err, &failed) || failed.ExitCode() <= 0 {
						return fmt.Errorf("must end with an exit code, got %v", err)
					}
					return nil
				}); err != nil {
					return err
				}
				if stdout.Len() > 0 {
					return fmt.Errorf("stdout belongs to the protocol, got %q", stdout.String())
				}
				if !strings.Contains(stderr.String(), "plugin") {
					return fmt.Errorf("must explain itself on stderr, got %q", stderr.String())
				}
			}
			return nil
		}},
	}
}

// quitIsAnswered looks at the bytes that the plugin sends: hashicorp/yamux may take the end of the connection, right
// after the answer, for a failure to send the question.
func quitIsAnswered(socket string) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	received := &tee{Conn: conn, ended: make(chan struct{})}
	control, session, err := controlStream(received)
	if err != nil {
		conn.Close()
		return err
	}
	defer session.Close()
	var nothing struct{}
	rpc.NewClient(control).Go("Control.Quit", true, &nothing, nil)
	select {
	case <-received.ended:
	case <-time.After(5 * time.Second):
		return errors.New("the plugin must close the connection after Quit")
	}
	// net/rpc's answers name their method.
	if !bytes.Contains(received.bytes, []byte("Control.Quit")) {
		return errors.New("Quit must be answered before the connection ends")
	}
	return nil
}

// tee keeps what is read, until the end.
type tee struct {
	net.Conn
	bytes []byte
	ended chan struct{}
	once  sync.Once
}

func (t *tee) Read(data []byte) (int, error) {
	count, err := t.Conn.Read(data)
	t.bytes = append(t.bytes, data[:count]...)
	if err != nil {
		t.once.Do(func() { close(t.ended) })
	}
	return count, err
}
