package knownanswers

import (
	"io"
	"net"
	"sync"
)

// recording is a connection that remembers what went through it, in each direction.
type recording struct {
	net.Conn
	mutex    sync.Mutex
	sent     []byte
	received []byte
}

func (r *recording) Write(data []byte) (int, error) {
	r.mutex.Lock()
	r.sent = append(r.sent, data...)
	r.mutex.Unlock()
	return r.Conn.Write(data)
}

func (r *recording) Read(data []byte) (int, error) {
	count, err := r.Conn.Read(data)
	r.mutex.Lock()
	r.received = append(r.received, data[:count]...)
	r.mutex.Unlock()
	return count, err
}

func (r *recording) taken() (sent, received []byte) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return append([]byte(nil), r.sent...), append([]byte(nil), r.received...)
}

// oneWay takes what is written and never answers: enough to see what a client sends.
type oneWay struct {
	mutex   sync.Mutex
	written []byte
	closed  chan struct{}
}

func newOneWay() *oneWay {
	return &oneWay{closed: make(chan struct{})}
}

func (o *oneWay) Write(data []byte) (int, error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.written = append(o.written, data...)
	return len(data), nil
}

func (o *oneWay) Read([]byte) (int, error) {
	<-o.closed
	return 0, io.EOF
}

func (o *oneWay) Close() error {
	close(o.closed)
	return nil
}

// played gives a server a recorded request, then waits at the end of the input so that the answer can still be
// written, and takes what the server answers.
type played struct {
	input   io.Reader
	written chan []byte
	closed  chan struct{}
	once    sync.Once
}

func newPlayed(input io.Reader) *played {
	return &played{input: input, written: make(chan []byte, 1024), closed: make(chan struct{})}
}

func (p *played) Read(data []byte) (int, error) {
	count, err := p.input.Read(data)
	if count > 0 {
		return count, nil
	}
	<-p.closed
	return 0, err
}

func (p *played) Write(data []byte) (int, error) {
	p.written <- append([]byte(nil), data...)
	return len(data), nil
}

func (p *played) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}
