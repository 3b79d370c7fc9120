package knownanswers

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

const (
	headerSize = 12
	// A longer body of one repeated byte is given as that byte and a count.
	shownBody = 1024
)

var (
	frameTypes = map[byte]string{0: "data", 1: "window-update", 2: "ping", 3: "go-away"}
	frameFlags = []struct {
		bit  uint16
		name string
	}{{1, "syn"}, {2, "ack"}, {4, "fin"}, {8, "rst"}}
)

// A frame is one yamux frame with its header taken apart, as
// https://github.com/hashicorp/yamux/blob/master/spec.md lays it out.
type frame struct {
	From   string       `json:"from,omitempty"`
	What   string       `json:"what,omitempty"`
	Type   string       `json:"type"`
	Flags  []string     `json:"flags"`
	Stream uint32       `json:"stream"`
	Length uint32       `json:"length"`
	Header string       `json:"header"`
	Body   string       `json:"body,omitempty"`
	Repeat *repeatedRun `json:"bodyRepeat,omitempty"`
}

type repeatedRun struct {
	Byte  string `json:"byte"`
	Count int    `json:"count"`
}

func parseFrames(wire []byte) ([]frame, error) {
	var frames []frame
	for len(wire) > 0 {
		if len(wire) < headerSize {
			return nil, fmt.Errorf("%d bytes are left, too few for a header", len(wire))
		}
		header := wire[:headerSize]
		parsed := frame{
			Type:   frameTypes[header[1]],
			Flags:  []string{},
			Stream: binary.BigEndian.Uint32(header[4:8]),
			Length: binary.BigEndian.Uint32(header[8:12]),
			Header: hex.EncodeToString(header),
		}
		for _, flag := range frameFlags {
			if binary.BigEndian.Uint16(header[2:4])&flag.bit != 0 {
				parsed.Flags = append(parsed.Flags, flag.name)
			}
		}
		wire = wire[headerSize:]
		if parsed.Type == "data" {
			if uint32(len(wire)) < parsed.Length {
				return nil, fmt.Errorf("a data frame of %d bytes has only %d", parsed.Length, len(wire))
			}
			body := wire[:parsed.Length]
			wire = wire[parsed.Length:]
			if len(body) > shownBody && bytes.Count(body, body[:1]) == len(body) {
				parsed.Repeat = &repeatedRun{hex.EncodeToString(body[:1]), len(body)}
			} else {
				parsed.Body = hex.EncodeToString(body)
			}
		}
		frames = append(frames, parsed)
	}
	return frames, nil
}

func (f frame) bytes() []byte {
	header, _ := hex.DecodeString(f.Header)
	body, _ := hex.DecodeString(f.Body)
	return append(header, body...)
}

func (f frame) has(flag string) bool {
	for _, name := range f.Flags {
		if name == flag {
			return true
		}
	}
	return false
}
