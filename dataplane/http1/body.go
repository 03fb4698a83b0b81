package http1

import (
	"bytes"
	"io"

	"github.com/pillion-proxy/pillion/dataplane/buffer"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/network"
)

type bodyKind uint8

const (
	bodyNone   bodyKind = iota
	bodyLength          // content-length
	bodyChunked
	bodyUntilClose // responses only
	bodyRaw        // after an upgrade: bytes until the connection ends
)

// body decodes a message body straight out of the connection's buffer.
type body struct {
	sock *network.Sock
	head *headReader
	kind bodyKind
	// left is what remains of the body, or of the chunk.
	left     int64
	state    chunkState
	consume  int // bytes handed out by the last next
	done     bool
	trailers *header.Map // nil: none
	wire     uint64      // bytes with framing
	bytes    uint64
}

type chunkState uint8

const (
	chunkSize chunkState = iota
	chunkData
	chunkEnd // the CRLF after the data
	chunkTrailers
)

func (b *body) reset(sock *network.Sock, head *headReader, kind bodyKind, length int64) {
	*b = body{sock: sock, head: head, kind: kind, left: length, trailers: b.trailers}
	if b.trailers != nil {
		b.trailers.Reset()
	}
	b.done = kind == bodyNone || kind == bodyLength && length == 0
}

// complete tells whether the rest of the body is in the buffer already.
func (b *body) complete() bool {
	return b.done || b.kind == bodyLength && b.left <= int64(b.sock.Buffered()-b.consume)
}

// next returns the next piece of the body, borrowed until the call after. Without block it reports
// ok false when that needs a read. After end there is nothing more.
func (b *body) next(block bool) (p []byte, end, ok bool, err error) {
	if b.consume > 0 {
		b.sock.Consume(b.consume)
		b.consume = 0
	}
	for {
		if b.done {
			b.sock.Idle()
			return nil, true, true, nil
		}
		if b.sock.Buffered() > 0 {
			p, wait, err := b.decode()
			if p != nil || err != nil {
				return p, false, true, err
			}
			if !wait {
				continue
			}
		}
		if !block {
			return nil, false, false, nil
		}
		if err := b.fill(); err != nil {
			return nil, false, true, err
		}
	}
}

func (b *body) fill() error {
	if b.kind != bodyLength || b.left > buffer.Small {
		b.sock.SetReadSize(buffer.Large)
	}
	err := b.sock.Fill()
	b.sock.SetReadSize(buffer.Small)
	if err == io.EOF {
		if b.kind == bodyUntilClose || b.kind == bodyRaw {
			b.done = true
			return nil
		}
		return io.ErrUnexpectedEOF
	}
	return err
}

// decode takes what it can from the buffer: a piece, or nil and whether more must be read first.
func (b *body) decode() (p []byte, wait bool, err error) {
	switch b.kind {
	case bodyChunked:
		return b.decodeChunk()
	case bodyLength:
		p = b.take(b.left)
		b.left -= int64(len(p))
		b.done = b.left == 0
		return p, false, nil
	default:
		return b.take(int64(b.sock.Buffered())), false, nil
	}
}

func (b *body) take(most int64) []byte {
	p := b.sock.Buf.Bytes()
	if int64(len(p)) > most {
		p = p[:most]
	}
	b.consume = len(p)
	b.wire += uint64(len(p))
	b.bytes += uint64(len(p))
	return p
}

func (b *body) decodeChunk() (p []byte, wait bool, err error) {
	switch b.state {
	case chunkSize:
		return nil, b.chunkSize(&err), err
	case chunkData:
		p = b.take(b.left)
		if b.left -= int64(len(p)); b.left == 0 {
			b.state = chunkEnd
		}
		return p, false, nil
	case chunkEnd:
		in := b.sock.Buf.Bytes()
		if in[0] != '\r' || len(in) > 1 && in[1] != '\n' {
			return nil, false, bad("chunk data is not followed by CRLF")
		}
		if len(in) < 2 {
			return nil, true, nil
		}
		b.skip(2)
		b.state = chunkSize
		return nil, false, nil
	default:
		return nil, b.chunkTrailers(&err), err
	}
}

func (b *body) skip(n int) {
	b.sock.Consume(n)
	b.wire += uint64(n)
}

// chunkSize parses a chunk's first line: hexadecimal digits, then perhaps extensions, which are
// dropped (RFC 9112 section 7.1.1).
func (b *body) chunkSize(err *error) (wait bool) {
	in := b.sock.Buf.Bytes()
	end := bytes.IndexByte(in, '\n')
	if end < 0 {
		if len(in) > maxChunkLine {
			*err = bad("chunk line is over its limit")
		}
		return true
	}
	if end == 0 || in[end-1] != '\r' || end > maxChunkLine {
		*err = bad("chunk line does not end with CRLF, or is over its limit")
		return false
	}
	n, ok := parseChunkLine(in[:end-1])
	if !ok {
		*err = bad("chunk line is malformed")
		return false
	}
	b.skip(end + 1)
	b.left, b.state = n, chunkData
	if n == 0 {
		b.state = chunkTrailers
	}
	return false
}

func parseChunkLine(line []byte) (int64, bool) {
	var n uint64
	digits := 0
	i := 0
	for ; i < len(line); i++ {
		d := hexDigit(line[i])
		if d > 15 {
			break
		}
		if n >= 1<<59 {
			return 0, false
		}
		n = n<<4 | uint64(d)
		digits++
	}
	if digits == 0 || n >= 1<<62 {
		return 0, false
	}
	for i < len(line) && (line[i] == ' ' || line[i] == '\t') {
		i++
	}
	if i < len(line) && line[i] != ';' {
		return 0, false
	}
	return int64(n), validValue(line[i:])
}

func hexDigit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// chunkTrailers parses the trailer section once it is complete.
func (b *body) chunkTrailers(err *error) (wait bool) {
	in := b.sock.Buf.Bytes()
	n, _ := headEnd(in, 0)
	if n == 0 {
		if len(in) > b.head.maxBytes {
			*err = &Error{Status: 431, Details: "http1.headers_too_large", Why: "trailers are over their limit"}
		}
		return true
	}
	crlf := !bytes.HasPrefix(in, []byte("\n"))
	if n > 2 {
		if b.trailers == nil {
			b.trailers = new(header.Map)
		}
		b.trailers.Reset()
		at := b.trailers.Grow(n)
		copy(at, in[:n])
		// A trailer section may end its lines by LF alone, as Envoy lets it: nothing is framed by it.
		if i := bytes.IndexByte(at, '\n'); i == 0 || at[i-1] != '\r' {
			crlf = false
		}
		if e := b.head.parseFields(dropCR(at, crlf), crlf, b.trailers); e != nil {
			*err = e
			return false
		}
	}
	b.skip(n)
	b.done = true
	return false
}

// dropCR makes a section of LF lines out of one that ends lines either way.
func dropCR(b []byte, crlf bool) []byte {
	if crlf {
		return b
	}
	return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
}
