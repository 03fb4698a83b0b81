// Package grpc holds what filters need to know of gRPC: which messages are gRPC's, how its frames are
// counted, and the stats of calls that grpc_stats and grpc_web keep.
package grpc

import (
	"strings"

	"github.com/pillion-proxy/pillion/dataplane/header"
)

// IsRequest tells whether a request is gRPC by its content type.
func IsRequest(h *header.Map) bool { return isType(h.Value(header.ContentType)) }

const contentType = "application/grpc"

// isType tells application/grpc, and application/grpc+proto and the like
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
func isType(v string) bool {
	return strings.HasPrefix(v, contentType) && (len(v) == len(contentType) || v[len(contentType)] == '+')
}

// IsResponse tells whether a response is gRPC; end tells that there are headers alone.
func IsResponse(h *header.Map, end bool) bool {
	if end {
		return h.Has(header.GrpcStatus)
	}
	return h.Status == 200 && isType(h.Value(header.ContentType))
}

// Method takes "/service/method" apart, the query left out.
func Method(path string) (service, method string, ok bool) {
	if i := strings.IndexByte(path, '?'); i >= 0 {
		path = path[:i]
	}
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return "", "", false
	}
	service, method, ok = strings.Cut(rest, "/")
	if !ok || service == "" || method == "" || strings.IndexByte(method, '/') >= 0 {
		return "", "", false
	}
	return service, method, true
}

// frameHeader is the length of a frame's header: a byte of flags and four of length.
const frameHeader = 5

// Frames counts the messages in a gRPC body as it passes: each from its first byte on.
type Frames struct {
	have   int    // bytes of the header so far
	length uint32 // of the frame's payload
	left   uint32 // of the payload
	// EndFlag frames with this bit are not messages (Connect's end of stream); 0: all are.
	EndFlag byte
}

// Count returns how many messages begin in p.
func (f *Frames) Count(p []byte) (n uint64) {
	for len(p) > 0 {
		if f.left > 0 {
			skip := min(uint32(min(len(p), 1<<30)), f.left)
			f.left -= skip
			p = p[skip:]
			continue
		}
		if f.have == 0 {
			if f.EndFlag == 0 || p[0]&f.EndFlag == 0 {
				n++
			}
		} else {
			f.length = f.length<<8 | uint32(p[0])
		}
		p = p[1:]
		if f.have++; f.have == frameHeader {
			f.left, f.have, f.length = f.length, 0, 0
		}
	}
	return n
}
