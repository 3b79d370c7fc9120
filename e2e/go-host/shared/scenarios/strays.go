package scenarios

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ephemeral-access-dev/inject-ephemeral-access-plugin/e2e/go-host/shared/hosting"
)

const (
	strayConnections = 10_000
	// How many descriptors host and plugin keep for everything but stray connections.
	reservedDescriptors = 200
)

// strayWords is what those say that are no hosts.
var strayWords = [][]byte{
	nil,
	[]byte("GET / HTTP/1.1\r\n\r\n"),
	// A header that does not go on.
	{0, 0, 0},
	// A data frame of 4 GiB on a stream that does not exist.
	{0, 0, 0, 0, 0, 0, 0, 9, 255, 255, 255, 255},
	// The control stream of a host that opens no other.
	{0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0},
}

func strays() []scenario {
	return []scenario{
		{name: "stray connections and garbage do not stop the plugin", run: func(r *run) error {
			started, err := r.start()
			if err != nil {
				return err
			}
			for i := range 500 {
				conn, err := stray(started, i)
				if err != nil {
					return err
				}
				conn.Close()
			}
			return within(10*time.Second, "a call after 500 stray connections", func() error { return grants(started) })
		}},
		{name: "10,000 stray connections, as many open at once as there are descriptors", run: func(r *run) error {
			started, err := r.start()
			if err != nil {
				return err
			}
			most, err := mostConnections(started.Pid())
			if err != nil {
				return err
			}
			before, err := openDescriptors(started.Pid())
			if err != nil {
				return err
			}
			for made := 0; made < strayConnections; made += most {
				if err := holdStrays(started, min(most, strayConnections-made)); err != nil {
					return fmt.Errorf("after %d stray connections: %w", made, err)
				}
			}
			return first(
				func() error { return descriptorsReturn(started.Pid(), before) },
				func() error { return grants(started) },
			)
		}},
	}
}

// holdStrays opens the connections, makes a call beside them and one on a new connection, and closes them.
func holdStrays(started *hosting.Plugin, count int) error {
	conns := make([]net.Conn, 0, count)
	defer func() {
		for _, conn := range conns {
			conn.Close()
		}
	}()
	for i := range count {
		conn, err := stray(started, i)
		if err != nil {
			return fmt.Errorf("%d open: %w", i, err)
		}
		conns = append(conns, conn)
	}
	return first(
		func() error {
			return within(10*time.Second, "a call beside them", func() error { return grants(started) })
		},
		func() error {
			var nothing struct{}
			if err := controlCall(started, "Control.Ping", true, &nothing); err != nil {
				return fmt.Errorf("a second host beside them: %w", err)
			}
			return nil
		},
	)
}

func stray(started *hosting.Plugin, number int) (net.Conn, error) {
	conn, err := dial(started)
	if err != nil {
		return nil, err
	}
	// The plugin may have closed it already.
	conn.Write(strayWords[number%len(strayWords)])
	return conn, nil
}

// dial connects to the plugin's socket. The kernel refuses more than the plugin has yet to accept; they wait here.
func dial(started *hosting.Plugin) (net.Conn, error) {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		conn, err := net.Dial("unix", started.Socket())
		if !errors.Is(err, syscall.EAGAIN) || time.Now().After(deadline) {
			return conn, err
		}
	}
}

// mostConnections is how many connections both ends can have: a Go plugin that cannot accept one gives up.
func mostConnections(pid int) (int, error) {
	var own syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &own); err != nil {
		return 0, err
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil {
		return 0, err
	}
	lines := strings.Split(string(limits), "\n")
	i := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "Max open files ") })
	if i < 0 {
		return 0, fmt.Errorf("process %d has no limit of open files", pid)
	}
	var plugin uint64
	if _, err := fmt.Sscanf(lines[i], "Max open files %d", &plugin); err != nil {
		return 0, fmt.Errorf("%q: %w", lines[i], err)
	}
	most := min(own.Cur, plugin)
	if most <= reservedDescriptors {
		return 0, fmt.Errorf("the limit of open files must be over %d, is %d", reservedDescriptors, most)
	}
	return int(min(most-reservedDescriptors, strayConnections)), nil
}

func openDescriptors(pid int) (int, error) {
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(open), err
}

// descriptorsReturn waits until the plugin has no more open than before.
func descriptorsReturn(pid, before int) error {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		open, err := openDescriptors(pid)
		if err != nil || open <= before {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the plugin must close the connections: it has %d open files, had %d", open, before)
		}
	}
}
