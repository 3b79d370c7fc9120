package knownanswers

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/hashicorp/yamux"
)

// yamuxFrames plays every kind of frame between two hashicorp/yamux sessions, one step after the other, and gives
// back the frames in the order in which they went over the wire.
func yamuxFrames() ([]frame, error) {
	s, err := newYamuxScript()
	if err != nil {
		return nil, err
	}
	defer s.close()

	hostStream, err := s.host.OpenStream()
	if err != nil {
		return nil, err
	}
	s.expect("the host opens a stream", 1, 0)
	pluginStream, err := s.plugin.AcceptStream()
	if err != nil {
		return nil, err
	}
	s.expect("the plugin accepts it", 0, 1)
	hostStream.Write([]byte("hello"))
	s.expect("five bytes", 1, 0)
	pluginStream.Write([]byte("wörld"))
	s.expect("six bytes", 0, 1)
	readExactly(pluginStream, 5)
	readExactly(hostStream, 6)

	for range 2 {
		if _, err := s.host.Ping(); err != nil {
			return nil, err
		}
		s.expect("a ping and its answer", 1, 1)
	}
	if _, err := s.plugin.Ping(); err != nil {
		return nil, err
	}
	s.expect("a ping from the plugin and its answer", 1, 1)

	// 300 KiB into a window of 256 KiB, of which five bytes are used: the sender stops until the reader has read.
	large := bytes.Repeat([]byte{'x'}, 300<<10)
	wrote := make(chan error, 1)
	go func() { _, err := hostStream.Write(large); wrote <- err }()
	s.expect("as much as the window takes", 1, 0)
	readExactly(pluginStream, 256<<10-5)
	s.expect("the reader gives the window back, the sender sends the rest", 1, 1)
	if err := <-wrote; err != nil {
		return nil, err
	}
	readExactly(pluginStream, 300<<10-(256<<10-5))

	hostStream.Close()
	s.expect("the host closes its half", 1, 0)
	pluginStream.Close()
	s.expect("the plugin closes its half", 0, 1)

	// The plugin's backlog is one stream.
	if _, err := s.host.OpenStream(); err != nil {
		return nil, err
	}
	s.expect("a second stream, not accepted yet", 1, 0)
	if _, err := s.host.OpenStream(); err != nil {
		return nil, err
	}
	s.expect("a third, over the plugin's backlog: reset", 1, 1)
	pluginOpened, err := s.plugin.OpenStream()
	if err != nil {
		return nil, err
	}
	s.expect("the plugin opens a stream: even ids", 0, 1)
	if _, err := s.host.AcceptStream(); err != nil {
		return nil, err
	}
	s.expect("the host accepts it", 1, 0)
	pluginOpened.Close()
	s.expect("the plugin closes it", 0, 1)

	if err := s.host.GoAway(); err != nil {
		return nil, err
	}
	s.expect("the host takes no more streams", 1, 0)
	if err := s.plugin.GoAway(); err != nil {
		return nil, err
	}
	s.expect("the plugin takes no more streams", 0, 1)

	goAway, err := protocolErrorFrame()
	if err != nil {
		return nil, err
	}
	return append(s.frames, goAway), s.err
}

// protocolErrorFrame is what a session sends to a peer that opens the same stream twice.
func protocolErrorFrame() (frame, error) {
	s, err := newYamuxScript()
	if err != nil {
		return frame{}, err
	}
	defer s.close()
	if _, err := s.host.OpenStream(); err != nil {
		return frame{}, err
	}
	s.expect("the host opens a stream", 1, 0)
	if s.err != nil {
		return frame{}, s.err
	}
	if _, err := s.hostConn.Conn.Write(s.frames[0].bytes()); err != nil {
		return frame{}, err
	}
	s.expect("after the same stream was opened twice", 0, 1)
	return s.frames[len(s.frames)-1], s.err
}

// yamuxScript is two sessions and what has gone between them so far.
type yamuxScript struct {
	host, plugin         *yamux.Session
	hostConn, pluginConn *recording
	hostSeen, pluginSeen int
	frames               []frame
	err                  error
}

func newYamuxScript() (*yamuxScript, error) {
	config := yamux.DefaultConfig()
	config.EnableKeepAlive = false
	config.LogOutput = io.Discard
	pluginConfig := *config
	pluginConfig.AcceptBacklog = 1

	hostEnd, pluginEnd := net.Pipe()
	s := &yamuxScript{hostConn: &recording{Conn: hostEnd}, pluginConn: &recording{Conn: pluginEnd}}
	var err error
	if s.host, err = yamux.Client(s.hostConn, config); err != nil {
		return nil, err
	}
	s.plugin, err = yamux.Server(s.pluginConn, &pluginConfig)
	return s, err
}

// expect waits until the step has put exactly that many frames on the wire in each direction.
func (s *yamuxScript) expect(what string, fromHost, fromPlugin int) {
	if s.err != nil {
		return
	}
	deadline := time.Now().Add(5 * time.Second)
	for {
		host, hostErr := s.news("host", s.hostConn, s.hostSeen)
		plugin, pluginErr := s.news("plugin", s.pluginConn, s.pluginSeen)
		if hostErr == nil && pluginErr == nil && len(host) == fromHost && len(plugin) == fromPlugin {
			s.hostSeen += fromHost
			s.pluginSeen += fromPlugin
			first := host
			second := plugin
			// The plugin speaks first if it gives the window back or pings.
			if len(plugin) > 0 && (plugin[0].Type == "window-update" && len(host) > 0 && host[0].Type == "data" || plugin[0].has("syn")) {
				first, second = plugin, host
			}
			for _, f := range append(first, second...) {
				f.What = what
				s.frames = append(s.frames, f)
			}
			// The peer's reader must have handled the frame before the next step.
			time.Sleep(20 * time.Millisecond)
			return
		}
		if time.Now().After(deadline) {
			s.err = fmt.Errorf("%s: %d frames from the host (%v) and %d from the plugin (%v), must be %d and %d",
				what, len(host), hostErr, len(plugin), pluginErr, fromHost, fromPlugin)
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (s *yamuxScript) news(from string, conn *recording, seen int) ([]frame, error) {
	sent, _ := conn.taken()
	frames, err := parseFrames(sent)
	if err != nil {
		return nil, err
	}
	news := append([]frame(nil), frames[seen:]...)
	for i := range news {
		news[i].From = from
	}
	return news, nil
}

func (s *yamuxScript) close() {
	s.host.Close()
	s.plugin.Close()
}

func readExactly(stream io.Reader, count int) {
	io.ReadFull(stream, make([]byte, count))
}
