package scenarios

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ephemeral-access-dev/inject-ephemeral-access-plugin/e2e/go-host/shared/hosting"
)

const (
	childHostCommand = "child-host"
	answeredLine     = "answered"
)

// ControllerLogger makes the logger that upstream's controller gives to go-plugin.
var ControllerLogger func() (hclog.Logger, error)

// announcement is the first line of a child host: its plugin.
type announcement struct {
	Pid    int
	Socket string
}

// ChildHost is a host in a process of its own, with the controller's logger on stderr. It makes the calls it is told
// and ends its plugin in good order when stdin ends.
func ChildHost(_ string, arguments []string) error {
	flags := flag.NewFlagSet(childHostCommand, flag.ContinueOnError)
	path := flags.String("plugin", "", "the plugin")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	logger, err := ControllerLogger()
	if err != nil {
		return err
	}
	started, err := hosting.Start(*path, hosting.Options{Logger: logger})
	if err != nil {
		return err
	}
	if err := started.Init(); err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(announcement{started.Pid(), started.Socket()}); err != nil {
		return err
	}
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		response, err := started.GrantAccess(request(input.Text()), application)
		if err == nil && response != nil {
			fmt.Println(answeredLine)
		} else {
			fmt.Println("failed")
		}
	}
	started.Client.Kill()
	return nil
}

// childHost is a running child host, seen from the test.
type childHost struct {
	announcement
	command *exec.Cmd
	input   interface {
		Write([]byte) (int, error)
		Close() error
	}
	output *bufio.Scanner
	errors bytes.Buffer
}

func startChildHost(path string, environment ...string) (*childHost, error) {
	child := &childHost{command: exec.Command(os.Args[0], childHostCommand, "-plugin", path)}
	child.command.Env = append(os.Environ(), environment...)
	child.command.Stderr = &child.errors
	var err error
	if child.input, err = child.command.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := child.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := child.command.Start(); err != nil {
		return nil, err
	}
	child.output = bufio.NewScanner(output)
	if !child.output.Scan() {
		child.command.Wait()
		return nil, fmt.Errorf("the child host did not start its plugin:\n%s", &child.errors)
	}
	return child, json.Unmarshal(child.output.Bytes(), &child.announcement)
}

// ask sends an instruction without waiting for the answer.
func (c *childHost) ask(do string) error {
	_, err := fmt.Fprintln(c.input, do)
	return err
}

// call sends an instruction and says whether the plugin answered it.
func (c *childHost) call(do string) (answered bool, err error) {
	if err := c.ask(do); err != nil {
		return false, err
	}
	if !c.output.Scan() {
		c.command.Wait()
		return false, fmt.Errorf("the host ended during %q:\n%.3000s", do, &c.errors)
	}
	return c.output.Text() == answeredLine, nil
}

// finish lets the host end in good order and gives back all it logged.
func (c *childHost) finish() (string, error) {
	c.input.Close()
	ended := make(chan error, 1)
	go func() { ended <- c.command.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			return "", fmt.Errorf("the host ended with %w:\n%.3000s", err, &c.errors)
		}
	case <-time.After(20 * time.Second):
		c.command.Process.Kill()
		return "", fmt.Errorf("the host does not end")
	}
	if text := c.errors.String(); strings.Contains(text, "panic:") {
		return "", fmt.Errorf("the host panicked:\n%.3000s", text)
	}
	return c.errors.String(), nil
}
