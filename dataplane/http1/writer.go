package http1

import (
	"net"
	"strconv"

	"github.com/pillion-proxy/pillion/dataplane/buffer"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/network"
)

// writer gathers what is written into one buffer, so that a message of some kilobytes is one write.
type writer struct {
	sock             *network.Sock
	buf              *buffer.Buffer // nil: nothing to write
	chunked          bool
	keepCase, proper bool
	wire             uint64
	vec              net.Buffers
	vecs             [3][]byte
}

// room makes sure that n bytes can be appended without growing, flushing or growing first.
func (w *writer) room(n int) error {
	if w.buf == nil {
		w.buf = buffer.Get(n)
		return nil
	}
	if len(w.buf.B)-w.buf.W >= n {
		return nil
	}
	if w.buf.Len()+n <= buffer.Large {
		w.buf = buffer.Grown(w.buf, w.buf.Len()+n)
		return nil
	}
	if err := w.flush(); err != nil {
		return err
	}
	w.buf = buffer.Get(n)
	return nil
}

func (w *writer) str(s string) { w.buf.W += copy(w.buf.B[w.buf.W:], s) }

func (w *writer) byte(c byte) {
	w.buf.B[w.buf.W] = c
	w.buf.W++
}

// flush writes what was gathered and gives the buffer back.
func (w *writer) flush() error {
	if w.buf == nil {
		return nil
	}
	_, err := w.sock.Write(w.buf.Bytes())
	w.wire += uint64(w.buf.Len())
	buffer.Put(w.buf)
	w.buf = nil
	return err
}

// drop forgets what was gathered.
func (w *writer) drop() {
	buffer.Put(w.buf)
	w.buf = nil
}

// fields appends the header lines, the skipped ones left out.
func (w *writer) fields(h *header.Map) {
	fields := h.Fields()
	for i := range fields {
		f := &fields[i]
		w.name(f)
		w.str(": ")
		w.str(f.Value)
		w.str("\r\n")
	}
}

func (w *writer) name(f *header.Field) {
	switch {
	case w.keepCase && f.Case != "":
		w.str(f.Case)
	case w.proper:
		at := w.buf.W
		w.str(f.Name)
		properCase(w.buf.B[at:w.buf.W])
	default:
		w.str(f.Name)
	}
}

// properCase makes "content-type" "Content-Type" (ProperCaseWords: letters after a special character).
func properCase(b []byte) {
	up := true
	for i, c := range b {
		if up && 'a' <= c && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
		up = c == '-' || c == '_' || c == '$'
	}
}

// size is how many bytes fields and the framing lines take at most.
func size(h *header.Map) int {
	n := 128
	fields := h.Fields()
	for i := range fields {
		n += len(fields[i].Name) + len(fields[i].Value) + 4
	}
	return n
}

// data appends a piece of the body, as a chunk if the body is chunked; a large one is written at once
// from where it lies.
func (w *writer) data(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	const overhead = 16 + 2 + 2
	pending := 0
	if w.buf != nil {
		pending = w.buf.Len()
	}
	if pending+len(p)+overhead > buffer.Large {
		return w.large(p)
	}
	if err := w.room(len(p) + overhead); err != nil {
		return err
	}
	if w.chunked {
		w.hex(len(p))
	}
	w.buf.W += copy(w.buf.B[w.buf.W:], p)
	if w.chunked {
		w.str("\r\n")
	}
	return nil
}

func (w *writer) hex(n int) {
	w.buf.W = len(strconv.AppendUint(w.buf.B[:w.buf.W], uint64(n), 16))
	w.str("\r\n")
}

// large writes what is pending, and p behind it, by one writev where the socket is plain.
func (w *writer) large(p []byte) error {
	if w.chunked {
		if err := w.room(20); err != nil {
			return err
		}
		w.hex(len(p))
	}
	var head []byte
	if w.buf != nil {
		head = w.buf.Bytes()
	}
	n := 0
	for _, b := range [...][]byte{head, p} {
		if len(b) > 0 {
			w.vecs[n] = b
			n++
		}
	}
	if w.chunked {
		w.vecs[n] = crlf
		n++
	}
	w.vec = w.vecs[:n]
	var err error
	if t := w.sock.TCP(); t != nil {
		_, err = w.vec.WriteTo(t)
	} else {
		_, err = w.vec.WriteTo(w.sock.Conn)
	}
	w.wire += uint64(len(head) + len(p))
	clear(w.vecs[:])
	w.vec = nil
	buffer.Put(w.buf)
	w.buf = nil
	return err
}

var crlf = []byte("\r\n")

// end appends the last chunk, with trailers if there are any.
func (w *writer) end(trailers *header.Map) error {
	if !w.chunked {
		return nil
	}
	n := 5
	if trailers != nil {
		n += size(trailers)
	}
	if err := w.room(n); err != nil {
		return err
	}
	w.str("0\r\n")
	if trailers != nil {
		w.fields(trailers)
	}
	w.str("\r\n")
	return nil
}
