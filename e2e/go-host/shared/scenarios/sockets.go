package scenarios

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ephemeral-access-dev/inject-ephemeral-access-plugin/e2e/go-host/shared/hosting"
)

const socketDirVariable = "PLUGIN_UNIX_SOCKET_DIR"

func sockets() []scenario {
	return []scenario{
		{name: "the socket is where the host says, and goes with the plugin", run: func(r *run) error {
			started, err := r.start(socketDirVariable + "=" + r.folder)
			if err != nil {
				return err
			}
			pid, socket := started.Pid(), started.Socket()
			if filepath.Dir(socket) != r.folder {
				return fmt.Errorf("the socket must be in %s, is %s", r.folder, socket)
			}
			if err := grants(started); err != nil {
				return err
			}
			started.Client.Kill()
			if err := r.gone(pid, socket, 3*time.Second); err != nil {
				return err
			}
			left, err := os.ReadDir(r.folder)
			if err != nil || r.peer == rustPeer && len(left) > 0 {
				return fmt.Errorf("the folder must be empty, has %v (%v)", left, err)
			}
			return nil
		}},
		// Go's listener leaves the mode to the umask.
		{name: "only the plugin's user may connect", only: rustPeer, run: func(r *run) error {
			started, err := r.start()
			if err != nil {
				return err
			}
			information, err := os.Stat(started.Socket())
			if err != nil {
				return err
			}
			if mode := information.Mode().Perm(); mode != 0o600 {
				return fmt.Errorf("the socket's mode must be 0600, is %#o", mode)
			}
			return nil
		}},
		{name: "an empty socket directory counts as unset", run: func(r *run) error {
			started, err := r.start(socketDirVariable + "=")
			if err != nil {
				return err
			}
			return grants(started)
		}},
		{name: "a socket directory that does not exist", run: refuses(func(r *run) string { return filepath.Join(r.folder, "nowhere") })},
		{name: "a socket directory that is a file", run: refuses(func(r *run) string {
			file := filepath.Join(r.folder, "file")
			os.WriteFile(file, nil, 0o600)
			return file
		})},
		// Not even root can write there.
		{name: "an unwritable socket directory", run: refuses(func(*run) string { return "/proc" })},
		{name: "a socket directory whose name is too long", run: refuses(func(r *run) string {
			long := filepath.Join(r.folder, strings.Repeat("long", 30))
			os.MkdirAll(long, 0o700)
			return long
		})},
	}
}

// refuses expects the plugin to end at once, and to say why on stderr. The Rust plugin says it to the host, too.
func refuses(folder func(*run) string) func(*run) error {
	return func(r *run) error {
		path := folder(r)
		var started *hosting.Plugin
		var startError error
		if err := within(10*time.Second, "the plugin ends", func() error {
			started, startError = r.startOnly(hosting.Options{Environment: []string{socketDirVariable + "=" + path}})
			return nil
		}); err != nil {
			return err
		}
		if startError == nil {
			return errors.New("the plugin must not start")
		}
		if !strings.Contains(started.Log.String(), filepath.Base(path)) {
			return fmt.Errorf("the plugin must name the directory on stderr, the host logged:\n%.2000s", started.Log)
		}
		if r.peer == rustPeer && !strings.Contains(startError.Error(), socketDirVariable) {
			return fmt.Errorf("the host's error must say what the plugin said, is %w", startError)
		}
		return nil
	}
}
