package scenarios

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

func logging() []scenario {
	return []scenario{
		{name: "every level arrives at the host", run: func(r *run) error {
			started, err := r.start("EPHEMERAL_LOG_LEVEL=debug")
			if err != nil {
				return err
			}
			if _, err := started.GrantAccess(request("log"), application); err != nil {
				return err
			}
			for _, level := range []string{"debug", "info", "warn", "error"} {
				if !started.Log.Await(5*time.Second, func(entry map[string]any) bool {
					return entry["@level"] == level && strings.Contains(fmt.Sprint(entry["@message"]), level)
				}) {
					return fmt.Errorf("no message at %s, the host logged:\n%.3000s", level, started.Log)
				}
			}
			return grants(started)
		}},
		{name: "the controller's logger survives every level and field", run: survives("log")},
		{name: "the controller's logger survives what is printed", run: survives("print:1048576", "print:0", "print:1", "print:65536")},
		{name: "the controller's logger survives a panic", only: rustPeer, run: survives("panic")},
	}
}

// survives plays the instructions, a hundred times, through a host with the controller's own logger.
func survives(instructions ...string) func(*run) error {
	return func(r *run) error {
		child, err := startChildHost(r.path, "EPHEMERAL_LOG_LEVEL=debug")
		if err != nil {
			return err
		}
		defer child.command.Process.Kill()
		for range 100 / len(instructions) {
			for _, do := range instructions {
				answered, err := child.call(do)
				if err != nil {
					return err
				}
				if answered == (do == "panic") {
					return fmt.Errorf("%q must be answered, unless it is a panic", do)
				}
			}
		}
		logged, err := child.finish()
		if err != nil {
			return err
		}
		if len(logged) == 0 {
			return errors.New("the plugin's messages must be in the controller's log, but that is empty")
		}
		return nil
	}
}
