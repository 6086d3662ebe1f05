package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// The format is in the package comment.
const (
	frameRequest = 1
	frameAnswer  = 2
	frameError   = 3

	frameHeaderBytes = 9
	// A body above this size is allocated as it arrives, so that a header alone
	// costs its sender more than it costs us.
	eagerBodyBytes = 64 << 10
)

// errFrame: the other side broke the format. The stream is of no more use.
var errFrame = errors.New("malformed frame")

type frameHeader struct {
	kind   byte
	arg    uint32
	length uint32
}

func (f frameHeader) put(b []byte) {
	b[0] = f.kind
	binary.BigEndian.PutUint32(b[1:5], f.arg)
	binary.BigEndian.PutUint32(b[5:9], f.length)
}

// readHeader reads a header and checks what can be checked without limits.
// io.EOF means that the other side closed the stream between two frames.
func readHeader(r io.Reader) (frameHeader, error) {
	var b [frameHeaderBytes]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return frameHeader{}, err
	}
	header := frameHeader{
		kind:   b[0],
		arg:    binary.BigEndian.Uint32(b[1:5]),
		length: binary.BigEndian.Uint32(b[5:9]),
	}
	switch header.kind {
	case frameRequest:
		if header.arg == 0 {
			return header, fmt.Errorf("%w: request without time", errFrame)
		}
	case frameAnswer, frameError:
		if header.arg != 0 {
			return header, fmt.Errorf("%w: argument in an answer", errFrame)
		}
	default:
		return header, fmt.Errorf("%w: kind %d", errFrame, header.kind)
	}
	return header, nil
}

// readBody reads a body of a checked size.
func readBody(r io.Reader, sizeBytes int) ([]byte, error) {
	body := make([]byte, min(sizeBytes, eagerBodyBytes))
	for filled := 0; ; {
		n, err := io.ReadFull(r, body[filled:])
		filled += n
		if err == io.EOF && sizeBytes > 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil || filled == sizeBytes {
			return body[:filled], err
		}
		grown := make([]byte, min(sizeBytes, 2*len(body)))
		copy(grown, body)
		body = grown
	}
}

// readAnswer reads the frame that follows a request.
func readAnswer(r io.Reader, maxBytes int) ([]byte, error) {
	header, err := readHeader(r)
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	switch header.kind {
	case frameAnswer:
		if int64(header.length) > int64(maxBytes) {
			return nil, fmt.Errorf("answer of %d bytes, limit %d: %w", header.length, maxBytes, ErrTooLarge)
		}
		return readBody(r, int(header.length))
	case frameError:
		if header.length > maxErrorBytes {
			return nil, fmt.Errorf("%w: error of %d bytes", errFrame, header.length)
		}
		body, err := readBody(r, int(header.length))
		if err != nil {
			return nil, err
		}
		remote, err := decodeRemoteError(body)
		if err != nil {
			return nil, err
		}
		return nil, remote
	default:
		return nil, fmt.Errorf("%w: kind %d instead of an answer", errFrame, header.kind)
	}
}

var writeBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

// writeFrame writes header and body in one Write where the body is small: each
// Write is a frame of the muxer, a Noise message and a system call.
func writeFrame(w io.Writer, kind byte, arg uint32, body []byte) error {
	header := frameHeader{kind: kind, arg: arg, length: uint32(len(body))}
	pooled := writeBuffers.Get().(*[]byte)
	defer writeBuffers.Put(pooled)
	buffer := (*pooled)[:frameHeaderBytes]
	header.put(buffer)
	if len(body) > eagerBodyBytes {
		if _, err := w.Write(buffer); err != nil {
			return err
		}
		_, err := w.Write(body)
		return err
	}
	buffer = append(buffer, body...)
	*pooled = buffer
	_, err := w.Write(buffer)
	return err
}

// requestMs is a caller's remaining time as it travels.
func requestMs(remaining time.Duration) uint32 {
	return uint32(min(max(remaining.Milliseconds(), 1), handlerTimeout.Milliseconds()))
}
