package knownanswers

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/argoproj-labs/argocd-ephemeral-access/pkg/plugin"
	goPlugin "github.com/hashicorp/go-plugin"
)

// A session is everything both sides send from the first byte to the end: yamux with the control, stdout and stderr
// streams, Control.Ping, Dispense, the broker's stream, the plugin's calls, Quit.
//
// The two sides are separate processes, because gob numbers types per process in the order of their first use. The
// plugin's side is go-plugin's RPCServer rather than Serve: that one exits on Quit, with or without having answered.
type session struct {
	Host   []byte
	Plugin []byte
}

// A sessionKind is a plugin and the calls that a host makes to it.
type sessionKind struct {
	key     string
	plugins map[string]goPlugin.Plugin
	calls   func(dispensed any) error
}

var sessionKinds = map[crate]sessionKind{
	netrpc: {greeterKey, map[string]goPlugin.Plugin{greeterKey: greeterPlugin{}}, callGreeter},
	access: {plugin.Key, plugin.NewServerConfig(fixed{
		grant:  &plugin.GrantResponse{Status: plugin.GrantStatusGranted, Message: "granted"},
		revoke: &plugin.RevokeResponse{Status: plugin.RevokeStatusRevoked, Message: "revoked"},
	}, nil).Plugins, callRequester},
}

func callGreeter(dispensed any) error {
	for _, name := range []string{"world", "世界"} {
		var greeting string
		if err := dispensed.(*rpc.Client).Call("Plugin.Greet", name, &greeting); err != nil {
			return err
		}
	}
	return nil
}

func callRequester(dispensed any) error {
	requester := dispensed.(plugin.AccessRequester)
	if err := requester.Init(); err != nil {
		return err
	}
	r := Full()
	if _, err := requester.GrantAccess(r.AccessRequest, r.Application); err != nil {
		return err
	}
	_, err := requester.RevokeAccess(r.AccessRequest, r.Application)
	return err
}

const socketDescriptor = 3

func playSession(kind crate) (session, error) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return session{}, err
	}
	hostFile, pluginFile := os.NewFile(uintptr(pair[0]), "host"), os.NewFile(uintptr(pair[1]), "plugin")
	var diagnostics bytes.Buffer
	child := exec.Command(os.Args[0], knownAnswersCommand, "-child", sessionPluginMode, "-name", string(kind))
	child.ExtraFiles = []*os.File{pluginFile}
	child.Stderr = &diagnostics
	hold, err := child.StdinPipe()
	if err != nil {
		return session{}, err
	}
	if err := child.Start(); err != nil {
		return session{}, err
	}
	pluginFile.Close()
	conn, err := net.FileConn(hostFile)
	if err != nil {
		return session{}, err
	}
	hostFile.Close()

	recorded := &recording{Conn: conn}
	if err := useEverything(recorded, sessionKinds[kind]); err != nil {
		return session{}, fmt.Errorf("%w\n%s", err, &diagnostics)
	}
	hold.Close()
	if err := child.Wait(); err != nil {
		return session{}, fmt.Errorf("%w\n%s", err, &diagnostics)
	}
	sent, received := recorded.taken()
	received, err = untilQuitReply(received)
	return session{sent, received}, err
}

func useEverything(conn io.ReadWriteCloser, kind sessionKind) error {
	client, err := goPlugin.NewRPCClient(conn, kind.plugins)
	if err != nil {
		return err
	}
	if err := client.SyncStreams(io.Discard, io.Discard); err != nil {
		return err
	}
	// The host's first bytes are the three streams; the plugin must have taken them before the first call.
	time.Sleep(100 * time.Millisecond)
	if err := client.Ping(); err != nil {
		return err
	}
	dispensed, err := client.Dispense(kind.key)
	if err != nil {
		return err
	}
	if err := kind.calls(dispensed); err != nil {
		return err
	}
	return client.Close()
}

func servePluginSide(kind crate) error {
	conn, err := net.FileConn(os.NewFile(socketDescriptor, "plugin"))
	if err != nil {
		return err
	}
	silence, _, err := os.Pipe()
	if err != nil {
		return err
	}
	server := goPlugin.RPCServer{
		Plugins: sessionKinds[kind].plugins,
		Stdout:  silence,
		Stderr:  silence,
		DoneCh:  make(chan struct{}),
	}
	server.ServeConn(conn)
	// The connection must outlive the host's last frame.
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// untilQuitReply drops what the plugin sends after its last answer: how much of it arrives before the host closes
// the connection is chance.
func untilQuitReply(wire []byte) ([]byte, error) {
	frames, err := parseFrames(wire)
	if err != nil {
		return nil, err
	}
	size, last := 0, 0
	for _, f := range frames {
		size += len(f.bytes())
		if f.Type == "data" && f.Stream == 1 {
			last = size
		}
	}
	if last == 0 {
		return nil, fmt.Errorf("the plugin sent nothing on the control stream")
	}
	return wire[:last], nil
}
