package scenarios

import (
	"io"
	"net"

	"github.com/hashicorp/yamux"
)

// controlStream opens what go-plugin's host opens: the control stream, then stdout and stderr.
func controlStream(conn net.Conn) (control net.Conn, session *yamux.Session, err error) {
	config := yamux.DefaultConfig()
	config.LogOutput = io.Discard
	if session, err = yamux.Client(conn, config); err != nil {
		return nil, nil, err
	}
	streams := make([]net.Conn, 3)
	for i := range streams {
		if streams[i], err = session.Open(); err != nil {
			session.Close()
			return nil, nil, err
		}
	}
	return streams[0], session, nil
}
