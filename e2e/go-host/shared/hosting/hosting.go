// Package hosting starts a plugin as the controller does: upstream's NewClientConfig, go-plugin's NewClient, upstream's
// GetAccessRequester (see initPlugin in upstream's cmd/controller/controller.go).
package hosting

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/argoproj-labs/argocd-ephemeral-access/pkg/plugin"
	"github.com/hashicorp/go-hclog"
	goPlugin "github.com/hashicorp/go-plugin"
)

// Plugin is a running plugin, seen from its host.
type Plugin struct {
	plugin.AccessRequester
	Client *goPlugin.Client
	Config *goPlugin.ClientConfig
	// Log is everything the host logged.
	Log *Log
}

// Options change how a plugin is started.
type Options struct {
	// Environment is added to the host's.
	Environment []string
	// Logger takes the place of the recording one.
	Logger hclog.Logger
	// Reattach connects to a running plugin.
	Reattach *goPlugin.ReattachConfig
}

// Start starts the plugin and gets its AccessRequester, but does not call Init.
func Start(path string, options Options) (*Plugin, error) {
	log := new(Log)
	logger := options.Logger
	if logger == nil {
		logger = hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: log, JSONFormat: true})
	}
	config := plugin.NewClientConfig(path, logger)
	if options.Reattach != nil {
		config.Cmd, config.Reattach = nil, options.Reattach
	} else if len(options.Environment) > 0 {
		// go-plugin adds the host's environment itself.
		config.Cmd.Env = options.Environment
	}
	client := goPlugin.NewClient(config)
	requester, err := plugin.GetAccessRequester(client)
	started := &Plugin{AccessRequester: requester, Client: client, Config: config, Log: log}
	if err != nil {
		client.Kill()
		return started, err
	}
	return started, nil
}

// Pid is the plugin's process.
func (p *Plugin) Pid() int { return p.Client.ReattachConfig().Pid }

// Socket is the path on which the plugin listens.
func (p *Plugin) Socket() string { return p.Client.ReattachConfig().Addr.String() }

// RPC is the connection under the AccessRequester.
func (p *Plugin) RPC() (*goPlugin.RPCClient, error) {
	client, err := p.Client.Client()
	if err != nil {
		return nil, err
	}
	return client.(*goPlugin.RPCClient), nil
}

// Running says whether a process exists and has not ended; a zombie has ended.
func Running(pid int) bool {
	if err := syscall.Kill(pid, 0); err != nil {
		return !errors.Is(err, syscall.ESRCH)
	}
	state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(state), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// Gone waits until the process has ended and its socket file is removed.
func Gone(pid int, socket string, within time.Duration) error {
	deadline := time.Now().Add(within)
	for {
		_, err := os.Stat(socket)
		running, left := Running(pid), err == nil
		switch {
		case !running && !left:
			return nil
		case time.Now().Before(deadline):
			time.Sleep(10 * time.Millisecond)
		case running:
			return fmt.Errorf("the plugin still runs after %s", within)
		default:
			return fmt.Errorf("the plugin left its socket file %s", filepath.Base(socket))
		}
	}
}

// ResidentKiB is the memory that a process holds, and the most it ever held.
func ResidentKiB(pid int) (now, peak int, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for _, line := range strings.Split(string(status), "\n") {
		fmt.Sscanf(line, "VmRSS: %d kB", &now)
		fmt.Sscanf(line, "VmHWM: %d kB", &peak)
	}
	if now == 0 {
		return 0, 0, fmt.Errorf("process %d has no VmRSS", pid)
	}
	return now, peak, nil
}

// Log records the JSON lines that an hclog logger writes.
type Log struct {
	mutex sync.Mutex
	text  bytes.Buffer
}

func (l *Log) Write(data []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.text.Write(data)
}

func (l *Log) String() string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.text.String()
}

// Entries are the lines so far.
func (l *Log) Entries() []map[string]any {
	var entries []map[string]any
	decoder := json.NewDecoder(strings.NewReader(l.String()))
	for {
		entry := map[string]any{}
		if decoder.Decode(&entry) != nil {
			return entries
		}
		entries = append(entries, entry)
	}
}

// Await waits for an entry that matches.
func (l *Log) Await(within time.Duration, matches func(entry map[string]any) bool) bool {
	for deadline := time.Now().Add(within); ; time.Sleep(10 * time.Millisecond) {
		for _, entry := range l.Entries() {
			if matches(entry) {
				return true
			}
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}
